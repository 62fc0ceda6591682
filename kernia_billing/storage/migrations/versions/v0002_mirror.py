"""The mirror of what customers have at Stripe, and what keeps it true."""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint

from kernia_billing.storage.migrations.steps import (
    add_column,
    bounds,
    check,
    create_index,
    create_table,
    flag,
    instant,
    is_sqlite,
    json,
    number,
    rebuild_table,
    replace_check,
    text,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, column and index that is not there."""
    for change in (
        _audit,
        _invoice,
        _lease,
        _meter_event,
        _payment_method,
        _stripe_customer,
        _subscription_schedule,
        _checkout_session,
        _sync_state,
        _webhook_event,
        _stripe_object,
        _intent,
    ):
        change()


def _audit() -> None:
    create_table(
        "billing_audit",
        text("id"),
        instant("happened_at"),
        text("actor"),
        text("action"),
        text("customer_id"),
        text("subject"),
        json("state_before", null=True),
        json("state_after", null=True),
        PrimaryKeyConstraint("id"),
        bounds("audit", "happened_at"),
    )
    create_index("ix_billing_audit_time", "billing_audit", "happened_at", "id")
    create_index("ix_billing_audit_customer", "billing_audit", "customer_id", "happened_at", "id")


def _invoice() -> None:
    create_table(
        "billing_invoice",
        text("id"),
        text("customer_id"),
        text("stripe_subscription_id", null=True),
        text("status", 50),
        text("number", null=True),
        text("currency", 20),
        text("billing_reason", 50, null=True),
        text("collection_method", 50),
        number("subtotal"),
        number("total"),
        number("amount_due"),
        number("amount_paid"),
        number("amount_remaining"),
        number("attempt_count"),
        instant("next_payment_attempt", null=True),
        number("auto_advance"),
        text("payment_intent_id", null=True),
        instant("period_start"),
        instant("period_end"),
        instant("due_date", null=True),
        instant("finalized_at", null=True),
        instant("paid_at", null=True),
        instant("created_at"),
        number("deleted"),
        instant("updated_at"),
        PrimaryKeyConstraint("id"),
        flag("invoice", "auto_advance"),
        flag("invoice", "deleted"),
        bounds(
            "invoice",
            "subtotal",
            "total",
            "amount_due",
            "amount_paid",
            "amount_remaining",
            "attempt_count",
            "next_payment_attempt",
            "period_start",
            "period_end",
            "due_date",
            "finalized_at",
            "paid_at",
            "created_at",
            "updated_at",
        ),
    )
    create_index("ix_billing_invoice_customer", "billing_invoice", "customer_id", "created_at", "id")
    create_index("ix_billing_invoice_payment", "billing_invoice", "payment_intent_id")


def _lease() -> None:
    create_table(
        "billing_lease",
        text("name"),
        text("holder"),
        number("token"),
        instant("held_until"),
        PrimaryKeyConstraint("name"),
        check("lease_counter", "token >= 1"),
        bounds("lease", "token", "held_until"),
    )


def _meter_event() -> None:
    create_table(
        "billing_meter_event",
        text("identifier"),
        text("customer_id"),
        text("feature_key", 100),
        text("event_name"),
        text("stripe_customer_id"),
        number("value"),
        instant("occurred_at"),
        text("state", 20),
        number("attempts"),
        instant("next_at"),
        instant("first_sent_at", null=True),
        instant("sent_at", null=True),
        text("note", None, null=True),
        instant("created_at"),
        PrimaryKeyConstraint("identifier"),
        check("meter_event_state", "state IN ('waiting', 'sending', 'sent', 'rejected', 'quarantined', 'canceled')"),
        bounds(
            "meter_event",
            "value",
            "occurred_at",
            "attempts",
            "next_at",
            "first_sent_at",
            "sent_at",
            "created_at",
        ),
    )
    create_index("ix_billing_meter_event_due", "billing_meter_event", "state", "next_at")
    create_index("ix_billing_meter_event_state", "billing_meter_event", "state", "identifier")
    create_index("ix_billing_meter_event_age", "billing_meter_event", "state", "created_at")
    create_index(
        "ix_billing_meter_event_period",
        "billing_meter_event",
        "customer_id",
        "feature_key",
        "event_name",
        "created_at",
    )


def _payment_method() -> None:
    create_table(
        "billing_payment_method",
        text("id"),
        text("customer_id"),
        text("method_type", 50),
        text("brand", 50, null=True),
        text("last4", 20, null=True),
        number("exp_month", null=True),
        number("exp_year", null=True),
        instant("created_at"),
        number("detached"),
        instant("updated_at"),
        PrimaryKeyConstraint("id"),
        flag("payment_method", "detached"),
        bounds("payment_method", "exp_month", "exp_year", "created_at", "updated_at"),
    )
    create_index(
        "ix_billing_payment_method_customer", "billing_payment_method", "customer_id", "detached", "created_at"
    )


def _stripe_customer() -> None:
    create_table(
        "billing_stripe_customer",
        text("id"),
        text("customer_id"),
        number("deleted"),
        number("delinquent"),
        number("balance"),
        text("currency", 20, null=True),
        text("default_payment_method_id", null=True),
        instant("created_at"),
        instant("updated_at"),
        PrimaryKeyConstraint("id"),
        flag("stripe_customer", "deleted"),
        flag("stripe_customer", "delinquent"),
        bounds("stripe_customer", "balance", "created_at", "updated_at"),
    )
    create_index("ix_billing_stripe_customer_of", "billing_stripe_customer", "customer_id", "created_at")


def _subscription_schedule() -> None:
    create_table(
        "billing_subscription_schedule",
        text("id"),
        text("customer_id"),
        text("stripe_subscription_id", null=True),
        text("status", 50),
        instant("phase_start", null=True),
        instant("phase_end", null=True),
        text("end_behavior", 50),
        json("phases"),
        instant("created_at"),
        number("deleted"),
        instant("updated_at"),
        PrimaryKeyConstraint("id"),
        flag("subscription_schedule", "deleted"),
        bounds("subscription_schedule", "phase_start", "phase_end", "created_at", "updated_at"),
    )
    create_index(
        "ix_billing_subscription_schedule_of", "billing_subscription_schedule", "stripe_subscription_id", "created_at"
    )


def _checkout_session() -> None:
    create_index("ix_billing_checkout_overdue", "billing_checkout_session", "status", "expires_at")


def _sync_state() -> None:
    add_column("billing_sync_state", text("page_cursor", null=True))


def _webhook_event() -> None:
    add_column("billing_webhook_event", text("customer", default=""))
    add_column("billing_webhook_event", text("source", 20, default="webhook"))
    create_index("ix_billing_webhook_event_customer", "billing_webhook_event", "status", "customer")
    create_index("ix_billing_webhook_event_status", "billing_webhook_event", "status", "received_at", "event_id")
    create_index("ix_billing_webhook_event_received", "billing_webhook_event", "received_at", "event_id")


def _stripe_object() -> None:
    within = bounds("stripe_object", "next_ticket", "applied_ticket", "checked_at")
    if is_sqlite():
        rebuild_table(
            "billing_stripe_object",
            ("kind", "stripe_id", "next_ticket", "applied_ticket", "deleted"),
            text("kind", 50),
            text("stripe_id"),
            number("next_ticket"),
            number("applied_ticket"),
            number("deleted"),
            instant("checked_at", default=0),
            PrimaryKeyConstraint("kind", "stripe_id"),
            flag("stripe_object", "deleted"),
            check("stripe_object_tickets", "applied_ticket >= 0 AND applied_ticket <= next_ticket"),
            within,
        )
    else:
        add_column("billing_stripe_object", instant("checked_at", default=0))
        replace_check(within, "billing_stripe_object")
    create_index(
        "ix_billing_stripe_object_checked", "billing_stripe_object", "kind", "deleted", "checked_at", "stripe_id"
    )


def _intent() -> None:
    state = check("intent_state", "state IN ('pending', 'done', 'failed', 'parked')")
    if is_sqlite():
        rebuild_table(
            "billing_intent",
            ("idempotency_key", "operation", "customer_id", "path", "params", "state", "stripe_id", "created_at"),
            text("idempotency_key"),
            text("operation"),
            text("customer_id"),
            text("path"),
            json("params"),
            text("state", 20),
            text("stripe_id", null=True),
            instant("created_at"),
            PrimaryKeyConstraint("idempotency_key"),
            state,
            bounds("intent", "created_at"),
        )
    else:
        replace_check(state, "billing_intent")
    create_index("ix_billing_intent_state", "billing_intent", "state", "created_at")
