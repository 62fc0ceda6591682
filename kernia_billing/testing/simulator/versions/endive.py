"""From 2026-10-28.endive back to 2026-07-29.dahlia: pausing with its reasons, trial offers, tax details.

Source: the response types of the official packages for both versions, compared; so in every module of this folder.
"""

from __future__ import annotations

from .step import Step

STEP = Step(
    "2026-07-29.dahlia",
    removed={
        "billing_portal.configuration": (
            "features.subscription_cancel.cancellation_reason.feedback_options",
            "features.subscription_pause",
        ),
        "billing_portal.session": ("after_expiration", "flow.customer_update", "flow.subscription_pause"),
        "checkout.session": ("allowed_payment_method_types",),
        "dispute": ("evidence.appeal", "evidence_details.submission_method", "intended_submission_method"),
        "invoice": ("status_details",),
        "invoiceitem": ("frozen_fields", "invoicing_rules"),
        "payment_intent": ("payment_record",),
        "product": ("tax_details",),
        "subscription": (
            "cancellation_details.feedback_option",
            "pending_update.cancel_at_period_end",
            "status_details",
            "trial_settings.end_behavior.billing_cycle_anchor",
        ),
        "subscription_item": ("current_trial",),
        "subscription_schedule": ("pause_schedules",),
    },
    changes={},
)
