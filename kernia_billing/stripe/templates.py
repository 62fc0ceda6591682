"""Request paths without their ids: few different texts, which say what was asked and not about whom."""

from __future__ import annotations

_LISTED = (
    "accept account activate active_entitlements add_lines advance alerts apply archive attach balance "
    "balance_settings balance_transactions billing billing_portal calculations cancel capture cash_balance "
    "charges checkout close core computed_upfront_line_items configurations confirm confirmation_tokens coupons "
    "create_from_calculation create_preview create_reversal credit_balance_summary credit_balance_transactions "
    "credit_grants credit_notes customer_sessions customers deactivate detach discount disputes domains "
    "entitlements event_summaries events expire features finalize funding_instructions invoice_payments "
    "invoice_rendering_templates invoiceitems invoices line_items lines mandates mark_uncollectible "
    "meter_event_adjustments meter_events meters migrate pause pay payment_intents payment_links "
    "payment_method_configurations payment_method_domains payment_methods pdf plans preview prices products "
    "promotion_codes quotes reactivate refunds registrations release remove_lines resume search send sessions "
    "settings setup_attempts setup_intents shipping_rates sources subscription_items subscription_schedules "
    "subscriptions tax tax_codes tax_ids tax_rates test_clocks test_helpers tokens transactions unarchive "
    "update_lines v1 v2 validate verify verify_microdeposits void webhook_endpoints"
)
_WORDS = frozenset(_LISTED.split())
"""The words of Stripe's paths. Products, coupons and plans may have ids that look like words, so no rule would do."""


def template_of(path: str) -> str:
    """`/v1/customers/cus_1` as `/v1/customers/{id}`: everything that is no word of Stripe's is an id."""
    return "/".join(part if part in _WORDS or not part else "{id}" for part in path.split("/"))
