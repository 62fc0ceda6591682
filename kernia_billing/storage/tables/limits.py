"""What is counted beside the balances: windows of limits, measured values, alerts that fired."""

from __future__ import annotations

from sqlalchemy import Column

from ..types import Amount, Instant
from .columns import KEY, amount, counted, id_, index, instant, one_of, table

limit_window = table(
    "billing_limit_window",
    id_("customer_id", primary_key=True),
    id_("limit_id", primary_key=True),
    id_("entity_id", primary_key=True),
    Column("window_start", Instant, primary_key=True, autoincrement=False),
    instant("window_end"),
    id_("feature_key", KEY),
    amount("used"),
    instant("begun_at", default=0),
    counted("begun_seq"),
    index("ix_billing_limit_window_running", "customer_id", "feature_key", "window_end"),
    index("ix_billing_limit_window_end", "window_end", "customer_id"),
    used="used >= 0",
    window="window_start < window_end",
)

measure = table(
    "billing_measure",
    id_("customer_id", primary_key=True),
    id_("feature_key", KEY, primary_key=True),
    id_("entity_id", primary_key=True),
    Column("period_start", Instant, primary_key=True, autoincrement=False),
    amount("measured"),
    amount("covered"),
    instant("period_end"),
    index("ix_billing_measure_end", "period_end", "customer_id"),
)

unique_value = table(
    "billing_unique_value",
    id_("customer_id", primary_key=True),
    id_("feature_key", KEY, primary_key=True),
    id_("entity_id", primary_key=True),
    Column("period_start", Instant, primary_key=True, autoincrement=False),
    id_("value_hash", primary_key=True),
)

alert_fired = table(
    "billing_alert_fired",
    id_("customer_id", primary_key=True),
    id_("feature_key", KEY, primary_key=True),
    id_("entity_id", primary_key=True),
    Column("period_start", Instant, primary_key=True, autoincrement=False),
    id_("measure", 20, primary_key=True),
    Column("threshold", Amount, primary_key=True, autoincrement=False),
    instant("fired_at"),
    instant("period_end"),
    index("ix_billing_alert_fired_end", "period_end", "customer_id"),
    measure=one_of("measure", "percent", "used", "remaining"),
)
