"""Holds, limits, measures, alerts, and a ledger that tells what was held, included, and when."""

from __future__ import annotations

from alembic import op
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from kernia_billing.storage.migrations.steps import (
    add_check,
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

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ENTRIES = "'open', 'use', 'return', 'refund', 'carry', 'amend', 'hold', 'settle', 'release', 'expire', 'roll', 'void'"


def upgrade() -> None:
    """Create every table, column and index that is not there."""
    for change in (
        _alert_fired,
        _bucket_change,
        _customer_change,
        _entitlement_change,
        _hold,
        _horizon,
        _limit_window,
        _measure,
        _unique_value,
        _customer,
        _entitlement,
        _plan_feature,
        _bucket,
        _usage_event,
        _ledger,
    ):
        change()


def _alert_fired() -> None:
    create_table(
        "billing_alert_fired",
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        instant("period_start"),
        text("measure", 20),
        number("threshold"),
        instant("fired_at"),
        instant("period_end"),
        PrimaryKeyConstraint("customer_id", "feature_key", "entity_id", "period_start", "measure", "threshold"),
        check("alert_fired_measure", "measure IN ('percent', 'used', 'remaining')"),
        bounds("alert_fired", "period_start", "threshold", "fired_at", "period_end"),
    )
    create_index("ix_billing_alert_fired_end", "billing_alert_fired", "period_end", "customer_id")


def _bucket_change() -> None:
    create_table(
        "billing_bucket_change",
        text("bucket_id"),
        number("seq"),
        text("heir_id"),
        number("owed"),
        PrimaryKeyConstraint("bucket_id", "seq"),
        check("bucket_change_owed", "owed >= 0"),
        bounds("bucket_change", "seq", "owed"),
    )


def _customer_change() -> None:
    create_table(
        "billing_customer_change",
        text("customer_id"),
        number("seq"),
        instant("changed_at"),
        text("plan", 100, null=True),
        instant("plan_until"),
        PrimaryKeyConstraint("customer_id", "seq"),
        bounds("customer_change", "seq", "changed_at", "plan_until"),
    )
    # What there is becomes the first state known, at a time that nobody noted.
    op.execute(
        "INSERT INTO billing_customer_change (customer_id, seq, changed_at, plan, plan_until) "
        "SELECT id, ledger_seq, 0, plan, plan_until FROM billing_customer "
        "WHERE plan IS NOT NULL AND id NOT IN (SELECT customer_id FROM billing_customer_change)"
    )


def _entitlement_change() -> None:
    create_table(
        "billing_entitlement_change",
        text("entitlement_id"),
        number("seq"),
        text("customer_id"),
        instant("changed_at"),
        text("source_id"),
        number("amount", null=True),
        number("priority"),
        instant("expires_at"),
        instant("closed_at"),
        instant("anchor_at"),
        text("meter", null=True),
        text("terms", None, null=True),
        PrimaryKeyConstraint("entitlement_id", "seq"),
        bounds("entitlement_change", "seq", "changed_at", "amount", "priority", "expires_at", "closed_at", "anchor_at"),
    )
    create_index("ix_billing_entitlement_change_customer", "billing_entitlement_change", "customer_id", "changed_at")
    op.execute(
        "INSERT INTO billing_entitlement_change (entitlement_id, seq, customer_id, changed_at, source_id, amount, "
        "priority, expires_at, closed_at, anchor_at, meter) "
        "SELECT e.id, c.ledger_seq, e.customer_id, 0, e.source_id, e.amount, e.priority, e.expires_at, e.closed_at, "
        "e.anchor_at, e.meter FROM billing_entitlement e JOIN billing_customer c ON c.id = e.customer_id "
        "WHERE e.id NOT IN (SELECT entitlement_id FROM billing_entitlement_change)"
    )


def _hold() -> None:
    create_table(
        "billing_hold",
        text("id"),
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        number("quantity"),
        number("left_units"),
        text("status", 20),
        instant("expires_at"),
        instant("created_at"),
        instant("ended_at"),
        text("idempotency_key"),
        text("fingerprint"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_hold_key"),
        check("hold_status", "status IN ('open', 'settled', 'released', 'expired')"),
        check("hold_quantity", "quantity >= 0 AND left_units >= 0 AND left_units <= quantity"),
        bounds("hold", "quantity", "left_units", "expires_at", "created_at", "ended_at"),
    )
    create_index("ix_billing_hold_customer", "billing_hold", "customer_id", "status", "expires_at")
    create_index("ix_billing_hold_expiry", "billing_hold", "status", "expires_at")
    create_table(
        "billing_hold_line",
        text("hold_id"),
        number("line"),
        text("bucket_id"),
        text("feature_key", 100),
        number("amount"),
        number("units"),
        PrimaryKeyConstraint("hold_id", "line"),
        ForeignKeyConstraint(["hold_id"], ["billing_hold.id"], name="fk_billing_hold_line_hold"),
        check("hold_line_amount", "amount >= 0 AND units >= 0"),
        bounds("hold_line", "line", "amount", "units"),
    )
    create_index("ix_billing_hold_line_bucket", "billing_hold_line", "bucket_id")


def _horizon() -> None:
    create_table(
        "billing_horizon",
        text("customer_id"),
        number("seq"),
        instant("kept_from"),
        number("swept"),
        PrimaryKeyConstraint("customer_id"),
        flag("horizon", "swept"),
        bounds("horizon", "seq", "kept_from"),
    )


def _limit_window() -> None:
    create_table(
        "billing_limit_window",
        text("customer_id"),
        text("limit_id"),
        text("entity_id"),
        instant("window_start"),
        instant("window_end"),
        text("feature_key", 100),
        number("used"),
        instant("begun_at", default=0),
        PrimaryKeyConstraint("customer_id", "limit_id", "entity_id", "window_start"),
        check("limit_window_used", "used >= 0"),
        check("limit_window_window", "window_start < window_end"),
        bounds("limit_window", "window_start", "window_end", "used", "begun_at"),
    )
    create_index("ix_billing_limit_window_running", "billing_limit_window", "customer_id", "feature_key", "window_end")
    create_index("ix_billing_limit_window_end", "billing_limit_window", "window_end", "customer_id")


def _measure() -> None:
    create_table(
        "billing_measure",
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        instant("period_start"),
        number("measured"),
        number("covered"),
        instant("period_end"),
        PrimaryKeyConstraint("customer_id", "feature_key", "entity_id", "period_start"),
        bounds("measure", "period_start", "measured", "covered", "period_end"),
    )
    create_index("ix_billing_measure_end", "billing_measure", "period_end", "customer_id")


def _unique_value() -> None:
    create_table(
        "billing_unique_value",
        text("customer_id"),
        text("feature_key", 100),
        text("entity_id"),
        instant("period_start"),
        text("value_hash"),
        PrimaryKeyConstraint("customer_id", "feature_key", "entity_id", "period_start", "value_hash"),
        bounds("unique_value", "period_start"),
    )


def _customer() -> None:
    within = bounds("customer", "ledger_seq", "config_epoch", "plan_until", "created_at", "written_at")
    if is_sqlite():
        rebuild_table(
            "billing_customer",
            (
                "id",
                "customer_type",
                "reference_id",
                "stripe_customer_id",
                "email",
                "name",
                "ledger_seq",
                "config_epoch",
                "plan",
                "plan_until",
                "created_at",
            ),
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
            instant("written_at", default=0),
            PrimaryKeyConstraint("id"),
            UniqueConstraint("customer_type", "reference_id", name="uq_billing_customer_reference"),
            UniqueConstraint("stripe_customer_id", name="uq_billing_customer_stripe"),
            check("customer_customer_type", "customer_type IN ('user', 'organization')"),
            check("customer_counters", "ledger_seq >= 0 AND config_epoch >= 0"),
            within,
        )
        create_index("ix_billing_customer_plan", "billing_customer", "plan", "id")
    else:
        add_column("billing_customer", instant("written_at", default=0))
        replace_check(within, "billing_customer")


def _entitlement() -> None:
    add_column("billing_entitlement", text("terms", None, null=True))


def _plan_feature() -> None:
    trial = check("plan_feature_trial", "trial IS NULL OR trial >= 0")
    within = bounds("plan_feature", "amount", "overage_limit", "trial")
    if is_sqlite():
        rebuild_table(
            "billing_plan_feature",
            (
                "plan_id",
                "feature_key",
                "kind",
                "amount",
                "per_seat",
                "reset",
                "anchor",
                "overage",
                "overage_limit",
                "meter",
                "on_plan_change",
            ),
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
            text("terms", None, null=True),
            number("trial", null=True),
            PrimaryKeyConstraint("plan_id", "feature_key"),
            ForeignKeyConstraint(["plan_id"], ["billing_plan.id"], name="fk_billing_plan_feature_plan"),
            flag("plan_feature", "per_seat"),
            check("plan_feature_kind", "kind IN ('boolean', 'metered', 'quantity', 'seat', 'credit')"),
            check(
                "plan_feature_amounts",
                "(amount IS NULL OR amount >= 0) AND (overage_limit IS NULL OR overage_limit >= 0)",
            ),
            trial,
            within,
        )
    else:
        add_column("billing_plan_feature", text("terms", None, null=True))
        add_column("billing_plan_feature", number("trial", null=True))
        add_check(trial, "billing_plan_feature")
        replace_check(within, "billing_plan_feature")


def _bucket() -> None:
    numbers = ("period_no", "period_start", "period_end", "amount", "used", "held", "closed_at", "owed", "own")
    within = bounds("bucket", *numbers)
    owed = check("bucket_owed", "owed >= 0")
    own = check("bucket_own", "own IS NULL OR own >= 0")
    if is_sqlite():
        rebuild_table(
            "billing_bucket",
            (
                "id",
                "entitlement_id",
                "customer_id",
                "feature_key",
                "entity_id",
                "period_no",
                "period_start",
                "period_end",
                "amount",
                "used",
                "held",
                "closed_at",
            ),
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
            text("heir_id", default=""),
            number("owed", default=0),
            number("own", null=True),
            PrimaryKeyConstraint("id"),
            ForeignKeyConstraint(["entitlement_id"], ["billing_entitlement.id"], name="fk_billing_bucket_entitlement"),
            UniqueConstraint("entitlement_id", "period_no", name="uq_billing_bucket_period"),
            check("bucket_used", "used >= 0"),
            check("bucket_held", "held >= 0"),
            check("bucket_fits", "amount IS NULL OR used + held <= amount"),
            check("bucket_period", "period_start < period_end"),
            owed,
            own,
            within,
        )
        create_index("ix_billing_bucket_current", "billing_bucket", "entitlement_id", "period_end")
    else:
        add_column("billing_bucket", text("heir_id", default=""))
        add_column("billing_bucket", number("owed", default=0))
        add_column("billing_bucket", number("own", null=True))
        add_check(owed, "billing_bucket")
        add_check(own, "billing_bucket")
        replace_check(within, "billing_bucket")


def _usage_event() -> None:
    mode = check("usage_event_mode", "mode IN ('require', 'cap', 'record', 'return', 'refund', 'set', 'settle')")
    refunded = check("usage_event_refunded", "refunded >= 0")
    within = bounds("usage_event", "seq", "quantity", "funded", "unfunded", "occurred_at", "received_at", "refunded")
    if is_sqlite():
        rebuild_table(
            "billing_usage_event",
            (
                "id",
                "customer_id",
                "seq",
                "feature_key",
                "entity_id",
                "quantity",
                "funded",
                "unfunded",
                "mode",
                "occurred_at",
                "received_at",
                "properties",
                "idempotency_key",
                "fingerprint",
                "result",
            ),
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
            text("refund_of", default=""),
            text("hold_id", default=""),
            number("refunded", default=0),
            PrimaryKeyConstraint("id"),
            UniqueConstraint("customer_id", "idempotency_key", name="uq_billing_usage_event_key"),
            UniqueConstraint("customer_id", "seq", name="uq_billing_usage_event_seq"),
            mode,
            refunded,
            within,
        )
        table = "billing_usage_event"
        create_index("ix_billing_usage_event_feature", table, "customer_id", "feature_key", "occurred_at", "id")
        create_index("ix_billing_usage_event_time", table, "customer_id", "occurred_at", "id")
    else:
        add_column("billing_usage_event", text("refund_of", default=""))
        add_column("billing_usage_event", text("hold_id", default=""))
        add_column("billing_usage_event", number("refunded", default=0))
        replace_check(mode, "billing_usage_event")
        add_check(refunded, "billing_usage_event")
        replace_check(within, "billing_usage_event")


def _ledger() -> None:
    entry = check("ledger_entry", f"entry IN ({_ENTRIES})")
    held_after = check("ledger_held_after", "held_after >= 0")
    within = bounds(
        "ledger", "seq", "line", "amount", "used_after", "units", "held", "held_after", "included_after", "moved_at"
    )
    if is_sqlite():
        rebuild_table(
            "billing_ledger",
            ("customer_id", "seq", "line", "bucket_id", "entry", "amount", "used_after", "event_id"),
            text("customer_id"),
            number("seq"),
            number("line"),
            text("bucket_id"),
            text("entry", 20),
            number("amount"),
            number("used_after"),
            text("event_id"),
            number("units", default=0),
            number("held", default=0),
            number("held_after", default=0),
            number("included_after", null=True),
            instant("moved_at", default=0),
            PrimaryKeyConstraint("customer_id", "seq", "line"),
            entry,
            check("ledger_used_after", "used_after >= 0"),
            held_after,
            within,
        )
    else:
        add_column("billing_ledger", number("units", default=0))
        add_column("billing_ledger", number("held", default=0))
        add_column("billing_ledger", number("held_after", default=0))
        add_column("billing_ledger", number("included_after", null=True))
        add_column("billing_ledger", instant("moved_at", default=0))
        replace_check(entry, "billing_ledger")
        add_check(held_after, "billing_ledger")
        replace_check(within, "billing_ledger")
    # Until now a unit of a feature moved one unit of its bucket.
    op.execute("UPDATE billing_ledger SET units = ABS(amount) WHERE units = 0 AND entry IN ('use', 'return')")
