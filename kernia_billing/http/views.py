"""From what operations return to what a client gets.

Dates are `YYYY-MM-DDTHH:MM:SS.mmmZ` with exactly three digits, because the browser client reads a longer fraction as
that many milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, structs

from ..domain.answers import (
    Balance,
    Customer,
    Decision,
    Invoice,
    Page,
    PlanView,
    Reservation,
    Subscription,
    Usage,
    UsageEvent,
    UsagePoint,
    WebhookHealth,
)
from ..domain.catalog import PriceRow, ProductRow
from ..domain.ids import Property
from ..domain.instants import to_instant, to_iso_ms
from ..domain.money import Money
from ..domain.plans import Allowance, Boolean, Credits, Quantity
from ..domain.references import CustomerType
from ..domain.upkeep import SyncState
from .answers import (
    AllowanceView,
    BalanceView,
    CheckView,
    CustomerView,
    FoundInvoicesView,
    FoundInvoiceView,
    InvoicesView,
    InvoiceView,
    MoneyView,
    OverageView,
    PlanPricesView,
    PlanRowView,
    PlansView,
    PreviewView,
    PricesView,
    PriceView,
    ProductsView,
    ProductView,
    RedirectView,
    ReservationView,
    SubscriptionView,
    SyncView,
    TrackView,
    UsageEventView,
    UsagePointView,
    UsageSeriesView,
    UsageView,
    WebhookHealthView,
)


def date(value: datetime) -> str:
    """A datetime on the wire."""
    if value.tzinfo is UTC:
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return to_iso_ms(to_instant(value))


def date_or_none(value: datetime | None) -> str | None:
    """A datetime on the wire, or null."""
    return None if value is None else date(value)


def check_view(decision: Decision, *, preview: bool) -> CheckView:
    """A decision."""
    balance = decision.balance
    return CheckView(
        allowed=decision.allowed,
        reason=decision.reason,
        message=decision.message,
        feature=decision.feature,
        reference_id=decision.reference.id,
        customer_type=decision.reference.type,
        required=decision.required,
        unlimited=balance.unlimited,
        included=None if balance.unlimited else balance.included,
        used=balance.used,
        held=balance.held,
        remaining=None if balance.unlimited else balance.remaining,
        overage=OverageView(
            allowed=any(line.get("kind") == "overage" for line in decision.breakdown),
            used=balance.overage_used,
            limit=balance.overage_limit,
        ),
        minimum=balance.minimum,
        resets_at=date_or_none(balance.resets_at),
        breakdown=_lines(decision.breakdown),
        limits=_lines(decision.limits),
        degraded=decision.degraded,
        as_of=date(decision.as_of),
        preview=PreviewView(list(decision.offers)) if preview else UNSET,
    )


def track_view(usage: Usage, reference_id: str) -> TrackView:
    """A receipt."""
    return TrackView(
        event_id=usage.event_id,
        feature=usage.feature,
        reference_id=reference_id,
        quantity=usage.quantity,
        funded=usage.funded,
        unfunded=usage.unfunded,
        replayed=usage.replayed,
        late=usage.late,
        balance=balance_view(usage.balance),
        deductions=_lines(usage.deductions),
    )


def reservation_view(found: Reservation) -> ReservationView:
    """What is set aside, or was."""
    return ReservationView(
        reservation_id=found.id,
        feature=found.feature,
        reference_id=found.reference.id,
        held=found.held,
        expires_at=date(found.expires_at),
        balance=balance_view(found.balance),
        usage=UNSET if found.usage is None else track_view(found.usage, found.reference.id),
    )


def balance_view(balance: Balance) -> BalanceView:
    """A balance."""
    return BalanceView(
        included=None if balance.unlimited else balance.included,
        used=balance.used,
        held=balance.held,
        remaining=None if balance.unlimited else balance.remaining,
        unlimited=balance.unlimited,
        resets_at=date_or_none(balance.resets_at),
    )


def subscription_view(
    subscription: Subscription, limits: Mapping[str, object] | None, price_id: str | None
) -> SubscriptionView:
    """A subscription."""
    return SubscriptionView(
        id=subscription.id,
        plan=subscription.plan,
        reference_id=subscription.reference.id,
        stripe_customer_id=subscription.stripe_customer_id,
        stripe_subscription_id=subscription.stripe_id,
        status=subscription.status,
        period_start=date_or_none(subscription.period_start),
        period_end=date_or_none(subscription.period_end),
        trial_start=date_or_none(subscription.trial_start),
        trial_end=date_or_none(subscription.trial_end),
        cancel_at_period_end=subscription.cancel_at_period_end,
        cancel_at=date_or_none(subscription.cancel_at),
        canceled_at=date_or_none(subscription.canceled_at),
        ended_at=date_or_none(subscription.ended_at),
        seats=subscription.seats,
        billing_interval=subscription.interval,
        stripe_schedule_id=subscription.schedule_id,
        limits=UNSET if limits is None else dict(limits),
        price_id=UNSET if price_id is None else price_id,
        resumes_at=UNSET if subscription.resumes_at is None else date(subscription.resumes_at),
    )


def customer_view(
    customer: Customer | None,
    reference_id: str,
    customer_type: CustomerType,
    subscription: SubscriptionView | None,
    balances: Mapping[str, Balance],
) -> CustomerView:
    """A customer, also where there is none yet."""
    stripe_id = None if customer is None else customer.stripe_id
    return CustomerView(
        reference_id=reference_id,
        customer_type=customer_type,
        stripe_customer_id=stripe_id,
        plan=None if customer is None else customer.plan,
        subscription=subscription,
        portal_available=stripe_id is not None,
        features={feature: balance_view(balance) for feature, balance in balances.items()},
    )


def usage_view(page: Page[UsageEvent]) -> UsageView:
    """A page of recorded uses."""
    events = [
        UsageEventView(each.id, each.feature, each.quantity, date(each.occurred_at), _properties(each.properties))
        for each in page.items
    ]
    return UsageView(events, page.next_cursor)


def series_view(points: Sequence[UsagePoint], *, grouped: bool) -> UsageSeriesView:
    """Use over time; every point names its group where groups were asked for."""
    return UsageSeriesView(
        [UsagePointView(date(each.start), each.quantity, each.group if grouped else UNSET) for each in points]
    )


def invoices_view(page: Page[Invoice]) -> InvoicesView:
    """A page of invoices."""
    return InvoicesView([_invoice(each) for each in page.items], page.next_cursor)


def found_invoices_view(page: Page[Invoice]) -> FoundInvoicesView:
    """A page of invoices of all references."""
    found = [
        FoundInvoiceView(
            **structs.asdict(_invoice(each)), reference_id=each.reference.id, customer_type=each.reference.type
        )
        for each in page.items
    ]
    return FoundInvoicesView(found, page.next_cursor)


def redirect_view(
    url: str | None,
    *,
    disabled: bool,
    session_id: str | None = None,
    status: str | None = None,
    subscription: SubscriptionView | None = None,
) -> RedirectView:
    """Where to send the browser; `redirect` only together with an absolute URL."""
    absolute = url is not None and url.startswith(("https://", "http://"))
    return RedirectView(
        url=url,
        redirect=absolute and not disabled,
        id=UNSET if session_id is None else session_id,
        object=UNSET if session_id is None else "checkout.session",
        status=UNSET if session_id is None or status is None else status,
        subscription=UNSET if subscription is None else subscription,
    )


def plans_view(plans: Sequence[PlanView]) -> PlansView:
    """A pricing page."""
    return PlansView(
        [
            PlanRowView(
                name=plan.name,
                title=plan.title,
                prices=PlanPricesView(_money(plan.monthly), _money(plan.annual)),
                features={key: allowance_view(key, allowance) for key, allowance in plan.features.items()},
                trial_days=plan.trial_days,
            )
            for plan in plans
        ]
    )


def allowance_view(key: str, allowance: Allowance) -> AllowanceView:
    """What a plan gives of a feature."""
    if isinstance(allowance, Boolean):
        return AllowanceView("boolean")
    included = None if allowance.unlimited else allowance.included
    if isinstance(allowance, Quantity):
        kind = "seat" if key == "seats" else "quantity"
        return AllowanceView(kind, included, allowance.unlimited, allowance.per_seat)
    return AllowanceView(
        kind="credit" if isinstance(allowance, Credits) else "metered",
        included=included,
        unlimited=allowance.unlimited,
        per_seat=allowance.per_seat,
        reset_period=allowance.reset,
        allow_overage=allowance.overage != "none",
        overage_limit=allowance.overage_limit,
    )


def products_view(page: Page[ProductRow]) -> ProductsView:
    """A page of products. Their metadata is the seller's own and stays here."""
    products = [
        ProductView(each.id, each.active, each.name, each.description, to_iso_ms(each.created_at))
        for each in page.items
        if not each.deleted
    ]
    return ProductsView(products, page.next_cursor)


def prices_view(page: Page[PriceRow]) -> PricesView:
    """A page of prices. Nickname and metadata are the seller's own and stay here."""
    return PricesView([_price(each) for each in page.items if not each.deleted], page.next_cursor)


def sync_view(counts: Mapping[str, int], state: SyncState | None) -> SyncView:
    """What an import did."""
    return SyncView(
        products=counts.get("products", 0),
        prices=counts.get("prices", 0),
        created=counts.get("created", 0),
        updated=counts.get("updated", 0),
        deactivated=counts.get("deactivated", 0),
        synced_at=None if state is None or state.finished_at is None else to_iso_ms(state.finished_at),
    )


def webhook_health_view(health: WebhookHealth) -> WebhookHealthView:
    """How webhooks are doing."""
    return WebhookHealthView(
        last_received_at=date_or_none(health.last_received_at),
        last_processed_at=date_or_none(health.last_processed_at),
        waiting=health.waiting,
        lag_seconds=health.lag_seconds,
        dead=health.dead,
        unmatched=health.unmatched,
        failures_last_day=health.failures_last_day,
        counts=dict(health.counts),
        hooks_waiting=health.hooks_waiting,
        hooks_lag_seconds=health.hooks_lag_seconds,
    )


def _price(price: PriceRow) -> PriceView:
    return PriceView(
        id=price.id,
        product_id=price.product_id,
        active=price.active,
        currency=price.currency,
        type=price.type,
        unit_amount=price.unit_amount,
        unit_amount_decimal=price.unit_amount_decimal,
        interval=price.interval,
        interval_count=price.interval_count,
        usage_type=price.usage_type,
        billing_scheme=price.billing_scheme,
        lookup_key=price.lookup_key,
        created_at=to_iso_ms(price.created_at),
    )


def _invoice(invoice: Invoice) -> InvoiceView:
    return InvoiceView(
        id=invoice.id,
        number=invoice.number,
        status=invoice.status,
        currency=invoice.total.currency,
        total=invoice.total.amount,
        amount_due=invoice.amount_due.amount,
        amount_paid=invoice.amount_paid.amount,
        amount_remaining=invoice.amount_remaining.amount,
        created_at=date(invoice.created_at),
        period_start=date(invoice.period_start),
        period_end=date(invoice.period_end),
        due_at=date_or_none(invoice.due_at),
    )


def _money(money: Money | None) -> MoneyView | None:
    return None if money is None else MoneyView(money.amount, money.currency)


def _properties(properties: Mapping[str, Property]) -> dict[str, str | int | bool]:
    return dict(properties)


def _lines(lines: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    return [{key: _plain(value) for key, value in line.items()} for line in lines]


def _plain(value: object) -> Any:
    return date(value) if isinstance(value, datetime) else value
