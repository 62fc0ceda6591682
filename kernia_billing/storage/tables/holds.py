"""What is set aside for work that has begun."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, UniqueConstraint

from ..types import Amount, Id
from .columns import KEY, amount, counted, id_, index, instant, one_of, table

hold = table(
    "billing_hold",
    id_("id", primary_key=True),
    id_("customer_id"),
    id_("feature_key", KEY),
    id_("entity_id"),
    amount("quantity"),
    amount("left_units"),
    id_("status", 20),
    instant("expires_at"),
    instant("created_at"),
    instant("ended_at"),
    id_("idempotency_key"),
    id_("fingerprint"),
    counted("created_seq"),
    UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_hold_key"),
    index("ix_billing_hold_customer", "customer_id", "status", "expires_at"),
    index("ix_billing_hold_expiry", "status", "expires_at"),
    status=one_of("status", "open", "settled", "released", "expired"),
    quantity="quantity >= 0 AND left_units >= 0 AND left_units <= quantity",
)

hold_line = table(
    "billing_hold_line",
    Column("hold_id", Id(), ForeignKey("billing_hold.id", name="fk_billing_hold_line_hold"), primary_key=True),
    Column("line", Amount, primary_key=True, autoincrement=False),
    id_("bucket_id"),
    id_("feature_key", KEY),
    amount("amount"),
    amount("units"),
    index("ix_billing_hold_line_bucket", "bucket_id"),
    amount="amount >= 0 AND units >= 0",
)
