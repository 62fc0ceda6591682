"""The parameters of a checkout session. Source: the official package's `SessionCreateParams`."""

from __future__ import annotations

from ..api import fields
from ..catalog import tax_rates
from ..invoices import discounts
from ..subscriptions import pending_intervals

_AUTO = fields.one_of("auto", "never")
_ENABLED = fields.fields(required=("enabled",), enabled=fields.boolean)
_MESSAGE = fields.clearable(fields.fields(required=("message",), message=fields.text_up_to(1_200)))
_METHOD_TYPE = fields.one_of("card", "us_bank_account")
_SHORT = fields.integer(1, 255)

_PRICE_DATA = fields.fields(
    required=("currency",),
    currency=fields.currency,
    product=fields.text,
    product_data=fields.fields(
        required=("name",),
        name=fields.text_up_to(250),
        description=fields.text,
        images=fields.list_of(fields.url, 8),
        metadata=fields.metadata,
        unit_label=fields.text_up_to(12),
    ),
    recurring=fields.fields(
        required=("interval",),
        interval=fields.one_of("day", "week", "month", "year"),
        interval_count=fields.integer(1, 1_095),
    ),
    tax_behavior=fields.one_of("exclusive", "inclusive", "unspecified"),
    unit_amount=fields.integer(0, 99_999_999),
)
_LINE = fields.fields(
    price=fields.text,
    price_data=_PRICE_DATA,
    quantity=fields.integer(0, 999_999),
    adjustable_quantity=fields.fields(
        required=("enabled",),
        enabled=fields.boolean,
        minimum=fields.integer(0, 999_999),
        maximum=fields.integer(1, 999_999),
    ),
    metadata=fields.metadata,
    tax_rates=tax_rates.IDS,
)
_SUBSCRIPTION_DATA = fields.fields(
    billing_cycle_anchor=fields.timestamp,
    billing_mode=fields.fields(required=("type",), type=fields.one_of("classic", "flexible")),
    default_tax_rates=tax_rates.IDS,
    description=fields.text_up_to(500),
    metadata=fields.metadata,
    pending_invoice_item_interval=pending_intervals.PARAM,
    proration_behavior=fields.one_of("create_prorations", "none"),
    trial_end=fields.timestamp,
    trial_period_days=fields.integer(1, 730),
    trial_settings=fields.fields(
        required=("end_behavior",),
        end_behavior=fields.fields(
            required=("missing_payment_method",),
            missing_payment_method=fields.one_of("cancel", "create_invoice", "pause"),
        ),
    ),
)
_FREE_TEXT = fields.fields(default_value=fields.text_up_to(255), minimum_length=_SHORT, maximum_length=_SHORT)
_CUSTOM_FIELD = fields.fields(
    required=("key", "label", "type"),
    key=fields.text_up_to(200),
    label=fields.fields(
        required=("custom", "type"), custom=fields.text_up_to(50), type=fields.one_of("custom", "custom")
    ),
    type=fields.one_of("dropdown", "numeric", "text"),
    dropdown=fields.fields(
        required=("options",),
        default_value=fields.text,
        options=fields.list_of(
            fields.fields(required=("label", "value"), label=fields.text_up_to(100), value=fields.text_up_to(100)), 200
        ),
    ),
    numeric=_FREE_TEXT,
    optional=fields.boolean,
    text=_FREE_TEXT,
)

CREATE: dict[str, fields.Reader] = {
    "after_expiration": fields.fields(
        recovery=fields.fields(required=("enabled",), allow_promotion_codes=fields.boolean, enabled=fields.boolean)
    ),
    "allow_promotion_codes": fields.boolean,
    "allowed_payment_method_types": fields.list_of(_METHOD_TYPE),
    "automatic_tax": tax_rates.AUTOMATIC,
    "billing_address_collection": fields.one_of("auto", "required"),
    "cancel_url": fields.url,
    "client_reference_id": fields.text_up_to(200),
    "consent_collection": fields.fields(
        promotions=fields.one_of("auto", "none"), terms_of_service=fields.one_of("none", "required")
    ),
    "currency": fields.currency,
    "custom_fields": fields.list_of(_CUSTOM_FIELD, 3),
    "custom_text": fields.fields(
        after_submit=_MESSAGE, shipping_address=_MESSAGE, submit=_MESSAGE, terms_of_service_acceptance=_MESSAGE
    ),
    "customer": fields.text,
    "customer_creation": fields.one_of("always", "if_required"),
    "customer_email": fields.email,
    "customer_update": fields.fields(address=_AUTO, name=_AUTO, shipping=_AUTO),
    "discounts": discounts.SESSION_PARAM,
    "excluded_payment_method_types": fields.list_of(_METHOD_TYPE),
    "expires_at": fields.timestamp,
    "line_items": fields.list_of(_LINE, 100),
    "locale": fields.text,
    "metadata": fields.metadata,
    "mode": fields.one_of("payment", "setup", "subscription"),
    "payment_intent_data": fields.fields(
        capture_method=fields.one_of("automatic", "automatic_async", "manual"),
        description=fields.text_up_to(1_000),
        metadata=fields.metadata,
        receipt_email=fields.email,
        setup_future_usage=fields.one_of("off_session", "on_session"),
    ),
    "payment_method_collection": fields.one_of("always", "if_required"),
    "phone_number_collection": _ENABLED,
    "redirect_on_completion": fields.one_of("always", "if_required", "never"),
    "return_url": fields.url,
    "saved_payment_method_options": fields.fields(
        allow_redisplay_filters=fields.list_of(fields.one_of("always", "limited", "unspecified")),
        payment_method_remove=fields.one_of("disabled", "enabled"),
        payment_method_save=fields.one_of("disabled", "enabled"),
    ),
    "setup_intent_data": fields.fields(description=fields.text_up_to(1_000), metadata=fields.metadata),
    "submit_type": fields.one_of("auto", "book", "donate", "pay", "subscribe"),
    "subscription_data": _SUBSCRIPTION_DATA,
    "success_url": fields.url,
    "tax_id_collection": _ENABLED,
    "ui_mode": fields.one_of("hosted_page", "embedded_page", "elements", "form"),
}
"""What `POST /v1/checkout/sessions` takes here; what Stripe takes beyond it is refused as not modelled."""
