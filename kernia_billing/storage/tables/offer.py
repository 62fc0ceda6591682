"""What is sold: the mirrored catalog, and the versions of plans."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, UniqueConstraint

from ..types import Id
from .columns import KEY, amount, id_, index, instant, json, long, one_of, table

product = table(
    "billing_product",
    id_("id", primary_key=True),
    amount("active"),
    long("name", nullable=False),
    long("description"),
    json("metadata"),
    instant("created_at"),
    amount("deleted"),
    index("ix_billing_product_active", "active", "id"),
    flags=("active", "deleted"),
)

price = table(
    "billing_price",
    id_("id", primary_key=True),
    id_("product_id"),
    amount("active"),
    id_("currency", 20),
    id_("price_type", 50),
    amount("unit_amount", nullable=True),
    id_("unit_amount_decimal", 50, nullable=True),
    id_("interval_unit", 20, nullable=True),
    amount("interval_count", nullable=True),
    id_("usage_type", 50, nullable=True),
    id_("billing_scheme", 50),
    id_("meter", nullable=True),
    id_("lookup_key", nullable=True),
    long("nickname"),
    json("metadata"),
    instant("created_at"),
    amount("deleted"),
    index("ix_billing_price_product", "product_id", "id"),
    index("ix_billing_price_active", "active", "id"),
    index("ix_billing_price_lookup", "lookup_key", "active"),
    flags=("active", "deleted"),
)

plan_price = table(
    "billing_plan_price",
    id_("price_id", primary_key=True),
    id_("plan", KEY),
    id_("billing_interval", 20),
    id_("role", 20),
    instant("created_at"),
    interval=one_of("billing_interval", "month", "year"),
    role=one_of("role", "base", "seat"),
)

feature = table(
    "billing_feature",
    id_("feature_key", KEY, primary_key=True),
    id_("kind", 20),
    long("title"),
    long("unit"),
    amount("scale"),
    json("credit_cost"),
    id_("aggregation", 20),
    kind=one_of("kind", "boolean", "metered", "quantity", "seat", "credit"),
    aggregation=one_of("aggregation", "sum", "count", "max", "latest", "unique"),
)

plan = table(
    "billing_plan",
    id_("id", primary_key=True),
    id_("plan_key", KEY),
    amount("version"),
    id_("content_hash"),
    long("title"),
    instant("created_at"),
    UniqueConstraint("plan_key", "version", name="uq_billing_plan_version"),
    UniqueConstraint("plan_key", "content_hash", name="uq_billing_plan_content"),
    version="version >= 1",
)

plan_feature = table(
    "billing_plan_feature",
    Column("plan_id", Id(), ForeignKey("billing_plan.id", name="fk_billing_plan_feature_plan"), primary_key=True),
    id_("feature_key", KEY, primary_key=True),
    id_("kind", 20),
    amount("amount", nullable=True),
    amount("per_seat"),
    id_("reset", 20),
    id_("anchor", 20),
    id_("overage", 20),
    amount("overage_limit", nullable=True),
    id_("meter", nullable=True),
    id_("on_plan_change", 20),
    long("terms"),
    amount("trial", nullable=True),
    flags=("per_seat",),
    kind=one_of("kind", "boolean", "metered", "quantity", "seat", "credit"),
    amounts="(amount IS NULL OR amount >= 0) AND (overage_limit IS NULL OR overage_limit >= 0)",
    trial="trial IS NULL OR trial >= 0",
)
