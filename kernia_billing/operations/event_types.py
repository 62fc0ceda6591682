"""What each type of Stripe's events brings up to date here: one table, from which everything else follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal

from attrs import frozen

from ..domain.webhooks import InboxRow
from ..ports.store import Transaction
from . import notices
from .core import Core
from .projections import Ticketed

Place = Literal["object", "customer", "subscription", "invoice", "payment_intent"]
"""Where in an event the id of an object stands: it is about the object itself, or names it."""


@frozen
class Target:
    """An object to bring up to date."""

    kind: Ticketed
    place: Place = "object"


@frozen
class Treatment:
    """What is done about an event: objects are brought up to date, in this order; `reader` fetches what it says.

    Without either it is recorded and handed to hooks.
    """

    targets: tuple[Target, ...] = ()
    reader: Callable[[Core, InboxRow], Awaitable[notices.Facts]] | None = None


_ITS_SUBSCRIPTION = Target("subscription", "subscription")
_ITS_INVOICE = Target("invoice", "invoice")
RECORD = Treatment()
SESSION = Treatment((Target("checkout.session"),))
CUSTOMER = Treatment((Target("customer"),))
OF_CUSTOMER = Treatment((Target("customer", "customer"),))
SUBSCRIPTION = Treatment((Target("subscription"),))
SCHEDULE = Treatment((Target("schedule"), _ITS_SUBSCRIPTION))
INVOICE = Treatment((Target("invoice"), _ITS_SUBSCRIPTION))
OF_INVOICE = Treatment((_ITS_INVOICE,))
OF_PAYMENT = Treatment((_ITS_INVOICE, Target("payment_intent", "payment_intent")))
"""A payment is an invoice's, or that of what was bought once."""
PAYMENT_METHOD = Treatment((Target("payment_method"),))
PRODUCT = Treatment((Target("product"),))
PRICE = Treatment((Target("price"),))
METER_ERRORS = Treatment(reader=notices.meter_errors)

_TABLE: tuple[tuple[str, str, Treatment], ...] = (
    ("checkout.session", "completed async_payment_succeeded async_payment_failed expired", SESSION),
    ("customer", "created updated deleted", CUSTOMER),
    ("customer.tax_id", "created updated deleted", OF_CUSTOMER),
    ("customer.subscription", "created updated deleted paused resumed trial_will_end", SUBSCRIPTION),
    ("customer.subscription", "pending_update_applied pending_update_expired", SUBSCRIPTION),
    ("subscription_schedule", "created updated aborted canceled completed expiring released", SCHEDULE),
    ("invoice", "created updated deleted finalized finalization_failed sent paid payment_succeeded", INVOICE),
    ("invoice", "payment_failed payment_action_required payment_attempt_required overdue will_be_due", INVOICE),
    ("invoice", "overpaid marked_uncollectible voided", INVOICE),
    ("invoice", "upcoming", RECORD),
    ("invoice_payment", "paid", OF_INVOICE),
    ("payment_intent", "processing requires_action succeeded payment_failed canceled", OF_PAYMENT),
    ("charge", "refunded", OF_PAYMENT),
    ("charge.refund", "updated", OF_PAYMENT),
    ("charge.dispute", "created updated closed funds_withdrawn funds_reinstated", OF_PAYMENT),
    ("refund", "created updated failed", OF_PAYMENT),
    ("credit_note", "created updated voided", OF_INVOICE),
    ("payment_method", "attached detached updated automatically_updated", PAYMENT_METHOD),
    ("product", "created updated deleted", PRODUCT),
    ("price", "created updated deleted", PRICE),
    ("entitlements.active_entitlement_summary", "updated", RECORD),
)
"""A row: what events are about, what happened to it (the last words of their types), and what is done about it."""
_THIN_TABLE: tuple[tuple[str, str, Treatment], ...] = (
    ("billing.meter", "error_report_triggered no_meter_found", METER_ERRORS),
)
"""The same for types that Stripe sends as thin notifications only, as `v1.` and this."""


def _rows(table: Iterable[tuple[str, str, Treatment]]) -> dict[str, Treatment]:
    return {f"{noun}.{verb}": treatment for noun, verbs, treatment in table for verb in verbs.split()}


TREATMENTS: Mapping[str, Treatment] = {**_rows(_TABLE), **_rows(_THIN_TABLE)}
"""What is done about each type that is handled. All others are kept as `ignored`, and handed to hooks too."""
HANDLED: tuple[str, ...] = tuple(_rows(_TABLE))
"""The event types that an endpoint at Stripe has to be subscribed to."""
HANDLED_THIN: tuple[str, ...] = tuple(f"v1.{kind}" for kind in _rows(_THIN_TABLE))
"""The types that only an event destination with thin payloads can be subscribed to."""


def is_about_nothing(row: InboxRow) -> bool:
    """Whether an event changes nothing here: its type is not handled, or the object that it is about has no id."""
    treatment = TREATMENTS.get(row.type)
    if treatment is None:
        return True
    return not row.object_id and any(target.place == "object" for target in treatment.targets)


def find(tx: Transaction, row: InboxRow, target: Target) -> str | None:
    """The id of an object that an event brings up to date, None where the event is about none.

    Payments name no invoice since 2025-03-31; the invoices that we know do. A thin notification names nothing but its
    object, whose own row says the rest.
    """
    if target.place == "object":
        return row.object_id or None
    if target.place == "customer":
        return row.customer or None
    if target.place == "payment_intent":
        return _bought_by(tx, row)
    named = row.payload.get(target.place)
    if isinstance(named, str):
        return named
    if target.place == "invoice":
        return invoice_paid_by(tx, row)
    return _subscription_of(tx, row)


def invoice_paid_by(tx: Transaction, row: InboxRow) -> str | None:
    """The invoice that an event's payment intent paid, where we know of it."""
    intent = row.payload.get("payment_intent")
    known = tx.invoices.by_payment_intent(intent) if isinstance(intent, str) else None
    return None if known is None else known.id


def _bought_by(tx: Transaction, row: InboxRow) -> str | None:
    """The payment intent of an event where it paid for something that we sold once."""
    intent = row.payload.get("payment_intent")
    known = tx.purchases.by_payment_intent(intent) if isinstance(intent, str) else None
    return None if known is None else known.payment_intent_id


def _subscription_of(tx: Transaction, row: InboxRow) -> str | None:
    if row.object_kind == "invoice":
        invoice = tx.invoices.get(row.object_id)
        return None if invoice is None else invoice.stripe_subscription_id
    if row.object_kind == "subscription_schedule":
        schedule = tx.schedules.get(row.object_id)
        return None if schedule is None else schedule.stripe_subscription_id
    return None
