"""Who is billed, what they have, and what they used."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, UniqueConstraint

from ..types import Amount, Id
from .columns import KEY, amount, id_, index, instant, json, long, one_of, table

customer = table(
    "billing_customer",
    id_("id", primary_key=True),
    id_("customer_type", 20),
    id_("reference_id"),
    id_("stripe_customer_id", nullable=True),
    long("email"),
    long("name"),
    amount("ledger_seq"),
    amount("config_epoch"),
    id_("plan", KEY, nullable=True),
    instant("plan_until"),
    instant("created_at"),
    UniqueConstraint("customer_type", "reference_id", name="uq_billing_customer_reference"),
    UniqueConstraint("stripe_customer_id", name="uq_billing_customer_stripe"),
    index("ix_billing_customer_plan", "plan", "id"),
    customer_type=one_of("customer_type", "user", "organization"),
    counters="ledger_seq >= 0 AND config_epoch >= 0",
)

entitlement = table(
    "billing_entitlement",
    id_("id", primary_key=True),
    id_("customer_id"),
    id_("feature_key", KEY),
    id_("entity_id"),
    id_("kind", 20),
    id_("source_type", 20),
    id_("source_id"),
    amount("category"),
    amount("amount", nullable=True),
    amount("priority"),
    instant("effective_at"),
    instant("expires_at"),
    instant("closed_at"),
    id_("interval_unit", 20),
    amount("interval_count"),
    instant("anchor_at"),
    id_("meter", nullable=True),
    amount("created_seq"),
    UniqueConstraint(
        "customer_id",
        "source_type",
        "source_id",
        "feature_key",
        "entity_id",
        "kind",
        name="uq_billing_entitlement_source",
    ),
    index("ix_billing_entitlement_open", "customer_id", "feature_key", "closed_at"),
    kind=one_of("kind", "grant", "overage", "rollover"),
    amount="amount IS NULL OR amount >= 0",
    interval=one_of("interval_unit", "", "hour", "day", "week", "month", "year"),
)

bucket = table(
    "billing_bucket",
    id_("id", primary_key=True),
    Column(
        "entitlement_id",
        Id(),
        ForeignKey("billing_entitlement.id", name="fk_billing_bucket_entitlement"),
        nullable=False,
    ),
    id_("customer_id"),
    id_("feature_key", KEY),
    id_("entity_id"),
    amount("period_no"),
    instant("period_start"),
    instant("period_end"),
    amount("amount", nullable=True),
    amount("used"),
    amount("held"),
    instant("closed_at"),
    UniqueConstraint("entitlement_id", "period_no", name="uq_billing_bucket_period"),
    index("ix_billing_bucket_current", "entitlement_id", "period_end"),
    used="used >= 0",
    held="held >= 0",
    fits="amount IS NULL OR used + held <= amount",
    period="period_start < period_end",
)

usage_event = table(
    "billing_usage_event",
    id_("id", primary_key=True),
    id_("customer_id"),
    amount("seq"),
    id_("feature_key", KEY),
    id_("entity_id"),
    amount("quantity"),
    amount("funded"),
    amount("unfunded"),
    id_("mode", 20),
    instant("occurred_at"),
    instant("received_at"),
    json("properties"),
    id_("idempotency_key"),
    id_("fingerprint"),
    json("result"),
    UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_usage_event_key"),
    UniqueConstraint("customer_id", "seq", name="uq_billing_usage_event_seq"),
    index("ix_billing_usage_event_time", "customer_id", "occurred_at", "id"),
    index("ix_billing_usage_event_feature", "customer_id", "feature_key", "occurred_at", "id"),
    mode=one_of("mode", "require", "cap", "record", "return"),
)

ledger = table(
    "billing_ledger",
    id_("customer_id", primary_key=True),
    Column("seq", Amount, primary_key=True, autoincrement=False),
    Column("line", Amount, primary_key=True, autoincrement=False),
    id_("bucket_id"),
    id_("entry", 20),
    amount("amount"),
    amount("used_after"),
    id_("event_id"),
    entry=one_of("entry", "open", "use", "return", "carry", "amend"),
    used_after="used_after >= 0",
)
