"""Every billing table. The migrations say how a database comes to have them; a test holds the two together.

No unique key has a NULL in it: an empty text stands for "none". Amounts and instants are bounded by CHECK constraints,
because SQLite, PostgreSQL and MySQL disagree about what happens beyond a type's range.
"""

from __future__ import annotations

from .accounts import bucket, customer, entitlement, ledger, usage_event
from .columns import metadata
from .exchange import intent, outbox, stripe_object, webhook_event
from .history import bucket_change, customer_change, entitlement_change
from .holds import hold, hold_line
from .keeping import horizon
from .limits import alert_fired, limit_window, measure, unique_value
from .mirror import checkout, invoice, payment_method, schedule, stripe_customer, subscription
from .offer import feature, plan, plan_feature, plan_price, price, product
from .seats import seat_count
from .selling import local_trial, purchase, trial
from .upkeep import audit, lease, meter_event, notice, setting, sync_state

__all__ = [
    "alert_fired",
    "audit",
    "bucket",
    "bucket_change",
    "checkout",
    "customer",
    "customer_change",
    "entitlement",
    "entitlement_change",
    "feature",
    "hold",
    "hold_line",
    "horizon",
    "intent",
    "invoice",
    "lease",
    "ledger",
    "limit_window",
    "local_trial",
    "measure",
    "metadata",
    "meter_event",
    "notice",
    "outbox",
    "payment_method",
    "plan",
    "plan_feature",
    "plan_price",
    "price",
    "product",
    "purchase",
    "schedule",
    "seat_count",
    "setting",
    "stripe_customer",
    "stripe_object",
    "subscription",
    "sync_state",
    "trial",
    "unique_value",
    "usage_event",
    "webhook_event",
]
