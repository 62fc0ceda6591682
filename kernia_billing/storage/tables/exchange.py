"""What comes in and what goes out: webhooks, tickets, events, calls."""

from __future__ import annotations

from sqlalchemy import Column, UniqueConstraint

from ..types import Amount
from .columns import amount, id_, index, instant, json, long, one_of, table

webhook_event = table(
    "billing_webhook_event",
    id_("account", primary_key=True),
    id_("event_id", primary_key=True),
    id_("event_type"),
    amount("livemode"),
    id_("api_version", 50, nullable=True),
    id_("object_kind"),
    id_("object_id"),
    json("payload"),
    instant("created_at"),
    instant("received_at"),
    id_("status", 20),
    amount("attempts"),
    instant("lease_until"),
    long("note"),
    id_("customer", default=""),
    id_("source", 20, default="webhook"),
    index("ix_billing_webhook_event_due", "status", "lease_until", "received_at"),
    index("ix_billing_webhook_event_customer", "status", "customer"),
    index("ix_billing_webhook_event_status", "status", "received_at", "event_id"),
    index("ix_billing_webhook_event_received", "received_at", "event_id"),
    flags=("livemode",),
    status=one_of("status", "received", "processing", "processed", "ignored", "unmatched", "failed", "dead"),
)

stripe_object = table(
    "billing_stripe_object",
    id_("kind", 50, primary_key=True),
    id_("stripe_id", primary_key=True),
    amount("next_ticket"),
    amount("applied_ticket"),
    amount("deleted"),
    instant("checked_at", default=0),
    index("ix_billing_stripe_object_checked", "kind", "deleted", "checked_at", "stripe_id"),
    flags=("deleted",),
    tickets="applied_ticket >= 0 AND applied_ticket <= next_ticket",
)

outbox = table(
    "billing_outbox",
    Column("position", Amount, primary_key=True, autoincrement=True),
    id_("id"),
    id_("topic"),
    id_("customer_id"),
    json("payload"),
    instant("created_at"),
    amount("attempts"),
    instant("lease_until"),
    instant("sent_at"),
    instant("bus_at", default=0),
    amount("bus_attempts", default=0),
    instant("bus_lease", default=0),
    amount("bus_lane", default=0),
    amount("bus_seq", default=0),
    UniqueConstraint("id", name="uq_billing_outbox_id"),
    index("ix_billing_outbox_waiting", "sent_at", "position"),
    index("ix_billing_outbox_customer", "customer_id", "sent_at", "position"),
    index("ix_billing_outbox_bus", "bus_at", "position"),
    index("ix_billing_outbox_bus_customer", "customer_id", "bus_at", "position"),
    index("ix_billing_outbox_lane", "bus_lane", "bus_seq"),
)
"""`position` is given out by the database: events of one customer, written under its lock, get rising ones whichever
process writes them. `sent_at` is `FOREVER` until every hook has received it, `bus_at` 0 until the bus has; where there
is no bus it stays 0. `bus_seq` is its place in its lane where this table is what the bus reads, else 0."""

intent = table(
    "billing_intent",
    id_("idempotency_key", primary_key=True),
    id_("operation"),
    id_("customer_id"),
    id_("path"),
    json("params"),
    id_("state", 20),
    id_("stripe_id", nullable=True),
    instant("created_at"),
    index("ix_billing_intent_state", "state", "created_at"),
    state=one_of("state", "pending", "done", "failed", "parked"),
)
