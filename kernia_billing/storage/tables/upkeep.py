"""What keeps the rest true: facts, imports, leases, the audit log, reported usage."""

from __future__ import annotations

from .columns import KEY, amount, id_, index, instant, json, long, one_of, table

sync_state = table(
    "billing_sync_state",
    id_("kind", 50, primary_key=True),
    instant("started_at"),
    instant("finished_at"),
    json("counts"),
    id_("page_cursor", nullable=True),
)
"""`finished_at` is `FOREVER` until it is finished."""

setting = table("billing_setting", id_("name", primary_key=True), long("value", nullable=False))

lease = table(
    "billing_lease",
    id_("name", primary_key=True),
    id_("holder"),
    amount("token"),
    instant("held_until"),
    counter="token >= 1",
)

audit = table(
    "billing_audit",
    id_("id", primary_key=True),
    instant("happened_at"),
    id_("actor"),
    id_("action"),
    id_("customer_id"),
    id_("subject"),
    json("state_before", nullable=True),
    json("state_after", nullable=True),
    id_("cause", 100, default=""),
    id_("event_id", default=""),
    index("ix_billing_audit_time", "happened_at", "id"),
    index("ix_billing_audit_customer", "customer_id", "happened_at", "id"),
)

notice = table(
    "billing_notice",
    id_("kind", 50, primary_key=True),
    id_("subject", primary_key=True),
    id_("mark", 100, primary_key=True),
    instant("told_at"),
    instant("kept_until"),
    index("ix_billing_notice_end", "kept_until", "kind"),
)
"""What hooks were told of once, which no state of the subject says."""

meter_event = table(
    "billing_meter_event",
    id_("identifier", primary_key=True),
    id_("customer_id"),
    id_("feature_key", KEY),
    id_("event_name"),
    id_("stripe_customer_id"),
    amount("value"),
    instant("occurred_at"),
    id_("state", 20),
    amount("attempts"),
    instant("next_at"),
    instant("first_sent_at", nullable=True),
    instant("sent_at", nullable=True),
    long("note"),
    instant("created_at"),
    index("ix_billing_meter_event_due", "state", "next_at"),
    index("ix_billing_meter_event_state", "state", "identifier"),
    index("ix_billing_meter_event_age", "state", "created_at"),
    index("ix_billing_meter_event_period", "customer_id", "feature_key", "event_name", "created_at"),
    state=one_of("state", "waiting", "sending", "sent", "rejected", "quarantined", "canceled"),
)
