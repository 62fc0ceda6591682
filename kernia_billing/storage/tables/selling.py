"""What is sold beside plans, and who has tried what."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint

from .columns import KEY, amount, id_, index, instant, json, long, one_of, table

purchase = table(
    "billing_purchase",
    id_("id", primary_key=True),
    id_("customer_id"),
    id_("mode", 20),
    id_("name", KEY),
    amount("quantity"),
    json("sold"),
    id_("fingerprint"),
    id_("status", 20),
    id_("stripe_session_id", nullable=True),
    long("url"),
    id_("line_id", nullable=True),
    id_("payment_intent_id", nullable=True),
    amount("paid"),
    instant("expires_at"),
    instant("created_at"),
    id_("slot"),
    UniqueConstraint("customer_id", "slot", name="uq_billing_purchase_open"),
    index("ix_billing_purchase_session", "stripe_session_id"),
    index("ix_billing_purchase_payment", "payment_intent_id"),
    index("ix_billing_purchase_overdue", "status", "expires_at"),
    mode=one_of("mode", "payment", "setup"),
    status=one_of("status", "open", "processing", "complete", "expired", "failed"),
    quantity="quantity >= 0 AND paid >= 0",
)
"""`slot` is what is sold for an open one and else the row's own id, so that the unique key allows one open one."""

trial = table(
    "billing_trial",
    id_("scope_key", primary_key=True),
    id_("scope", 20),
    id_("customer_id"),
    id_("plan", KEY),
    id_("holder"),
    instant("claimed_at"),
    instant("started_at", nullable=True),
    index("ix_billing_trial_holder", "holder"),
    index("ix_billing_trial_customer", "customer_id"),
    scope=one_of("scope", "reference", "group", "plan", "user", "email", "card"),
)

local_trial = table(
    "billing_local_trial",
    id_("id", primary_key=True),
    id_("customer_id"),
    id_("plan_group", KEY),
    id_("plan", KEY),
    id_("plan_version_id"),
    amount("seats"),
    instant("started_at"),
    instant("ends_at"),
    instant("ended_at", nullable=True),
    instant("due_at"),
    instant("canceled_at", nullable=True),
    id_("cancel_feedback", 50, nullable=True),
    index("ix_billing_local_trial_customer", "customer_id", "started_at"),
    index("ix_billing_local_trial_due", "due_at", "customer_id"),
    seats="seats >= 1",
    period="ends_at > started_at",
)
