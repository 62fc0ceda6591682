"""How grants and plans of customers were before, so that an answer of the past can be explained."""

from __future__ import annotations

from sqlalchemy import Column

from ..types import Amount
from .columns import KEY, amount, id_, index, instant, long, table

entitlement_change = table(
    "billing_entitlement_change",
    id_("entitlement_id", primary_key=True),
    Column("seq", Amount, primary_key=True, autoincrement=False),
    id_("customer_id"),
    instant("changed_at"),
    id_("source_id"),
    amount("amount", nullable=True),
    amount("priority"),
    instant("expires_at"),
    instant("closed_at"),
    instant("anchor_at"),
    id_("meter", nullable=True),
    long("terms"),
    index("ix_billing_entitlement_change_customer", "customer_id", "changed_at"),
)

bucket_change = table(
    "billing_bucket_change",
    id_("bucket_id", primary_key=True),
    Column("seq", Amount, primary_key=True, autoincrement=False),
    id_("heir_id"),
    amount("owed"),
    owed="owed >= 0",
)

customer_change = table(
    "billing_customer_change",
    id_("customer_id", primary_key=True),
    Column("seq", Amount, primary_key=True, autoincrement=False),
    instant("changed_at"),
    id_("plan", KEY, nullable=True),
    instant("plan_until"),
)
