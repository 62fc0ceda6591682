"""Who changed what: a row beside every change, written in its transaction, so that there is none without the other.

The actions, and what their values say:

    customer.linked, customer.unlinked     the Stripe customer of a reference
    customer.updated                       which members of a customer changed, not to what
    customer.deleted                       a reference was forgotten; its records stay
    price.mapped                           plan and interval that a price sells
    subscription.changed                   status, plan, seats and period of a subscription
    trial.will_end                         a trial is about to end, and hooks were told so
    change.made, change.scheduled          a plan was changed by us: what it was and is, or will be, and the cause
    change.undone, change.failed           what was pending was taken back; a change could not be paid
    subscription.duplicate                 a second live subscription of a plan group appeared
    webhook.replayed, webhook.retried      an event was worked on again because somebody said so
    intent.parked                          a call to Stripe whose outcome nobody knows
    meter.retried                          usage that Stripe did not count is sent again
    override.set, override.removed         what a reference has instead of what its plans include, and why
    grant.given, grant.revoked             what a reference was given beside its plans, with the note of whoever gave it
    grant.taken                            how much of a top-up is left, of whose payment more or less came back
    credit_min.set                         how low a balance of credits may get, with the note of whoever set it

Values hold ids, states and numbers, never what tells of a person.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.answers import AuditEntry, Page
from ..domain.ids import quantity
from ..domain.instants import Instant, to_datetime
from ..domain.references import Ref, Reference
from ..domain.subscriptions import SubscriptionRow
from ..domain.upkeep import AuditRow
from ..errors import InvalidInput
from ..ports.actor import current_actor, current_cause
from ..ports.store import Transaction
from .core import Core

Facts = Mapping[str, str | int | bool | None]
MAX_PAGE = 200


def record(
    tx: Transaction,
    core: Core,
    action: str,
    customer_id: str,
    subject: str,
    before: Facts | None,
    after: Facts | None,
) -> None:
    """Note a change inside of its unit of work; nothing where `before` equals `after`.

    `customer_id` is our id of the customer whose business it is, "" for nobody's; `subject` is the id of what changed;
    None stands for what was not there before, or is not there any more. The actor is the current one (`acting_as`).
    """
    if before != after:
        tx.audit.add(
            AuditRow(
                core.ids.new("audit"),
                core.now(),
                current_actor(),
                action,
                customer_id,
                subject,
                before,
                after,
                *current_cause(),
            )
        )


def record_subscription(tx: Transaction, core: Core, before: SubscriptionRow | None, after: SubscriptionRow) -> None:
    """Note how a subscription changed, and apart from it that it became the second live one of its plan group."""
    record(tx, core, "subscription.changed", after.customer_id, after.id, _facts(before), _facts(after))
    if after.duplicate and (before is None or not before.duplicate):
        record(
            tx,
            core,
            "subscription.duplicate",
            after.customer_id,
            after.id,
            None,
            {"stripe_subscription_id": after.stripe_subscription_id, "group": after.group},
        )


def _facts(row: SubscriptionRow | None) -> Facts | None:
    if row is None:
        return None
    return {
        "stripe_subscription_id": row.stripe_subscription_id or None,
        "status": row.status,
        "plan": row.plan,
        "interval": row.interval,
        "seats": row.seats,
        "period_start": row.period_start,
        "period_end": row.period_end,
        "cancel_at": row.cancel_at,
        "cancel_feedback": row.cancel_feedback,
        "pause_behavior": row.pause_behavior,
        "resumes_at": row.resumes_at,
        "ended_at": row.ended_at,
    }


async def page(
    core: Core, reference: Ref | None = None, *, limit: int = 100, cursor: str | None = None
) -> Page[AuditEntry]:
    """One page of the changes, newest first: of one reference, or of all. `limit` is 1 to 200.

    Raises:
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    who = None if reference is None else core.reference(reference)
    quantity(limit, "limit", maximum=MAX_PAGE)
    before = None if cursor is None else position(cursor)

    def read(tx: Transaction) -> Page[AuditEntry]:
        customer = None if who is None else tx.customers.get(who)
        if who is not None and customer is None:
            return Page((), None)
        rows = tx.audit.page(customer_id=None if customer is None else customer.id, limit=limit + 1, before=before)
        shown = rows[:limit]
        following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else None
        references = _references(tx, {row.customer_id for row in shown if row.customer_id})
        return Page(tuple(_entry(row, references.get(row.customer_id)) for row in shown), following)

    return await core.store.read(read)


def _references(tx: Transaction, customer_ids: set[str]) -> Mapping[str, Reference]:
    found = (tx.customers.by_id(each) for each in customer_ids)
    return {row.id: row.reference for row in found if row is not None}


def _entry(row: AuditRow, reference: Reference | None) -> AuditEntry:
    return AuditEntry(
        row.id,
        to_datetime(row.at),
        row.actor,
        row.action,
        reference,
        row.subject,
        row.before,
        row.after,
        row.cause or None,
        row.event_id or None,
    )


def position(cursor: str) -> tuple[Instant, str]:
    """Where a page of the log ended.

    Raises:
        InvalidInput: it is no cursor of ours.
    """
    when, _, entry_id = cursor.partition(".")
    if not (when.isascii() and when.isdigit() and len(when) <= 16 and 0 < len(entry_id) <= 64 and entry_id.isascii()):
        raise InvalidInput("must be a next_cursor that was given out", field="cursor")
    return int(when), entry_id
