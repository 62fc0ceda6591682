"""What telemetry hears of our own work: webhooks and jobs. Calls to Stripe are told of by the Stripe port itself."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from ..domain.instants import SECOND
from ..domain.webhooks import InboxRow
from ..errors import InvalidSignature
from ..ports.actor import DEFAULT_ACTOR, acting_as, because_of, current_actor
from ..ports.telemetry import JOB_DURATION, QUEUE_DEPTH, WEBHOOK_LAG, WEBHOOKS, Span, kind_of
from .core import Core

Answer = TypeVar("Answer", bound=str)


@contextmanager
def job(core: Core, name: str) -> Generator[Span]:
    """Enclose a job such as "reconcile": a span, its duration, and "jobs" as the actor where nobody else acts."""
    actor = acting_as("jobs") if current_actor() == DEFAULT_ACTOR else nullcontext()
    with (
        actor,
        core.telemetry.span(f"job {name}", {"kernia_billing.job": name}, measure=JOB_DURATION) as span,
    ):
        yield span


async def webhook(core: Core, row: InboxRow, work: Awaitable[Answer]) -> Answer:
    """Do the work on a webhook: a span, the lag behind Stripe, and "stripe" as the actor. Gives what became of it."""
    kind = {"kernia_billing.event.type": row.type}
    with (
        acting_as("stripe"),
        because_of(row.type, row.event_id),
        core.telemetry.span("process webhook", kind, kind="consumer") as span,
    ):
        span.identify("kernia_billing.event.id", row.event_id)
        span.identify("kernia_billing.attempt", row.attempts)
        try:
            outcome = await work
        except Exception as failure:
            core.telemetry.log(
                "warning",
                "webhook.failed",
                {"event": row.event_id, "type": row.type, "attempts": row.attempts, "error": kind_of(failure)},
            )
            _note_lag(core, row, "failed")
            raise
        span.set("kernia_billing.outcome", outcome)
        _note_lag(core, row, outcome)
        return outcome


def _note_lag(core: Core, row: InboxRow, outcome: str) -> None:
    lag = max(0, core.now() - row.created_at) / SECOND
    told = {"kernia_billing.event.type": row.type, "kernia_billing.outcome": outcome}
    core.telemetry.record(WEBHOOK_LAG, lag, told)


@contextmanager
def verification(core: Core) -> Generator[None]:
    """Enclose the look at a webhook request: forgeries are counted, and logged without anything that came with them."""
    try:
        yield
    except InvalidSignature:
        core.telemetry.count(WEBHOOKS, 1, {"kernia_billing.outcome": "refused"})
        core.telemetry.log("warning", "webhook.refused")
        raise
    core.telemetry.count(WEBHOOKS, 1, {"kernia_billing.outcome": "verified"})


def queue_depth(core: Core, queue: str, depth: int) -> None:
    """Note how many items wait in a queue, such as "inbox" or "outbox"."""
    core.telemetry.record(QUEUE_DEPTH, depth, {"kernia_billing.queue": queue})
