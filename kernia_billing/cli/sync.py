"""`kernia-billing sync`: making our copies equal to Stripe's objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ..domain.reports import AdoptionReport, Count, SyncReport
from .command import PROBLEMS, Session, command
from .output import plain
from .progress import Note, progress

if TYPE_CHECKING:
    from .. import Billing


@click.group()
def sync() -> None:
    """Make our copies equal to Stripe's objects: from its lists, not from its events.

    What was cut short, by Ctrl-C or a crash, is gone on with by the next run of the same command.
    """


@sync.command("all")
@command
def everything(session: Session) -> None:
    """Compare everything that Stripe has with our copies."""
    _run(session, lambda billing, note: billing.sync.all(progress=note))


@sync.command()
@command
def catalog(session: Session) -> None:
    """Compare products and prices."""
    _run(session, lambda billing, note: billing.sync.catalog(progress=note))


@sync.command()
@command
def subscriptions(session: Session) -> None:
    """Compare subscriptions, their schedules and invoices."""
    _run(session, lambda billing, note: billing.sync.subscriptions(progress=note))


@sync.command()
@click.option("--dry-run", is_flag=True, help="Only say who would be adopted, and who not and why.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='A JSON file that says whose Stripe customers are: {"cus_1": "org_1"}.',
)
@command
def customers(session: Session, mapping: Path | None, *, dry_run: bool) -> None:
    """Compare customers, after adopting those that are at Stripe already."""
    whose = None if mapping is None else _mapping(mapping)
    _run(session, lambda billing, note: billing.sync.customers(mapping=whose, dry_run=dry_run, progress=note))


@sync.command()
@click.argument("kind")
@click.argument("stripe_id")
@command
def object(session: Session, kind: str, stripe_id: str) -> None:
    """Bring one object up to date, such as `subscription sub_1`."""
    outcome = session.app.call(lambda billing: billing.sync.object(kind, stripe_id))
    session.out.document({"kind": kind, "id": stripe_id, "outcome": outcome}, [outcome])


@sync.command()
@click.argument("reference")
@command
def reference(session: Session, reference: str) -> None:
    """Bring everything of one customer up to date."""
    _conclude(session, session.app.call(lambda billing: billing.sync.reference(reference)))


def _run(session: Session, work: Callable[[Billing, Note], SyncReport]) -> None:
    with progress() as note:
        report = session.app.call(lambda billing: work(billing, note))
    _conclude(session, report)


def _conclude(session: Session, report: SyncReport) -> None:
    told = cast("dict[str, Any]", plain(report))
    session.out.document({**told, "ok": report.ok}, _lines(report))
    if not report.ok:
        raise SystemExit(PROBLEMS)


def _lines(report: SyncReport) -> Iterator[str]:
    if report.resumed:
        yield "went on where an earlier run was cut short"
    if isinstance(report, AdoptionReport):
        verb = "would be adopted" if report.dry_run else "adopted"
        for adoption in report.adopted:
            unsold = f", no plan sells {', '.join(adoption.unmapped_prices)}" if adoption.unmapped_prices else ""
            whose = adoption.reference.id
            yield f"{adoption.stripe_customer_id} {verb} by {whose}: {adoption.subscriptions} subscriptions{unsold}"
        for left in report.left:
            yield f"{left.stripe_customer_id} left alone: {left.reason}"
    for kind, count in report.kinds.items():
        yield f"{kind}: {_numbers(count)}"
    for failure in report.failures:
        yield f"failed: {failure.kind} {failure.id} ({failure.code})"


def _numbers(count: Count) -> str:
    told = cast("dict[str, int]", plain(count))
    return ", ".join(f"{number} {name}" for name, number in told.items() if number or name == "seen")


def _mapping(path: Path) -> dict[str, str]:
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as wrong:
        raise click.BadParameter("is not JSON", param_hint="--mapping") from wrong
    if not isinstance(read, dict) or not all(isinstance(each, str) for each in cast("dict[str, Any]", read).values()):
        raise click.BadParameter("must be an object of Stripe ids and references", param_hint="--mapping")
    return cast("dict[str, str]", read)
