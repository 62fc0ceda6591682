"""The first billing tables."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from kernia_billing.storage.migrations.steps import (
    bounds,
    check,
    create_index,
    create_table,
    flag,
    instant,
    json,
    number,
    text,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table and index that is not there."""
    for create in (
        _checkout_session,
        _customer,
        _entitlement,
        _feature,
        _intent,
        _ledger,
        _outbox,
        _plan,
        _plan_price,
        _price,
        _product,
        _setting,
        _stripe_object,
        _subscription,
        _sync_state,
        _usage_event,
        _webhook_event,
        _bucket,
        _plan_feature,
    ):
        create()


def _checkout_session() -> None:
    create_table(
        "billing_checkout_session",
        text("id"),
        text("customer_id"),
        text("plan_group", 100),
        text("plan", 100),
        text("billing_interval", 20),
        number("seats"),
        text("fingerprint"),
        text("subscription_id"),
        text("status", 20),
        text("stripe_session_id", null=True),
        text("url", None, null=True),
        instant("expires_at"),
        instant("created_at"),
        text("slot"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("customer_id", "plan_group", "slot", name="uq_billing_checkout_open"),
        check("checkout_session_interval", "billing_interval IN ('month', 'year')"),
        check("checkout_session_status", "status IN ('open', 'processing', 'complete', 'expired')"),
        check("checkout_session_slot", "slot = CASE WHEN status = 'open' THEN 'open' ELSE id END"),
        bounds("checkout_session", "seats", "expires_at", "created_at"),
    )
    create_index("ix_billing_checkout_session", "billing_checkout_session", "stripe_session_id")
    create_index("ix_billing_checkout_subscription", "billing_checkout_session", "subscription_id")


def _customer() -> None:
    create_table(
        "billing_customer",
        text("id"),
        text("customer_type", 20),
        text("reference_id"),
        text("stripe_customer_id", null=True),
        text("email", None, null=True),
        text("name", None, null=True),
        number("ledger_seq"),
        number("config_epoch"),
        text("plan", 100, null=True),
        instant("plan_until"),
        instant("created_at"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("customer_type", "reference_id", name="uq_billing_customer_reference"),
        UniqueConstraint("stripe_customer_id", name="uq_billing_customer_stripe"),
        check("customer_customer_type", "customer_type IN ('user', 'organization')"),
        check("customer_counters", "ledger_seq >= 0 AND config_epoch >= 0"),
        bounds("customer", "ledger_seq", "config_epoch", "plan_until", "created_at"),
    )
    create_index("ix_billing_customer_plan", "billing_customer", "plan", "id")


def _entitlement() -> None:
    create_table(
        "billing_entitlement",
        text("id"),
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        text("kind", 20),
        text("source_type", 20),
        text("source_id"),
        number("category"),
        number("amount", null=True),
        number("priority"),
        instant("effective_at"),
        instant("expires_at"),
        instant("closed_at"),
        text("interval_unit", 20),
        number("interval_count"),
        instant("anchor_at"),
        text("meter", null=True),
        number("created_seq"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint(
            "customer_id",
            "source_type",
            "source_id",
            "feature_key",
            "entity_id",
            "kind",
            name="uq_billing_entitlement_source",
        ),
        check("entitlement_kind", "kind IN ('grant', 'overage', 'rollover')"),
        check("entitlement_amount", "amount IS NULL OR amount >= 0"),
        check("entitlement_interval", "interval_unit IN ('', 'hour', 'day', 'week', 'month', 'year')"),
        bounds(
            "entitlement",
            "category",
            "amount",
            "priority",
            "effective_at",
            "expires_at",
            "closed_at",
            "interval_count",
            "anchor_at",
            "created_seq",
        ),
    )
    create_index("ix_billing_entitlement_open", "billing_entitlement", "customer_id", "feature_key", "closed_at")


def _feature() -> None:
    create_table(
        "billing_feature",
        text("feature_key", 100),
        text("kind", 20),
        text("title", None, null=True),
        text("unit", None, null=True),
        number("scale"),
        json("credit_cost"),
        text("aggregation", 20),
        PrimaryKeyConstraint("feature_key"),
        check("feature_kind", "kind IN ('boolean', 'metered', 'quantity', 'seat', 'credit')"),
        check("feature_aggregation", "aggregation IN ('sum', 'count', 'max', 'latest', 'unique')"),
        bounds("feature", "scale"),
    )


def _intent() -> None:
    create_table(
        "billing_intent",
        text("idempotency_key"),
        text("operation"),
        text("customer_id"),
        text("path"),
        json("params"),
        text("state", 20),
        text("stripe_id", null=True),
        instant("created_at"),
        PrimaryKeyConstraint("idempotency_key"),
        check("intent_state", "state IN ('pending', 'done', 'failed')"),
        bounds("intent", "created_at"),
    )


def _ledger() -> None:
    create_table(
        "billing_ledger",
        text("customer_id"),
        number("seq"),
        number("line"),
        text("bucket_id"),
        text("entry", 20),
        number("amount"),
        number("used_after"),
        text("event_id"),
        PrimaryKeyConstraint("customer_id", "seq", "line"),
        check("ledger_entry", "entry IN ('open', 'use', 'return', 'carry', 'amend')"),
        check("ledger_used_after", "used_after >= 0"),
        bounds("ledger", "seq", "line", "amount", "used_after"),
    )


def _outbox() -> None:
    create_table(
        "billing_outbox",
        number("position", counted=True),
        text("id"),
        text("topic"),
        text("customer_id"),
        json("payload"),
        instant("created_at"),
        number("attempts"),
        instant("lease_until"),
        instant("sent_at"),
        UniqueConstraint("id", name="uq_billing_outbox_id"),
        bounds("outbox", "created_at", "attempts", "lease_until", "sent_at"),
    )
    create_index("ix_billing_outbox_customer", "billing_outbox", "customer_id", "sent_at", "position")
    create_index("ix_billing_outbox_waiting", "billing_outbox", "sent_at", "position")


def _plan() -> None:
    create_table(
        "billing_plan",
        text("id"),
        text("plan_key", 100),
        number("version"),
        text("content_hash"),
        text("title", None, null=True),
        instant("created_at"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("plan_key", "version", name="uq_billing_plan_version"),
        UniqueConstraint("plan_key", "content_hash", name="uq_billing_plan_content"),
        check("plan_version", "version >= 1"),
        bounds("plan", "version", "created_at"),
    )


def _plan_price() -> None:
    create_table(
        "billing_plan_price",
        text("price_id"),
        text("plan", 100),
        text("billing_interval", 20),
        text("role", 20),
        instant("created_at"),
        PrimaryKeyConstraint("price_id"),
        check("plan_price_interval", "billing_interval IN ('month', 'year')"),
        check("plan_price_role", "role IN ('base', 'seat')"),
        bounds("plan_price", "created_at"),
    )


def _price() -> None:
    create_table(
        "billing_price",
        text("id"),
        text("product_id"),
        number("active"),
        text("currency", 20),
        text("price_type", 50),
        number("unit_amount", null=True),
        text("unit_amount_decimal", 50, null=True),
        text("interval_unit", 20, null=True),
        number("interval_count", null=True),
        text("usage_type", 50, null=True),
        text("billing_scheme", 50),
        text("meter", null=True),
        text("lookup_key", null=True),
        text("nickname", None, null=True),
        json("metadata"),
        instant("created_at"),
        number("deleted"),
        PrimaryKeyConstraint("id"),
        flag("price", "active"),
        flag("price", "deleted"),
        bounds("price", "unit_amount", "interval_count", "created_at"),
    )
    create_index("ix_billing_price_active", "billing_price", "active", "id")
    create_index("ix_billing_price_lookup", "billing_price", "lookup_key", "active")
    create_index("ix_billing_price_product", "billing_price", "product_id", "id")


def _product() -> None:
    create_table(
        "billing_product",
        text("id"),
        number("active"),
        text("name", None),
        text("description", None, null=True),
        json("metadata"),
        instant("created_at"),
        number("deleted"),
        PrimaryKeyConstraint("id"),
        flag("product", "active"),
        flag("product", "deleted"),
        bounds("product", "created_at"),
    )
    create_index("ix_billing_product_active", "billing_product", "active", "id")


def _setting() -> None:
    create_table(
        "billing_setting",
        text("name"),
        text("value", None),
        PrimaryKeyConstraint("name"),
    )


def _stripe_object() -> None:
    create_table(
        "billing_stripe_object",
        text("kind", 50),
        text("stripe_id"),
        number("next_ticket"),
        number("applied_ticket"),
        number("deleted"),
        PrimaryKeyConstraint("kind", "stripe_id"),
        flag("stripe_object", "deleted"),
        check("stripe_object_tickets", "applied_ticket >= 0 AND applied_ticket <= next_ticket"),
        bounds("stripe_object", "next_ticket", "applied_ticket"),
    )


def _subscription() -> None:
    create_table(
        "billing_subscription",
        text("id"),
        text("customer_id"),
        text("stripe_subscription_id"),
        text("plan_group", 100),
        text("plan", 100, null=True),
        text("plan_version_id", null=True),
        text("status", 50),
        text("billing_interval", 20, null=True),
        text("price_id", null=True),
        text("item_id", null=True),
        number("seats", null=True),
        instant("period_start", null=True),
        instant("period_end", null=True),
        instant("trial_start", null=True),
        instant("trial_end", null=True),
        number("cancel_at_period_end"),
        instant("cancel_at", null=True),
        instant("canceled_at", null=True),
        instant("ended_at", null=True),
        instant("billing_cycle_anchor", null=True),
        instant("past_due_since", null=True),
        text("pause_behavior", 50, null=True),
        text("schedule_id", null=True),
        number("duplicate"),
        instant("created_at"),
        instant("updated_at"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("stripe_subscription_id", name="uq_billing_subscription_stripe"),
        flag("subscription", "cancel_at_period_end"),
        flag("subscription", "duplicate"),
        check("subscription_interval", "billing_interval IS NULL OR billing_interval IN ('month', 'year')"),
        bounds(
            "subscription",
            "seats",
            "period_start",
            "period_end",
            "trial_start",
            "trial_end",
            "cancel_at",
            "canceled_at",
            "ended_at",
            "billing_cycle_anchor",
            "past_due_since",
            "created_at",
            "updated_at",
        ),
    )
    create_index("ix_billing_subscription_customer", "billing_subscription", "customer_id", "created_at")


def _sync_state() -> None:
    create_table(
        "billing_sync_state",
        text("kind", 50),
        instant("started_at"),
        instant("finished_at"),
        json("counts"),
        PrimaryKeyConstraint("kind"),
        bounds("sync_state", "started_at", "finished_at"),
    )


def _usage_event() -> None:
    create_table(
        "billing_usage_event",
        text("id"),
        text("customer_id"),
        number("seq"),
        text("feature_key", 100),
        text("entity_id"),
        number("quantity"),
        number("funded"),
        number("unfunded"),
        text("mode", 20),
        instant("occurred_at"),
        instant("received_at"),
        json("properties"),
        text("idempotency_key"),
        text("fingerprint"),
        json("result"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_usage_event_key"),
        UniqueConstraint("customer_id", "seq", name="uq_billing_usage_event_seq"),
        check("usage_event_mode", "mode IN ('require', 'cap', 'record', 'return')"),
        bounds("usage_event", "seq", "quantity", "funded", "unfunded", "occurred_at", "received_at"),
    )
    create_index(
        "ix_billing_usage_event_feature", "billing_usage_event", "customer_id", "feature_key", "occurred_at", "id"
    )
    create_index("ix_billing_usage_event_time", "billing_usage_event", "customer_id", "occurred_at", "id")


def _webhook_event() -> None:
    create_table(
        "billing_webhook_event",
        text("account"),
        text("event_id"),
        text("event_type"),
        number("livemode"),
        text("api_version", 50, null=True),
        text("object_kind"),
        text("object_id"),
        json("payload"),
        instant("created_at"),
        instant("received_at"),
        text("status", 20),
        number("attempts"),
        instant("lease_until"),
        text("note", None, null=True),
        PrimaryKeyConstraint("account", "event_id"),
        flag("webhook_event", "livemode"),
        check(
            "webhook_event_status",
            "status IN ('received', 'processing', 'processed', 'ignored', 'unmatched', 'failed', 'dead')",
        ),
        bounds("webhook_event", "created_at", "received_at", "attempts", "lease_until"),
    )
    create_index("ix_billing_webhook_event_due", "billing_webhook_event", "status", "lease_until", "received_at")


def _bucket() -> None:
    create_table(
        "billing_bucket",
        text("id"),
        text("entitlement_id"),
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        number("period_no"),
        instant("period_start"),
        instant("period_end"),
        number("amount", null=True),
        number("used"),
        number("held"),
        instant("closed_at"),
        PrimaryKeyConstraint("id"),
        ForeignKeyConstraint(["entitlement_id"], ["billing_entitlement.id"], name="fk_billing_bucket_entitlement"),
        UniqueConstraint("entitlement_id", "period_no", name="uq_billing_bucket_period"),
        check("bucket_used", "used >= 0"),
        check("bucket_held", "held >= 0"),
        check("bucket_fits", "amount IS NULL OR used + held <= amount"),
        check("bucket_period", "period_start < period_end"),
        bounds("bucket", "period_no", "period_start", "period_end", "amount", "used", "held", "closed_at"),
    )
    create_index("ix_billing_bucket_current", "billing_bucket", "entitlement_id", "period_end")


def _plan_feature() -> None:
    create_table(
        "billing_plan_feature",
        text("plan_id"),
        text("feature_key", 100),
        text("kind", 20),
        number("amount", null=True),
        number("per_seat"),
        text("reset", 20),
        text("anchor", 20),
        text("overage", 20),
        number("overage_limit", null=True),
        text("meter", null=True),
        text("on_plan_change", 20),
        PrimaryKeyConstraint("plan_id", "feature_key"),
        ForeignKeyConstraint(["plan_id"], ["billing_plan.id"], name="fk_billing_plan_feature_plan"),
        flag("plan_feature", "per_seat"),
        check("plan_feature_kind", "kind IN ('boolean', 'metered', 'quantity', 'seat', 'credit')"),
        check(
            "plan_feature_amounts", "(amount IS NULL OR amount >= 0) AND (overage_limit IS NULL OR overage_limit >= 0)"
        ),
        bounds("plan_feature", "amount", "overage_limit"),
    )
