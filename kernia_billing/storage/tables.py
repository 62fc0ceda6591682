"""Every billing table. The migrations say how a database comes to have them; a test holds the two together.

No unique key has a NULL in it: an empty text stands for "none". Amounts and instants are bounded by CHECK constraints,
because SQLite, PostgreSQL and MySQL disagree about what happens beyond a type's range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import SchemaItem

from ..domain.ids import MAX_INTEGER
from .types import Amount, Id, Instant, JsonText

metadata = MetaData()

_OPTIONS: dict[str, Any] = {
    "sqlite_strict": True,
    **{
        f"{dialect}_{option}": value
        for dialect in ("mysql", "mariadb")
        for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
    },
}
_KEY = 100


def _id(name: str, length: int = 255, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    return Column(name, Id(length), primary_key=primary_key, nullable=nullable)


def _long(name: str, *, nullable: bool = True) -> Column[str]:
    return Column(name, Id(None), nullable=nullable)


def _amount(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Amount, nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Instant, nullable=nullable)


def _json(name: str) -> Column[object]:
    return Column(name, JsonText, nullable=False)


def _index(name: str, *columns: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique)


def _one_of(column: str, *values: str, optional: bool = False) -> str:
    listed = f"{column} IN ({', '.join(repr(value) for value in values)})"
    return f"{column} IS NULL OR {listed}" if optional else listed


def _table(name: str, *items: SchemaItem, flags: Sequence[str] = (), **checks: str) -> Table:
    """A table whose integers are bounded, whose `flags` are 0 or 1, and whose named `checks` hold."""
    columns: list[Column[Any]] = [item for item in items if isinstance(item, Column)]
    # The numbers that the database gives out are its own business, and MySQL refuses to check them.
    numbers = [each.name for each in columns if isinstance(each.type, Amount) and each.autoincrement is not True]
    conditions = {f"{flag}_flag": f"{flag} IN (0, 1)" for flag in flags} | checks
    if bounded := [number for number in numbers if number not in flags]:
        conditions["bounds"] = " AND ".join(f"{each} BETWEEN -{MAX_INTEGER} AND {MAX_INTEGER}" for each in bounded)
    constraints = [CheckConstraint(text, name=f"ck_{name}_{key}") for key, text in conditions.items()]
    return Table(name, metadata, *items, *constraints, **_OPTIONS)


customer = _table(
    "billing_customer",
    _id("id", primary_key=True),
    _id("customer_type", 20),
    _id("reference_id"),
    _id("stripe_customer_id", nullable=True),
    _long("email"),
    _long("name"),
    _amount("ledger_seq"),
    _amount("config_epoch"),
    _id("plan", _KEY, nullable=True),
    _instant("plan_until"),
    _instant("created_at"),
    UniqueConstraint("customer_type", "reference_id", name="uq_billing_customer_reference"),
    UniqueConstraint("stripe_customer_id", name="uq_billing_customer_stripe"),
    _index("ix_billing_customer_plan", "plan", "id"),
    customer_type=_one_of("customer_type", "user", "organization"),
    counters="ledger_seq >= 0 AND config_epoch >= 0",
)

product = _table(
    "billing_product",
    _id("id", primary_key=True),
    _amount("active"),
    _long("name", nullable=False),
    _long("description"),
    _json("metadata"),
    _instant("created_at"),
    _amount("deleted"),
    _index("ix_billing_product_active", "active", "id"),
    flags=("active", "deleted"),
)

price = _table(
    "billing_price",
    _id("id", primary_key=True),
    _id("product_id"),
    _amount("active"),
    _id("currency", 20),
    _id("price_type", 50),
    _amount("unit_amount", nullable=True),
    _id("unit_amount_decimal", 50, nullable=True),
    _id("interval_unit", 20, nullable=True),
    _amount("interval_count", nullable=True),
    _id("usage_type", 50, nullable=True),
    _id("billing_scheme", 50),
    _id("meter", nullable=True),
    _id("lookup_key", nullable=True),
    _long("nickname"),
    _json("metadata"),
    _instant("created_at"),
    _amount("deleted"),
    _index("ix_billing_price_product", "product_id", "id"),
    _index("ix_billing_price_active", "active", "id"),
    _index("ix_billing_price_lookup", "lookup_key", "active"),
    flags=("active", "deleted"),
)

plan_price = _table(
    "billing_plan_price",
    _id("price_id", primary_key=True),
    _id("plan", _KEY),
    _id("billing_interval", 20),
    _id("role", 20),
    _instant("created_at"),
    interval=_one_of("billing_interval", "month", "year"),
    role=_one_of("role", "base", "seat"),
)

feature = _table(
    "billing_feature",
    _id("feature_key", _KEY, primary_key=True),
    _id("kind", 20),
    _long("title"),
    _long("unit"),
    _amount("scale"),
    _json("credit_cost"),
    _id("aggregation", 20),
    kind=_one_of("kind", "boolean", "metered", "quantity", "seat", "credit"),
    aggregation=_one_of("aggregation", "sum", "count", "max", "latest", "unique"),
)

plan = _table(
    "billing_plan",
    _id("id", primary_key=True),
    _id("plan_key", _KEY),
    _amount("version"),
    _id("content_hash"),
    _long("title"),
    _instant("created_at"),
    UniqueConstraint("plan_key", "version", name="uq_billing_plan_version"),
    UniqueConstraint("plan_key", "content_hash", name="uq_billing_plan_content"),
    version="version >= 1",
)

plan_feature = _table(
    "billing_plan_feature",
    Column("plan_id", Id(), ForeignKey("billing_plan.id", name="fk_billing_plan_feature_plan"), primary_key=True),
    _id("feature_key", _KEY, primary_key=True),
    _id("kind", 20),
    _amount("amount", nullable=True),
    _amount("per_seat"),
    _id("reset", 20),
    _id("anchor", 20),
    _id("overage", 20),
    _amount("overage_limit", nullable=True),
    _id("meter", nullable=True),
    _id("on_plan_change", 20),
    flags=("per_seat",),
    kind=_one_of("kind", "boolean", "metered", "quantity", "seat", "credit"),
    amounts="(amount IS NULL OR amount >= 0) AND (overage_limit IS NULL OR overage_limit >= 0)",
)

entitlement = _table(
    "billing_entitlement",
    _id("id", primary_key=True),
    _id("customer_id"),
    _id("feature_key", _KEY),
    _id("entity_id"),
    _id("kind", 20),
    _id("source_type", 20),
    _id("source_id"),
    _amount("category"),
    _amount("amount", nullable=True),
    _amount("priority"),
    _instant("effective_at"),
    _instant("expires_at"),
    _instant("closed_at"),
    _id("interval_unit", 20),
    _amount("interval_count"),
    _instant("anchor_at"),
    _id("meter", nullable=True),
    _amount("created_seq"),
    UniqueConstraint(
        "customer_id",
        "source_type",
        "source_id",
        "feature_key",
        "entity_id",
        "kind",
        name="uq_billing_entitlement_source",
    ),
    _index("ix_billing_entitlement_open", "customer_id", "feature_key", "closed_at"),
    kind=_one_of("kind", "grant", "overage", "rollover"),
    amount="amount IS NULL OR amount >= 0",
    interval=_one_of("interval_unit", "", "hour", "day", "week", "month", "year"),
)

bucket = _table(
    "billing_bucket",
    _id("id", primary_key=True),
    Column(
        "entitlement_id",
        Id(),
        ForeignKey("billing_entitlement.id", name="fk_billing_bucket_entitlement"),
        nullable=False,
    ),
    _id("customer_id"),
    _id("feature_key", _KEY),
    _id("entity_id"),
    _amount("period_no"),
    _instant("period_start"),
    _instant("period_end"),
    _amount("amount", nullable=True),
    _amount("used"),
    _amount("held"),
    _instant("closed_at"),
    UniqueConstraint("entitlement_id", "period_no", name="uq_billing_bucket_period"),
    _index("ix_billing_bucket_current", "entitlement_id", "period_end"),
    used="used >= 0",
    held="held >= 0",
    fits="amount IS NULL OR used + held <= amount",
    period="period_start < period_end",
)

usage_event = _table(
    "billing_usage_event",
    _id("id", primary_key=True),
    _id("customer_id"),
    _amount("seq"),
    _id("feature_key", _KEY),
    _id("entity_id"),
    _amount("quantity"),
    _amount("funded"),
    _amount("unfunded"),
    _id("mode", 20),
    _instant("occurred_at"),
    _instant("received_at"),
    _json("properties"),
    _id("idempotency_key"),
    _id("fingerprint"),
    _json("result"),
    UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_usage_event_key"),
    UniqueConstraint("customer_id", "seq", name="uq_billing_usage_event_seq"),
    _index("ix_billing_usage_event_time", "customer_id", "occurred_at", "id"),
    _index("ix_billing_usage_event_feature", "customer_id", "feature_key", "occurred_at", "id"),
    mode=_one_of("mode", "require", "cap", "record", "return"),
)

ledger = _table(
    "billing_ledger",
    _id("customer_id", primary_key=True),
    Column("seq", Amount, primary_key=True, autoincrement=False),
    Column("line", Amount, primary_key=True, autoincrement=False),
    _id("bucket_id"),
    _id("entry", 20),
    _amount("amount"),
    _amount("used_after"),
    _id("event_id"),
    entry=_one_of("entry", "open", "use", "return", "carry", "amend"),
    used_after="used_after >= 0",
)

subscription = _table(
    "billing_subscription",
    _id("id", primary_key=True),
    _id("customer_id"),
    _id("stripe_subscription_id"),
    _id("plan_group", _KEY),
    _id("plan", _KEY, nullable=True),
    _id("plan_version_id", nullable=True),
    _id("status", 50),
    _id("billing_interval", 20, nullable=True),
    _id("price_id", nullable=True),
    _id("item_id", nullable=True),
    _amount("seats", nullable=True),
    _instant("period_start", nullable=True),
    _instant("period_end", nullable=True),
    _instant("trial_start", nullable=True),
    _instant("trial_end", nullable=True),
    _amount("cancel_at_period_end"),
    _instant("cancel_at", nullable=True),
    _instant("canceled_at", nullable=True),
    _instant("ended_at", nullable=True),
    _instant("billing_cycle_anchor", nullable=True),
    _instant("past_due_since", nullable=True),
    _id("pause_behavior", 50, nullable=True),
    _id("schedule_id", nullable=True),
    _amount("duplicate"),
    _instant("created_at"),
    _instant("updated_at"),
    UniqueConstraint("stripe_subscription_id", name="uq_billing_subscription_stripe"),
    _index("ix_billing_subscription_customer", "customer_id", "created_at"),
    flags=("cancel_at_period_end", "duplicate"),
    interval=_one_of("billing_interval", "month", "year", optional=True),
)

checkout = _table(
    "billing_checkout_session",
    _id("id", primary_key=True),
    _id("customer_id"),
    _id("plan_group", _KEY),
    _id("plan", _KEY),
    _id("billing_interval", 20),
    _amount("seats"),
    _id("fingerprint"),
    _id("subscription_id"),
    _id("status", 20),
    _id("stripe_session_id", nullable=True),
    _long("url"),
    _instant("expires_at"),
    _instant("created_at"),
    _id("slot"),
    UniqueConstraint("customer_id", "plan_group", "slot", name="uq_billing_checkout_open"),
    _index("ix_billing_checkout_session", "stripe_session_id"),
    _index("ix_billing_checkout_subscription", "subscription_id"),
    interval=_one_of("billing_interval", "month", "year"),
    status=_one_of("status", "open", "processing", "complete", "expired"),
    slot="slot = CASE WHEN status = 'open' THEN 'open' ELSE id END",
)
"""`slot` is "open" for an open one and else the row's own id, so that the unique key allows one open one."""

webhook_event = _table(
    "billing_webhook_event",
    _id("account", primary_key=True),
    _id("event_id", primary_key=True),
    _id("event_type"),
    _amount("livemode"),
    _id("api_version", 50, nullable=True),
    _id("object_kind"),
    _id("object_id"),
    _json("payload"),
    _instant("created_at"),
    _instant("received_at"),
    _id("status", 20),
    _amount("attempts"),
    _instant("lease_until"),
    _long("note"),
    _index("ix_billing_webhook_event_due", "status", "lease_until", "received_at"),
    flags=("livemode",),
    status=_one_of("status", "received", "processing", "processed", "ignored", "unmatched", "failed", "dead"),
)

stripe_object = _table(
    "billing_stripe_object",
    _id("kind", 50, primary_key=True),
    _id("stripe_id", primary_key=True),
    _amount("next_ticket"),
    _amount("applied_ticket"),
    _amount("deleted"),
    flags=("deleted",),
    tickets="applied_ticket >= 0 AND applied_ticket <= next_ticket",
)

outbox = _table(
    "billing_outbox",
    Column("position", Amount, primary_key=True, autoincrement=True),
    _id("id"),
    _id("topic"),
    _id("customer_id"),
    _json("payload"),
    _instant("created_at"),
    _amount("attempts"),
    _instant("lease_until"),
    _instant("sent_at"),
    UniqueConstraint("id", name="uq_billing_outbox_id"),
    _index("ix_billing_outbox_waiting", "sent_at", "position"),
    _index("ix_billing_outbox_customer", "customer_id", "sent_at", "position"),
)
"""`position` is given out by the database: events of one customer, written under its lock, get rising ones whichever
process writes them. `sent_at` is `FOREVER` until everybody has received it."""

intent = _table(
    "billing_intent",
    _id("idempotency_key", primary_key=True),
    _id("operation"),
    _id("customer_id"),
    _id("path"),
    _json("params"),
    _id("state", 20),
    _id("stripe_id", nullable=True),
    _instant("created_at"),
    state=_one_of("state", "pending", "done", "failed"),
)

sync_state = _table(
    "billing_sync_state",
    _id("kind", 50, primary_key=True),
    _instant("started_at"),
    _instant("finished_at"),
    _json("counts"),
)

setting = _table("billing_setting", _id("name", primary_key=True), _long("value", nullable=False))
