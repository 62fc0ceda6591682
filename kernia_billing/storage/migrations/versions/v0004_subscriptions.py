"""What selling subscriptions needs: trials and purchases, seats, changes under way, and the event bus."""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

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

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, column and index that is not there."""
    for change in (
        _purchase,
        _trial,
        _local_trial,
        _seat_count,
        _subscription,
        _cause,
        _notice,
        _writes,
        _invoice,
        _expiry,
        _outbox,
    ):
        change()


def _purchase() -> None:
    create_table(
        "billing_purchase",
        text("id"),
        text("customer_id"),
        text("mode", 20),
        text("name", 100),
        number("quantity"),
        json("sold"),
        text("fingerprint"),
        text("status", 20),
        text("stripe_session_id", null=True),
        text("url", None, null=True),
        text("line_id", null=True),
        text("payment_intent_id", null=True),
        number("paid"),
        instant("expires_at"),
        instant("created_at"),
        text("slot"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("customer_id", "slot", name="uq_billing_purchase_open"),
        check("purchase_mode", "mode IN ('payment', 'setup')"),
        check("purchase_status", "status IN ('open', 'processing', 'complete', 'expired', 'failed')"),
        check("purchase_quantity", "quantity >= 0 AND paid >= 0"),
        bounds("purchase", "quantity", "paid", "expires_at", "created_at"),
    )
    create_index("ix_billing_purchase_session", "billing_purchase", "stripe_session_id")
    create_index("ix_billing_purchase_payment", "billing_purchase", "payment_intent_id")
    create_index("ix_billing_purchase_overdue", "billing_purchase", "status", "expires_at")


def _trial() -> None:
    create_table(
        "billing_trial",
        text("scope_key"),
        text("scope", 20),
        text("customer_id"),
        text("plan", 100),
        text("holder"),
        instant("claimed_at"),
        instant("started_at", null=True),
        PrimaryKeyConstraint("scope_key"),
        check("trial_scope", "scope IN ('reference', 'group', 'plan', 'user', 'email', 'card')"),
        bounds("trial", "claimed_at", "started_at"),
    )
    create_index("ix_billing_trial_holder", "billing_trial", "holder")
    create_index("ix_billing_trial_customer", "billing_trial", "customer_id")


def _local_trial() -> None:
    create_table(
        "billing_local_trial",
        text("id"),
        text("customer_id"),
        text("plan_group", 100),
        text("plan", 100),
        text("plan_version_id"),
        number("seats"),
        instant("started_at"),
        instant("ends_at"),
        instant("ended_at", null=True),
        instant("due_at"),
        instant("canceled_at", null=True),
        text("cancel_feedback", 50, null=True),
        PrimaryKeyConstraint("id"),
        check("local_trial_seats", "seats >= 1"),
        check("local_trial_period", "ends_at > started_at"),
        bounds("local_trial", "seats", "started_at", "ends_at", "ended_at", "due_at", "canceled_at"),
    )
    create_index("ix_billing_local_trial_customer", "billing_local_trial", "customer_id", "started_at")
    create_index("ix_billing_local_trial_due", "billing_local_trial", "due_at", "customer_id")


def _seat_count() -> None:
    create_table(
        "billing_seat_count",
        text("customer_id"),
        number("members", null=True),
        number("revision"),
        number("done"),
        number("counted"),
        number("updates"),
        instant("hour_start"),
        number("hour_updates"),
        number("attempts"),
        instant("next_at"),
        text("note", None, null=True),
        PrimaryKeyConstraint("customer_id"),
        check("seat_count_members", "members IS NULL OR members >= 0"),
        check("seat_count_revision", "revision >= done AND done >= 0"),
        bounds(
            "seat_count",
            "members",
            "revision",
            "done",
            "counted",
            "updates",
            "hour_start",
            "hour_updates",
            "attempts",
            "next_at",
        ),
    )
    create_index("ix_billing_seat_count_due", "billing_seat_count", "next_at", "customer_id")


def _subscription() -> None:
    told = (
        *("seats", "period_start", "period_end", "trial_start", "trial_end", "cancel_at", "canceled_at", "ended_at"),
        *("billing_cycle_anchor", "past_due_since", "created_at", "updated_at"),
    )
    within = bounds("subscription", *told, "resumes_at")
    if is_sqlite():
        rebuild_table(
            "billing_subscription",
            (
                *("id", "customer_id", "stripe_subscription_id", "plan_group", "plan", "plan_version_id", "status"),
                *("billing_interval", "price_id", "item_id", "pause_behavior", "schedule_id"),
                *("cancel_at_period_end", "duplicate", *told),
            ),
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
            text("cancel_reason", 50, null=True),
            text("cancel_feedback", 50, null=True),
            instant("resumes_at", null=True),
            PrimaryKeyConstraint("id"),
            UniqueConstraint("stripe_subscription_id", name="uq_billing_subscription_stripe"),
            flag("subscription", "cancel_at_period_end"),
            flag("subscription", "duplicate"),
            check("subscription_interval", "billing_interval IS NULL OR billing_interval IN ('month', 'year')"),
            within,
        )
        create_index("ix_billing_subscription_customer", "billing_subscription", "customer_id", "created_at")
    else:
        add_column("billing_subscription", text("cancel_reason", 50, null=True))
        add_column("billing_subscription", text("cancel_feedback", 50, null=True))
        add_column("billing_subscription", instant("resumes_at", null=True))
        replace_check(within, "billing_subscription")


def _cause() -> None:
    add_column("billing_audit", text("cause", 100, default=""))
    add_column("billing_audit", text("event_id", default=""))


def _notice() -> None:
    create_table(
        "billing_notice",
        text("kind", 50),
        text("subject"),
        text("mark", 100),
        instant("told_at"),
        instant("kept_until"),
        PrimaryKeyConstraint("kind", "subject", "mark"),
        bounds("notice", "told_at", "kept_until"),
    )
    create_index("ix_billing_notice_end", "billing_notice", "kept_until", "kind")


def _writes() -> None:
    add_column("billing_limit_window", number("begun_seq", default=0))
    add_column("billing_hold", number("created_seq", default=0))


def _invoice() -> None:
    create_index("ix_billing_invoice_time", "billing_invoice", "created_at", "id")
    create_index("ix_billing_invoice_status", "billing_invoice", "status", "created_at", "id")


def _expiry() -> None:
    add_column("billing_subscription", text("default_payment_method_id", null=True))
    add_column("billing_subscription", text("collection_method", 50, null=True))
    create_index("ix_billing_payment_method_expiry", "billing_payment_method", "exp_year", "exp_month", "id")


def _outbox() -> None:
    numbers = ("created_at", "attempts", "lease_until", "sent_at")
    progress = ("bus_at", "bus_attempts", "bus_lease", "bus_lane", "bus_seq")
    within = bounds("outbox", *numbers, *progress)
    if is_sqlite():
        rebuild_table(
            "billing_outbox",
            ("position", "id", "topic", "customer_id", "payload", *numbers),
            number("position", counted=True),
            text("id"),
            text("topic"),
            text("customer_id"),
            json("payload"),
            instant("created_at"),
            number("attempts"),
            instant("lease_until"),
            instant("sent_at"),
            instant("bus_at", default=0),
            number("bus_attempts", default=0),
            instant("bus_lease", default=0),
            number("bus_lane", default=0),
            number("bus_seq", default=0),
            UniqueConstraint("id", name="uq_billing_outbox_id"),
            within,
        )
        create_index("ix_billing_outbox_customer", "billing_outbox", "customer_id", "sent_at", "position")
        create_index("ix_billing_outbox_waiting", "billing_outbox", "sent_at", "position")
    else:
        add_column("billing_outbox", instant("bus_at", default=0))
        add_column("billing_outbox", number("bus_attempts", default=0))
        add_column("billing_outbox", instant("bus_lease", default=0))
        add_column("billing_outbox", number("bus_lane", default=0))
        add_column("billing_outbox", number("bus_seq", default=0))
        replace_check(within, "billing_outbox")
    create_index("ix_billing_outbox_bus", "billing_outbox", "bus_at", "position")
    create_index("ix_billing_outbox_bus_customer", "billing_outbox", "customer_id", "bus_at", "position")
    create_index("ix_billing_outbox_lane", "billing_outbox", "bus_lane", "bus_seq")
