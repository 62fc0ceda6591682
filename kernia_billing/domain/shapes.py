"""Every member of Stripe's objects that ever moved, read wherever it stands.

One installation sees several versions of the API at once: events keep the version of their endpoint, replayed ones that
of years ago. So nothing here asks for a version. The newest place counts where two are filled; ids may be expanded
objects; values that are not known yet are kept as they are. Versions are those of
https://docs.stripe.com/changelog, from 2024-04-10 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from .instants import Instant
from .reading import Json, amount, decimal, entries, flag, id_of, instant, listed, members, text, texts, whole

_UI_MODES = {"hosted": "hosted_page", "embedded": "embedded_page", "custom": "elements"}

# ── Any object ───────────────────────────────────────────────────────────────────────────────────────────────────────


def owner_of(subject: Json) -> str | None:
    """Whose object it is: a customer, or since 2025-12-15 an account that buys (`customer_account`)."""
    return id_of(subject.get("customer")) or id_of(subject.get("customer_account"))


def is_deleted(subject: Json) -> bool:
    """Whether it is only the note that Stripe deleted it."""
    return flag(subject.get("deleted"))


# ── Subscriptions ────────────────────────────────────────────────────────────────────────────────────────────────────


def items_of(subject: Json) -> Sequence[Json]:
    """The items of a subscription."""
    return listed(subject.get("items"))


def period_of_item(item: Json, subscription: Json) -> tuple[Instant | None, Instant | None]:
    """Start and end of an item's period: on the item since 2025-03-31, on the subscription before.

    The subscription's counts only where no item has one of its own.
    """
    own = any(instant(each.get("current_period_end")) is not None for each in items_of(subscription))
    place = item if own else subscription
    return instant(place.get("current_period_start")), instant(place.get("current_period_end"))


def period_of_subscription(subscription: Json) -> tuple[Instant | None, Instant | None]:
    """The earliest start and the earliest end, which is the next renewal: items of one subscription may differ."""
    items = items_of(subscription)
    periods = [period_of_item(item, subscription) for item in items] or [period_of_item({}, subscription)]
    starts = [start for start, _ in periods if start is not None]
    ends = [end for _, end in periods if end is not None]
    return min(starts, default=None), min(ends, default=None)


def paid_through(subscription: Json) -> Instant | None:
    """Until when everything is billed: the latest end of a period, or `billed_until` where it was billed ahead."""
    items = items_of(subscription)
    ends = [instant(item.get("billed_until")) or period_of_item(item, subscription)[1] for item in items]
    ends = ends or [period_of_item({}, subscription)[1]]
    return max((end for end in ends if end is not None), default=None)


def quantity_of(item: Json) -> int | None:
    """The quantity of an item; None for a metered price, for which Stripe sends none."""
    return whole(item.get("quantity"))


def billing_mode(subscription: Json) -> str:
    """How Stripe bills it: "classic", the only one before 2025-06-30, or "flexible"."""
    return text(members(subscription.get("billing_mode")).get("type")) or "classic"


def paused_by(subscription: Json) -> str | None:
    """Why a subscription with the status `paused` is: a trial that ended without a card, before 2026-09-30 always."""
    details = members(members(subscription.get("status_details")).get("paused"))
    told = text(members(details.get("subscription")).get("type")) or text(details.get("type"))
    if told is None and subscription.get("status") == "paused":
        return "trial_end_without_payment_method"
    return told


def cancellation_feedback(subscription: Json) -> str | None:
    """What the customer chose as the reason: `feedback`, or since 2026-08-26 an option of the account's own."""
    details = members(subscription.get("cancellation_details"))
    return text(details.get("feedback")) or id_of(details.get("feedback_option"))


# ── Prices, lines and products ───────────────────────────────────────────────────────────────────────────────────────


def price_of(item: Json) -> str | None:
    """The price of an item of a subscription, of a schedule's phase or of an invoice, of a plan from before prices."""
    priced = members(members(item.get("pricing")).get("price_details"))
    return id_of(priced.get("price")) or id_of(item.get("price")) or id_of(item.get("plan"))


def interval_of_price(price: Json) -> tuple[str | None, int | None]:
    """How often a price recurs: in `recurring`, for a plan at the top."""
    place = members(price.get("recurring")) or price
    return text(place.get("interval")), whole(place.get("interval_count"))


def features_of_product(product: Json) -> Sequence[str]:
    """The lines of a pricing page: `features` until 2024-04-10, `marketing_features` since."""
    told = listed(product.get("marketing_features")) or listed(product.get("features"))
    return [name for each in told if (name := text(each.get("name"))) is not None]


def _unit_amount(place: Json) -> Decimal | None:
    exact = decimal(place.get("unit_amount_decimal"))
    return exact if exact is not None else decimal(place.get("unit_amount"))


def unit_amount(line: Json) -> Decimal | None:
    """What one unit of an invoice line, an item or a price costs, in minor units, which may be parts of one."""
    for place in (members(line.get("pricing")), line, members(line.get("price"))):
        if (found := _unit_amount(place)) is not None:
            return found
    return None


def quantity_of_line(line: Json) -> Decimal | None:
    """The quantity of an invoice line: exact since 2026-03-25, whole before."""
    exact = decimal(line.get("quantity_decimal"))
    return exact if exact is not None else decimal(line.get("quantity"))


def _line_parent(line: Json) -> Json:
    parent = members(line.get("parent"))
    chosen = members(parent.get(text(parent.get("type")) or ""))
    return chosen or members(parent.get("subscription_item_details")) or members(parent.get("invoice_item_details"))


def subscription_of_line(line: Json) -> str | None:
    """The subscription that a line bills."""
    return id_of(_line_parent(line).get("subscription")) or id_of(line.get("subscription"))


def item_of_line(line: Json) -> str | None:
    """The item of the subscription that a line bills."""
    return id_of(_line_parent(line).get("subscription_item")) or id_of(line.get("subscription_item"))


def invoice_item_of_line(line: Json) -> str | None:
    """The invoice item that a line came from."""
    return id_of(_line_parent(line).get("invoice_item")) or id_of(line.get("invoice_item"))


def proration_of_line(line: Json) -> bool:
    """Whether a line corrects a period that was billed already."""
    told = _line_parent(line).get("proration")
    return flag(told if isinstance(told, bool) else line.get("proration"))


def taxes_of(subject: Json) -> int:
    """The tax of an invoice or a line, in minor units.

    Raises:
        InvalidInput: an amount is no integer.
    """
    for name in ("total_taxes", "taxes", "total_tax_amounts", "tax_amounts"):
        if listed(subject.get(name)):
            return sum(amount(each, "amount") for each in listed(subject[name]))
    return amount(subject, "tax")


# ── Invoices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parent_details(invoice: Json, name: str) -> Json:
    return members(members(invoice.get("parent")).get(name))


def subscription_of_invoice(invoice: Json) -> str | None:
    """The subscription that an invoice bills: under `parent` since 2025-03-31, at the top before."""
    details = _parent_details(invoice, "subscription_details")
    return id_of(details.get("subscription")) or id_of(invoice.get("subscription"))


def subscription_metadata_of_invoice(invoice: Json) -> dict[str, str]:
    """The subscription's metadata as it was when the invoice was made."""
    details = _parent_details(invoice, "subscription_details") or members(invoice.get("subscription_details"))
    return texts(details.get("metadata"))


def proration_date_of_invoice(invoice: Json) -> Instant | None:
    """The instant that prorations of an invoice were computed for."""
    moved = instant(_parent_details(invoice, "subscription_details").get("subscription_proration_date"))
    return moved if moved is not None else instant(invoice.get("subscription_proration_date"))


def quote_of_invoice(invoice: Json) -> str | None:
    """The quote that an invoice came from."""
    return id_of(_parent_details(invoice, "quote_details").get("quote")) or id_of(invoice.get("quote"))


def is_paid(invoice: Json) -> bool:
    """Whether nothing is to be paid any more: `paid` until 2025-03-31, the status alone since."""
    return invoice.get("status") == "paid" or flag(invoice.get("paid"))


def _payments(invoice: Json) -> Sequence[Json]:
    """The payments of an invoice where they were expanded, the one that paid first."""
    told = sorted(listed(invoice.get("payments")), key=lambda each: _payment_rank(each.get("status")))
    return [members(each.get("payment")) for each in told]


def _payment_rank(status: object) -> int:
    ranks = ("paid", "open")
    return ranks.index(status) if status in ranks else len(ranks)


def payment_intents_of(invoice: Json) -> Sequence[str]:
    """The payment intents of an invoice, the one that paid it first; none where payments were not expanded."""
    told = [*(each.get("payment_intent") for each in _payments(invoice)), invoice.get("payment_intent")]
    return list(dict.fromkeys(found for each in told if (found := id_of(each)) is not None))


def charges_of(invoice: Json) -> Sequence[str]:
    """The charges of an invoice that was paid without a payment intent, or rendered before 2025-03-31."""
    told = [*(each.get("charge") for each in _payments(invoice)), invoice.get("charge")]
    return list(dict.fromkeys(found for each in told if (found := id_of(each)) is not None))


def invoice_of(payment: Json) -> str | None:
    """The invoice of a charge or a payment intent, which have it until 2025-03-31, a credit note or a payment."""
    return id_of(payment.get("invoice"))


def refunds_of_credit_note(note: Json) -> Sequence[str]:
    """The refunds of a credit note: one until 2025-03-31, a list since."""
    told = [*(each.get("refund") for each in listed(note.get("refunds"))), note.get("refund")]
    return list(dict.fromkeys(found for each in told if (found := id_of(each)) is not None))


# ── Discounts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def discounts_of(subject: Json) -> Sequence[object]:
    """The discounts of a subscription, an invoice or a customer, each an id or an object: one until 2025-03-31."""
    found: dict[str, object] = {}
    for each in (*entries(subject.get("discounts")), subject.get("discount")):
        if (name := id_of(each)) is not None:
            found.setdefault(name, each)
    return list(found.values())


def coupon_of_discount(discount: Json) -> str | None:
    """The coupon of a discount: an object until 2025-09-30, an id under `source` since."""
    return id_of(members(discount.get("source")).get("coupon")) or id_of(discount.get("coupon"))


def promotion_coupon(code: Json) -> str | None:
    """The coupon of a promotion code: under `promotion` since 2025-09-30."""
    return id_of(members(code.get("promotion")).get("coupon")) or id_of(code.get("coupon"))


# ── Schedules, sessions, payment methods ─────────────────────────────────────────────────────────────────────────────


def subscription_of_schedule(schedule: Json) -> str | None:
    """The subscription that a schedule governs, or governed until it was released."""
    return id_of(schedule.get("subscription")) or id_of(schedule.get("released_subscription"))


def items_of_phase(phase: Json) -> Sequence[Json]:
    """The items of a schedule's phase; `plans` are what they were called before prices."""
    return listed(phase.get("items")) or listed(phase.get("plans"))


def ui_mode(session: Json) -> str:
    """Where a checkout page is shown, in the words of 2026-03-25; a hosted page where nothing is said."""
    told = text(session.get("ui_mode")) or "hosted_page"
    return _UI_MODES.get(told, told)


def shipping_of_session(session: Json) -> Json:
    """What was asked for as the place to ship to; empty where nothing was."""
    collected = members(members(session.get("collected_information")).get("shipping_details"))
    return collected or members(session.get("shipping_details"))


def subscription_of(subject: Json) -> str | None:
    """The subscription that an object of any kind is about; None where it is about none."""
    kind = subject.get("object")
    if kind == "subscription":
        return id_of(subject)
    if kind == "invoice":
        return subscription_of_invoice(subject)
    if kind == "subscription_schedule":
        return subscription_of_schedule(subject)
    return id_of(subject.get("subscription"))


def details_of_payment_method(method: Json) -> tuple[str | None, str | None, int | None, int | None]:
    """Brand, last four digits, and month and year of expiry, of whatever type of payment method has them."""
    details = members(method.get(text(method.get("type")) or ""))
    brand = text(details.get("brand")) or text(details.get("bank_name"))
    return brand, text(details.get("last4")), whole(details.get("exp_month")), whole(details.get("exp_year"))
