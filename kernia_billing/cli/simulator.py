"""`kernia-billing simulator`: a simulated Stripe that any application can use, in whatever language."""

from __future__ import annotations

import json
import logging
import signal
import threading
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from ..testing.simulator.server import SimulatorServer


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=12_111, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--webhook-url",
    "webhook_urls",
    metavar="URL",
    multiple=True,
    help="Where to post webhooks; give it as often as needed.",
)
@click.option("--webhook-secret", metavar="whsec_…", help="What webhooks are signed with; made up if not given.")
@click.option("--api-key", metavar="sk_test_…", help="The key that clients must send; made up if not given.")
@click.option("--now", metavar="TIME", help="The time to begin at, as 2026-03-01T12:00:00Z; the present if not given.")
@click.option("--frozen", is_flag=True, help="Let time stand still until it is advanced.")
@click.option("--json", "as_json", is_flag=True, help="Print the address and the secrets as one line of JSON.")
def simulator(
    *,
    port: int,
    host: str,
    webhook_urls: tuple[str, ...],
    webhook_secret: str | None,
    api_key: str | None,
    now: str | None,
    frozen: bool,
    as_json: bool,
) -> None:
    """Serve a simulated Stripe: its API, its checkout, portal and invoice pages, and webhooks.

    Point your application's Stripe client at the address that is printed (`stripe_api_base` of kernia-billing,
    `api_base` of Stripe's own packages), with the key that is printed. Ctrl-C ends it, and all that is in it is gone.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with _server(port, host, webhook_urls, webhook_secret, api_key, now, frozen=frozen) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, partial(_stop, server))
        click.echo(_words(server, webhook_urls, as_json=as_json))
        server.serve()


def _server(
    port: int,
    host: str,
    webhook_urls: tuple[str, ...],
    webhook_secret: str | None,
    api_key: str | None,
    now: str | None,
    *,
    frozen: bool,
) -> SimulatorServer:
    from ..testing.simulator import StripeSimulator
    from ..testing.simulator.server import SimulatorServer
    from ..testing.simulator.webhooks.webhook_endpoints import MOST

    if not all(map(_is_url, webhook_urls)):
        raise click.BadParameter("must be an http or https URL", param_hint="--webhook-url")
    if len(webhook_urls) > MOST:
        raise click.BadParameter(f"at most {MOST} of them", param_hint="--webhook-url")
    try:
        made = StripeSimulator(
            now=_moment(now) or (datetime.now(UTC) if frozen else None),
            ticking=not frozen,
            api_key=api_key,
            webhook_secret=webhook_secret,
        )
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    try:
        return SimulatorServer(made, host=host, port=port, webhook_urls=webhook_urls)
    except OSError as error:
        raise click.ClickException(f"port {port} of {host} cannot be used: {error.strerror or error}") from error


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("must be a time such as 2026-03-01T12:00:00Z", param_hint="--now") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _words(server: SimulatorServer, webhook_urls: tuple[str, ...], *, as_json: bool) -> str:
    made = server.simulator
    told = {"url": server.url, "api_key": made.api_key, "webhook_secret": made.webhook_secret}
    if as_json:
        return json.dumps({**told, "webhook_urls": webhook_urls, "now": made.now.isoformat()})
    return f"Simulated Stripe: {server.url}  key {made.api_key}  webhook secret {made.webhook_secret}"


def _stop(server: SimulatorServer, _signal: int, _frame: FrameType | None) -> None:
    """End serving. A KeyboardInterrupt could be raised where nobody lets it through, as in a finalizer.

    It is another thread's to wait until this one serves no more.
    """
    threading.Thread(target=server.stop, daemon=True).start()
