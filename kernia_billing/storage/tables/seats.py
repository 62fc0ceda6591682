"""The seats of organizations."""

from __future__ import annotations

from .columns import amount, id_, index, instant, long, table

seat_count = table(
    "billing_seat_count",
    id_("customer_id", primary_key=True),
    amount("members", nullable=True),
    amount("revision"),
    amount("done"),
    amount("counted"),
    amount("updates"),
    instant("hour_start"),
    amount("hour_updates"),
    amount("attempts"),
    instant("next_at"),
    long("note"),
    index("ix_billing_seat_count_due", "next_at", "customer_id"),
    members="members IS NULL OR members >= 0",
    revision="revision >= done AND done >= 0",
)
"""`next_at` is `FOREVER` while there is nothing to do."""
