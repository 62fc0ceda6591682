"""Rows to put into a store: complete, valid, and different in whatever a test names."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ...domain.catalog import PriceMapping, PriceRow, ProductRow
from ...domain.checkouts import CheckoutRow
from ...domain.customers import CustomerRow
from ...domain.grants import BucketRow, Grant, LedgerLine, UsageRow
from ...domain.holds import HoldRow
from ...domain.instants import FOREVER
from ...domain.invoices import InvoiceRow
from ...domain.outbound import IntentRow, OutboxRow
from ...domain.payment_methods import PaymentMethodRow
from ...domain.period import Interval
from ...domain.purchases import PurchaseRow
from ...domain.references import Reference
from ...domain.schedules import SchedulePhase, ScheduleRow
from ...domain.stripe_customers import StripeCustomerRow
from ...domain.subscriptions import SubscriptionRow
from ...domain.upkeep import AuditRow, MeterEventRow
from ...domain.webhooks import InboxRow

NOW = 1_790_000_000_000_000
MONTH = 30 * 86_400_000_000


def customer(of: str = "org_a", /, **changes: Any) -> CustomerRow:
    """A customer of the organization `of`, whose id is `cus:` and that."""
    row = CustomerRow(f"cus:{of}", Reference(of, "organization"), None, None, None, 0, 0, None, 0, NOW)
    return evolve(row, **changes)


def grant(name: str = "grant", customer_id: str = "cus:org_a", **changes: Any) -> Grant:
    """A monthly grant of 100 messages."""
    row = Grant(
        id=name,
        customer_id=customer_id,
        feature="messages",
        entity="",
        kind="grant",
        source_type="plan",
        source_id=f"source of {name}",
        category=1,
        amount=100,
        priority=50,
        effective_at=NOW,
        expires_at=FOREVER,
        closed_at=FOREVER,
        interval=Interval("month"),
        anchor_at=NOW,
        meter=None,
        created_seq=1,
    )
    return evolve(row, **changes)


def bucket(of: Grant, name: str = "bucket", **changes: Any) -> BucketRow:
    """The first period of a grant, nothing used."""
    row = BucketRow(
        id=name,
        grant_id=of.id,
        customer_id=of.customer_id,
        feature=of.feature,
        entity=of.entity,
        period_no=0,
        period_start=NOW,
        period_end=NOW + MONTH,
        amount=of.amount,
        used=0,
        held=0,
        closed_at=FOREVER,
    )
    return evolve(row, **changes)


def usage(seq: int = 1, customer_id: str = "cus:org_a", **changes: Any) -> UsageRow:
    """A use of one message."""
    row = UsageRow(
        id=f"use:{customer_id}:{seq:03}",
        customer_id=customer_id,
        seq=seq,
        feature="messages",
        entity="",
        quantity=1,
        funded=1,
        unfunded=0,
        mode="record",
        occurred_at=NOW + seq,
        received_at=NOW + seq,
        properties={},
        idempotency_key=f"key:{seq}",
        fingerprint="fingerprint",
        result={},
    )
    return evolve(row, **changes)


def line(of: UsageRow, number: int = 0, bucket_id: str = "bucket", **changes: Any) -> LedgerLine:
    """A ledger line of a use."""
    row = LedgerLine(of.customer_id, of.seq, number, bucket_id, "use", of.quantity, of.quantity, of.id, of.quantity)
    return evolve(row, **changes)


def hold(name: str = "hold", customer_id: str = "cus:org_a", **changes: Any) -> HoldRow:
    """An open hold of ten messages."""
    row = HoldRow(
        id=name,
        customer_id=customer_id,
        feature="messages",
        entity="",
        quantity=10,
        left=10,
        status="open",
        expires_at=NOW + 100,
        created_at=NOW,
        created_seq=1,
        ended_at=FOREVER,
        idempotency_key=f"key of {name}",
        fingerprint="fingerprint",
    )
    return evolve(row, **changes)


def product(id_: str = "prod_a", /, **changes: Any) -> ProductRow:
    """An active product."""
    return evolve(ProductRow(id_, active=True, name="Pro", description=None, metadata={}, created_at=NOW), **changes)


def price(name: str = "price_a", **changes: Any) -> PriceRow:
    """An active monthly price of 20 dollars."""
    row = PriceRow(
        id=name,
        product_id="prod_a",
        active=True,
        currency="usd",
        type="recurring",
        unit_amount=2000,
        unit_amount_decimal="2000",
        interval="month",
        interval_count=1,
        usage_type="licensed",
        billing_scheme="per_unit",
        meter=None,
        lookup_key=None,
        nickname=None,
        metadata={},
        created_at=NOW,
    )
    return evolve(row, **changes)


def mapping(price_id: str = "price_a", **changes: Any) -> PriceMapping:
    """The mapping of a price to the plan "pro"."""
    return evolve(PriceMapping(price_id, "pro", "month", "base", NOW), **changes)


def subscription(name: str = "sub", customer_id: str = "cus:org_a", **changes: Any) -> SubscriptionRow:
    """An active subscription, with nothing in it that may be missing."""
    row = SubscriptionRow(
        id=name,
        customer_id=customer_id,
        stripe_subscription_id=f"stripe:{name}",
        group="default",
        plan=None,
        plan_version_id=None,
        status="active",
        interval=None,
        price_id=None,
        item_id=None,
        seats=None,
        period_start=None,
        period_end=None,
        trial_start=None,
        trial_end=None,
        cancel_at_period_end=False,
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        billing_cycle_anchor=None,
        past_due_since=None,
        pause_behavior=None,
        schedule_id=None,
        duplicate=False,
        created_at=NOW,
        updated_at=NOW,
    )
    return evolve(row, **changes)


def checkout(name: str = "checkout", customer_id: str = "cus:org_a", **changes: Any) -> CheckoutRow:
    """An open checkout that Stripe has not answered yet."""
    row = CheckoutRow(
        id=name,
        customer_id=customer_id,
        group="default",
        plan="pro",
        interval="month",
        seats=1,
        fingerprint="fingerprint",
        subscription_id=f"sub of {name}",
        status="open",
        stripe_session_id=None,
        url=None,
        expires_at=NOW + MONTH,
        created_at=NOW,
    )
    return evolve(row, **changes)


def purchase(id: str = "purchase", customer_id: str = "cus:org_a", **changes: Any) -> PurchaseRow:
    """An open purchase that Stripe has not answered yet; `changes` may name the top-up otherwise."""
    row = PurchaseRow(
        id=id,
        customer_id=customer_id,
        mode="payment",
        name="pack",
        quantity=2,
        sold={"grants": {"credits": 1_000}, "length": None},
        fingerprint="fingerprint",
        status="open",
        stripe_session_id=None,
        url=None,
        line_id=None,
        payment_intent_id=None,
        paid=0,
        expires_at=NOW + MONTH,
        created_at=NOW,
    )
    return evolve(row, **changes)


def webhook(name: str = "evt_a", **changes: Any) -> InboxRow:
    """A webhook that was just received."""
    row = InboxRow(
        account="",
        event_id=name,
        type="invoice.paid",
        livemode=False,
        api_version=None,
        object_kind="invoice",
        object_id="in_a",
        payload={"id": name},
        created_at=NOW,
        received_at=NOW,
        status="received",
        attempts=0,
        lease_until=0,
        note=None,
    )
    return evolve(row, **changes)


def event(name: str = "event", customer_id: str = "cus:org_a", **changes: Any) -> OutboxRow:
    """An event to hand over."""
    return evolve(OutboxRow(name, "usage.recorded", customer_id, {"name": name}, NOW), **changes)


def intent(key: str = "intent", **changes: Any) -> IntentRow:
    """A call to Stripe that is about to be made."""
    row = IntentRow(key, "customer", "cus:org_a", "/v1/customers", {"email": None}, "pending", None, NOW)
    return evolve(row, **changes)


def invoice(name: str = "in_a", customer_id: str = "cus:org_a", **changes: Any) -> InvoiceRow:
    """A draft of 20 dollars, with nothing in it that may be missing."""
    row = InvoiceRow(
        id=name,
        customer_id=customer_id,
        stripe_subscription_id=None,
        status="draft",
        number=None,
        currency="usd",
        billing_reason=None,
        collection_method="charge_automatically",
        subtotal=2_000,
        total=2_000,
        amount_due=2_000,
        amount_paid=0,
        amount_remaining=2_000,
        attempt_count=0,
        next_payment_attempt=None,
        auto_advance=True,
        payment_intent_id=None,
        period_start=NOW,
        period_end=NOW + MONTH,
        due_date=None,
        finalized_at=None,
        paid_at=None,
        created_at=NOW,
        deleted=False,
        updated_at=NOW,
    )
    return evolve(row, **changes)


def schedule(name: str = "sub_sched_a", customer_id: str = "cus:org_a", **changes: Any) -> ScheduleRow:
    """A schedule that has not started, of one phase without end."""
    row = ScheduleRow(
        id=name,
        customer_id=customer_id,
        stripe_subscription_id=None,
        status="not_started",
        phase_start=None,
        phase_end=None,
        end_behavior="release",
        phases=(SchedulePhase(NOW, None, ("price_a",), (1,)),),
        created_at=NOW,
        deleted=False,
        updated_at=NOW,
    )
    return evolve(row, **changes)


def payment_method(name: str = "pm_a", customer_id: str = "cus:org_a", **changes: Any) -> PaymentMethodRow:
    """A card."""
    row = PaymentMethodRow(
        id=name,
        customer_id=customer_id,
        type="card",
        brand="visa",
        last4="4242",
        exp_month=12,
        exp_year=2030,
        created_at=NOW,
        detached=False,
        updated_at=NOW,
    )
    return evolve(row, **changes)


def stripe_customer(name: str = "cus_a", customer_id: str = "cus:org_a", **changes: Any) -> StripeCustomerRow:
    """A Stripe customer who never bought anything."""
    row = StripeCustomerRow(
        id=name,
        customer_id=customer_id,
        deleted=False,
        delinquent=False,
        balance=0,
        currency=None,
        default_payment_method_id=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return evolve(row, **changes)


def audit(name: str = "aud_a", **changes: Any) -> AuditRow:
    """Somebody subscribed."""
    row = AuditRow(name, NOW, "user:1", "subscription.create", "cus:org_a", "sub_1", None, {"plan": "pro"})
    return evolve(row, **changes)


def meter_event(name: str = "use_a", customer_id: str = "cus:org_a", **changes: Any) -> MeterEventRow:
    """A use that waits to be reported."""
    row = MeterEventRow(
        identifier=name,
        customer_id=customer_id,
        feature="messages",
        event_name="messages_sent",
        stripe_customer_id="cus_a",
        value=1,
        occurred_at=NOW,
        state="waiting",
        attempts=0,
        next_at=NOW,
        first_sent_at=None,
        sent_at=None,
        note=None,
        created_at=NOW,
    )
    return evolve(row, **changes)
