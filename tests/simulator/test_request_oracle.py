"""The request oracle: one good request at least, and bad ones, for every endpoint that a billing library calls."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from stripe._encode import _api_encode

from kernia_billing.testing.oracle import Report, RequestOracle, request_oracle


def _oracle() -> RequestOracle:
    oracle = request_oracle()
    assert oracle is not None
    return oracle


_ORACLE = _oracle()

GOOD: list[tuple[str, str, dict[str, Any]]] = [
    (
        "POST",
        "/v1/customers",
        {
            "email": "a@b.c",
            "name": "A",
            "metadata": {"org": "1"},
            "address": {"country": "DE"},
            "tax_id_data": [{"type": "eu_vat", "value": "DE1"}],
            "test_clock": "clock_1",
            "invoice_settings": {"default_payment_method": "pm_1"},
        },
    ),
    ("POST", "/v1/customers/cus_1", {"email": "", "metadata": {"org": ""}, "tax_exempt": "reverse"}),
    ("GET", "/v1/customers", {"email": "a@b.c", "limit": 1}),
    ("GET", "/v1/customers/search", {"query": "metadata['org']:'1'", "page": "x"}),
    ("DELETE", "/v1/customers/cus_1", {}),
    ("POST", "/v1/customers/cus_1/balance_transactions", {"amount": -500, "currency": "usd", "description": "credit"}),
    ("GET", "/v1/customers/cus_1/payment_methods", {"type": "card"}),
    (
        "POST",
        "/v1/products",
        {
            "name": "Pro",
            "metadata": {"plan": "pro"},
            "tax_code": "txcd_10000000",
            "default_price_data": {"currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}},
            "marketing_features": [{"name": "5 projects"}],
        },
    ),
    ("POST", "/v1/products/prod_1", {"active": False, "default_price": "price_1"}),
    ("GET", "/v1/products", {"active": True, "expand": ["data.default_price"]}),
    ("POST", "/v1/products/prod_1/features", {"entitlement_feature": "feat_1"}),
    (
        "POST",
        "/v1/prices",
        {
            "product": "prod_1",
            "currency": "usd",
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [
                {"up_to": 10, "unit_amount": 100},
                {"up_to": "inf", "unit_amount_decimal": "0.5", "flat_amount": 0},
            ],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_1"},
            "currency_options": {"eur": {"tiers": [{"up_to": "inf", "unit_amount": 90}]}},
            "lookup_key": "pro_m",
            "transfer_lookup_key": True,
        },
    ),
    ("POST", "/v1/prices/price_1", {"active": False, "nickname": ""}),
    (
        "GET",
        "/v1/prices",
        {
            "lookup_keys": ["a", "b"],
            "active": True,
            "type": "recurring",
            "expand": ["data.tiers", "data.currency_options"],
        },
    ),
    (
        "POST",
        "/v1/checkout/sessions",
        {
            "mode": "subscription",
            "customer": "cus_1",
            "client_reference_id": "org_1",
            "line_items": [
                {
                    "price": "price_1",
                    "quantity": 2,
                    "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 99},
                },
                {"price": "price_metered"},
            ],
            "subscription_data": {
                "trial_period_days": 14,
                "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
                "metadata": {"org": "1"},
                "billing_mode": {"type": "flexible"},
                "pending_invoice_item_interval": {"interval": "month", "interval_count": 1},
                "proration_behavior": "none",
            },
            "payment_method_collection": "if_required",
            "success_url": "https://x/?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://x",
            "automatic_tax": {"enabled": True},
            "tax_id_collection": {"enabled": True},
            "customer_update": {"address": "auto", "name": "auto"},
            "allow_promotion_codes": True,
            "expires_at": 1800000000,
            "allowed_payment_method_types": ["card"],
            "locale": "auto",
        },
    ),
    (
        "POST",
        "/v1/checkout/sessions",
        {
            "mode": "payment",
            "line_items": [
                {
                    "price_data": {"currency": "usd", "unit_amount": 500, "product_data": {"name": "credits"}},
                    "quantity": 1,
                }
            ],
            "invoice_creation": {"enabled": True},
            "ui_mode": "embedded_page",
            "return_url": "https://x",
            "discounts": [{"promotion_code": "promo_1"}],
            "payment_intent_data": {"setup_future_usage": "off_session"},
        },
    ),
    ("POST", "/v1/checkout/sessions/cs_1/expire", {}),
    ("GET", "/v1/checkout/sessions/cs_1", {"expand": ["line_items", "subscription"]}),
    ("GET", "/v1/checkout/sessions/cs_1/line_items", {"limit": 100}),
    (
        "POST",
        "/v1/billing_portal/sessions",
        {
            "customer": "cus_1",
            "return_url": "https://x",
            "configuration": "bpc_1",
            "flow_data": {
                "type": "subscription_update_confirm",
                "subscription_update_confirm": {
                    "subscription": "sub_1",
                    "items": [{"id": "si_1", "price": "price_2", "quantity": 1}],
                },
                "after_completion": {"type": "redirect", "redirect": {"return_url": "https://x"}},
            },
        },
    ),
    (
        "POST",
        "/v1/billing_portal/configurations",
        {
            "features": {
                "invoice_history": {"enabled": True},
                "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                "subscription_pause": {"enabled": True},
                "payment_method_update": {"enabled": True},
            }
        },
    ),
    (
        "POST",
        "/v1/subscriptions",
        {
            "customer": "cus_1",
            "items": [{"price": "price_1", "quantity": 3}],
            "trial_end": "now",
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription", "payment_method_types": ["card"]},
            "expand": ["latest_invoice.confirmation_secret", "pending_setup_intent"],
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "billing_cycle_anchor": 1800000000,
            "billing_mode": {"type": "classic"},
            "discounts": [{"coupon": "c"}],
            "off_session": True,
            "automatic_tax": {"enabled": False},
        },
    ),
    (
        "POST",
        "/v1/subscriptions/sub_1",
        {
            "items": [
                {"id": "si_1", "price": "price_2", "quantity": 5},
                {"id": "si_2", "deleted": True, "clear_usage": True},
            ],
            "proration_behavior": "always_invoice",
            "proration_date": 1790000000,
            "billing_cycle_anchor": {"type": "now"},
            "payment_behavior": "pending_if_incomplete",
        },
    ),
    (
        "POST",
        "/v1/subscriptions/sub_1",
        {"cancel_at_period_end": True, "cancellation_details": {"comment": "x", "feedback": "too_expensive"}},
    ),
    ("POST", "/v1/subscriptions/sub_1", {"cancel_at": "", "pause_collection": ""}),
    (
        "POST",
        "/v1/subscriptions/sub_1",
        {
            "pause_collection": {"behavior": "keep_as_draft", "resumes_at": 1790000000},
            "trial_end": 1790000000,
            "metadata": "",
        },
    ),
    (
        "DELETE",
        "/v1/subscriptions/sub_1",
        {"invoice_now": True, "prorate": True, "cancellation_details": {"feedback": "unused"}},
    ),
    (
        "POST",
        "/v1/subscriptions/sub_1/pause",
        {
            "type": "subscription",
            "bill_for": {"unused_time_from": {"type": "now"}, "outstanding_usage_through": {"type": "now"}},
            "invoicing_behavior": "invoice",
        },
    ),
    (
        "POST",
        "/v1/subscriptions/sub_1/resume",
        {
            "billing_cycle_anchor": {"type": "unchanged"},
            "proration_behavior": "none",
            "payment_behavior": "resume_on_payment_success",
        },
    ),
    ("POST", "/v1/subscriptions/sub_1/migrate", {"billing_mode": {"type": "flexible"}}),
    ("GET", "/v1/subscriptions", {"customer": "cus_1", "status": "all", "limit": 100, "starting_after": "sub_9"}),
    ("GET", "/v1/subscriptions/search", {"query": "status:'active'"}),
    ("POST", "/v1/subscription_items", {"subscription": "sub_1", "price": "price_1", "quantity": 2}),
    ("POST", "/v1/subscription_items/si_1", {"quantity": 7, "proration_behavior": "create_prorations"}),
    ("DELETE", "/v1/subscription_items/si_1", {"proration_behavior": "none", "clear_usage": True}),
    ("POST", "/v1/subscription_schedules", {"from_subscription": "sub_1"}),
    (
        "POST",
        "/v1/subscription_schedules",
        {
            "customer": "cus_1",
            "start_date": "now",
            "end_behavior": "release",
            "phases": [
                {
                    "items": [{"price": "price_1", "quantity": 1}],
                    "duration": {"interval": "month", "interval_count": 1},
                    "proration_behavior": "none",
                },
                {"items": [{"price": "price_2"}], "metadata": {"k": "v"}},
            ],
        },
    ),
    (
        "POST",
        "/v1/subscription_schedules/sub_sched_1",
        {
            "phases": [
                {"items": [{"price": "price_1"}], "start_date": 1790000000, "end_date": 1790100000},
                {"items": [{"price": "price_2"}], "discounts": ""},
            ],
            "end_behavior": "release",
            "proration_behavior": "none",
        },
    ),
    ("POST", "/v1/subscription_schedules/sub_sched_1/release", {"preserve_cancel_date": True}),
    ("POST", "/v1/subscription_schedules/sub_sched_1/cancel", {"invoice_now": True, "prorate": False}),
    (
        "POST",
        "/v1/invoices",
        {
            "customer": "cus_1",
            "auto_advance": True,
            "collection_method": "send_invoice",
            "days_until_due": 14,
            "pending_invoice_items_behavior": "include",
            "metadata": {"k": "v"},
        },
    ),
    ("POST", "/v1/invoices/in_1/finalize", {"auto_advance": False}),
    ("POST", "/v1/invoices/in_1/pay", {"payment_method": "pm_1", "off_session": True}),
    ("POST", "/v1/invoices/in_1/pay", {"paid_out_of_band": True}),
    ("POST", "/v1/invoices/in_1/send", {}),
    ("POST", "/v1/invoices/in_1/void", {}),
    ("POST", "/v1/invoices/in_1/mark_uncollectible", {}),
    (
        "POST",
        "/v1/invoices/create_preview",
        {
            "customer": "cus_1",
            "subscription": "sub_1",
            "subscription_details": {
                "items": [{"id": "si_1", "price": "price_2"}],
                "proration_behavior": "always_invoice",
                "proration_date": 1790000000,
                "billing_cycle_anchor": {"type": "unchanged"},
            },
        },
    ),
    ("GET", "/v1/invoices", {"customer": "cus_1", "status": "open", "created": {"gte": 1700000000}, "limit": 100}),
    ("GET", "/v1/invoices/in_1/lines", {"limit": 100}),
    (
        "POST",
        "/v1/invoiceitems",
        {
            "customer": "cus_1",
            "amount": 100,
            "currency": "usd",
            "description": "overage",
            "subscription": "sub_1",
            "period": {"start": 1, "end": 2},
        },
    ),
    ("POST", "/v1/invoiceitems", {"customer": "cus_1", "pricing": {"price": "price_1"}, "quantity": 3}),
    ("GET", "/v1/invoice_payments", {"invoice": "in_1", "status": "paid"}),
    (
        "POST",
        "/v1/billing/meters",
        {
            "display_name": "Tokens",
            "event_name": "tokens",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
            "event_time_window": "hour",
        },
    ),
    ("POST", "/v1/billing/meters/mtr_1/deactivate", {}),
    (
        "GET",
        "/v1/billing/meters/mtr_1/event_summaries",
        {"customer": "cus_1", "start_time": 1700000000, "end_time": 1700003600, "value_grouping_window": "hour"},
    ),
    (
        "POST",
        "/v1/billing/meter_events",
        {
            "event_name": "tokens",
            "payload": {"stripe_customer_id": "cus_1", "value": "25"},
            "identifier": "u-1",
            "timestamp": 1790000000,
        },
    ),
    (
        "POST",
        "/v1/billing/meter_event_adjustments",
        {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "u-1"}},
    ),
    (
        "POST",
        "/v1/billing/credit_grants",
        {
            "customer": "cus_1",
            "name": "promo",
            "category": "promotional",
            "amount": {"type": "monetary", "monetary": {"value": 1000, "currency": "usd"}},
            "applicability_config": {"scope": {"price_type": "metered"}},
            "expires_at": 1800000000,
            "priority": 10,
        },
    ),
    ("POST", "/v1/billing/credit_grants/credgr_1/void", {}),
    ("POST", "/v1/billing/credit_grants/credgr_1/expire", {}),
    (
        "GET",
        "/v1/billing/credit_balance_summary",
        {
            "customer": "cus_1",
            "filter": {"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}},
        },
    ),
    ("GET", "/v1/billing/credit_balance_transactions", {"customer": "cus_1"}),
    (
        "POST",
        "/v1/billing/alerts",
        {
            "alert_type": "usage_threshold",
            "title": "80%",
            "usage_threshold": {
                "gte": 80,
                "meter": "mtr_1",
                "recurrence": "one_time",
                "filters": [{"type": "customer", "customer": "cus_1"}],
            },
        },
    ),
    ("POST", "/v1/entitlements/features", {"name": "Projects", "lookup_key": "projects", "metadata": {"k": "v"}}),
    ("POST", "/v1/entitlements/features/feat_1", {"active": False}),
    ("GET", "/v1/entitlements/active_entitlements", {"customer": "cus_1", "limit": 100}),
    (
        "POST",
        "/v1/payment_intents",
        {
            "amount": 100,
            "currency": "usd",
            "customer": "cus_1",
            "off_session": True,
            "confirm": True,
            "payment_method": "pm_1",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        },
    ),
    (
        "POST",
        "/v1/setup_intents",
        {"customer": "cus_1", "usage": "off_session", "automatic_payment_methods": {"enabled": True}},
    ),
    ("POST", "/v1/payment_methods/pm_1/attach", {"customer": "cus_1"}),
    ("POST", "/v1/payment_methods/pm_1/detach", {}),
    ("GET", "/v1/payment_methods", {"customer": "cus_1", "type": "card"}),
    (
        "POST",
        "/v1/coupons",
        {
            "percent_off": 12.5,
            "duration": "repeating",
            "duration_in_months": 3,
            "applies_to": {"products": ["prod_1"]},
            "max_redemptions": 10,
        },
    ),
    (
        "POST",
        "/v1/coupons",
        {
            "amount_off": 500,
            "currency": "usd",
            "duration": "once",
            "id": "WELCOME",
            "currency_options": {"eur": {"amount_off": 450}},
        },
    ),
    (
        "POST",
        "/v1/promotion_codes",
        {
            "promotion": {"type": "coupon", "coupon": "WELCOME"},
            "code": "HI",
            "restrictions": {"first_time_transaction": True, "minimum_amount": 100, "minimum_amount_currency": "usd"},
        },
    ),
    ("DELETE", "/v1/subscriptions/sub_1/discount", {}),
    ("POST", "/v1/tax_rates", {"display_name": "VAT", "percentage": 19.0, "inclusive": False, "country": "DE"}),
    (
        "POST",
        "/v1/tax/calculations",
        {
            "currency": "usd",
            "line_items": [{"amount": 1000, "reference": "L1", "tax_behavior": "exclusive"}],
            "customer_details": {"address": {"country": "US", "postal_code": "98101"}, "address_source": "billing"},
        },
    ),
    ("POST", "/v1/tax/settings", {"defaults": {"tax_behavior": "exclusive"}}),
    ("GET", "/v1/tax/settings", {}),
    (
        "POST",
        "/v1/tax/registrations",
        {
            "country": "DE",
            "active_from": "now",
            "country_options": {"de": {"type": "standard", "standard": {"place_of_supply_scheme": "standard"}}},
        },
    ),
    ("POST", "/v1/customers/cus_1/tax_ids", {"type": "eu_vat", "value": "DE123456789"}),
    ("POST", "/v1/refunds", {"payment_intent": "pi_1", "amount": 100, "reason": "requested_by_customer"}),
    (
        "POST",
        "/v1/credit_notes",
        {
            "invoice": "in_1",
            "lines": [{"type": "invoice_line_item", "invoice_line_item": "il_1", "quantity": 1}],
            "refund_amount": 100,
        },
    ),
    (
        "POST",
        "/v1/webhook_endpoints",
        {
            "url": "https://x",
            "enabled_events": ["invoice.paid", "customer.subscription.updated"],
            "api_version": _ORACLE.api_version,
        },
    ),
    ("POST", "/v1/test_helpers/test_clocks", {"frozen_time": 1790000000, "name": "t"}),
    ("POST", "/v1/test_helpers/test_clocks/clock_1/advance", {"frozen_time": 1790086400}),
    (
        "GET",
        "/v1/events",
        {"types": ["invoice.paid"], "created": {"gt": 1790000000}, "delivery_success": False, "limit": 100},
    ),
]
BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/v1/customers", {"emial": "a"}, "did you mean 'email'"),
    ("POST", "/v1/customers", {"coupon": "c"}, "unknown parameter"),
    ("POST", "/v1/customers", {"balance": "1.5"}, "not a valid int"),
    ("POST", "/v1/products", {"description": "no name"}, "name: required parameter missing"),
    (
        "POST",
        "/v1/prices",
        {"product": "p", "currency": "usd", "recurring": {"interval": "month", "aggregate_usage": "sum"}},
        "aggregate_usage",
    ),
    ("POST", "/v1/prices", {"product": "p", "unit_amount": 1}, "currency: required"),
    (
        "POST",
        "/v1/prices",
        {"product": "p", "currency": "usd", "recurring": {"interval": "monthly"}},
        "recurring[interval]",
    ),
    (
        "POST",
        "/v1/prices",
        {"product": "p", "currency": "usd", "tiers": [{"unit_amount": 1}]},
        "tiers[0][up_to]: required",
    ),
    (
        "POST",
        "/v1/checkout/sessions",
        {"mode": "subscription", "payment_method_types": ["card"]},
        "payment_method_types",
    ),
    ("POST", "/v1/checkout/sessions", {"mode": "subscription", "ui_mode": "hosted"}, "ui_mode"),
    ("POST", "/v1/checkout/sessions", {"mode": "subs"}, "mode"),
    ("POST", "/v1/checkout/sessions", {"line_items": {"price": "p"}}, "expected a list"),
    ("POST", "/v1/checkout/sessions", {"subscription_data": {"trial_days": 14}}, "trial_days"),
    (
        "POST",
        "/v1/billing_portal/sessions",
        {
            "customer": "c",
            "flow_data": {
                "type": "subscription_cancel",
                "subscription_cancel": {"retention": {"type": "coupon_offer", "coupon_offer": {"coupon": "c"}}},
            },
        },
        "subscription_cancel][subscription]: required",
    ),
    ("POST", "/v1/subscriptions", {"customer": "c", "items": [{"plan_id": "p"}]}, "items[0][plan_id]"),
    ("POST", "/v1/subscriptions", {"customer": "c", "items": [{"price": "p"}], "coupon": "x"}, "coupon"),
    ("POST", "/v1/subscriptions/sub_1", {"billing_cycle_anchor": "now"}, "billing_cycle_anchor"),
    ("POST", "/v1/subscriptions/sub_1", {"proration_behavior": "allways_invoice"}, "proration_behavior"),
    ("POST", "/v1/subscriptions/sub_1", {"cancel_at_period_end": "yes"}, "not a valid bool"),
    ("POST", "/v1/subscriptions/sub_1", {"cancel_at_period_end": ""}, "not a valid bool"),
    ("POST", "/v1/subscriptions/sub_1", {"items": [{"id": "si_1", "quantity": "many"}]}, "items[0][quantity]"),
    ("POST", "/v1/subscriptions/sub_1/resume", {"billing_cycle_anchor": "now"}, "billing_cycle_anchor"),
    ("POST", "/v1/subscriptions/sub_1/cancel", {}, "no such endpoint"),
    ("DELETE", "/v1/subscriptions/sub_1", {"at_period_end": True}, "at_period_end"),
    ("POST", "/v1/subscription_schedules", {"phases": [{"items": [{"price": "p"}], "iterations": 1}]}, "iterations"),
    ("POST", "/v1/subscription_schedules", {"phases": [{"trial_end": 1}]}, "phases[0][items]: required"),
    ("POST", "/v1/invoices/create_preview", {"subscription_items": [{"id": "x"}]}, "subscription_items"),
    ("GET", "/v1/invoices/upcoming", {"customer": "c"}, "create_preview"),
    ("POST", "/v1/invoiceitems", {"customer": "c", "price": "p"}, "price"),
    ("POST", "/v1/subscription_items/si_1/usage_records", {"quantity": 1}, "no such endpoint"),
    ("POST", "/v1/billing/meters", {"display_name": "x", "event_name": "y"}, "default_aggregation: required"),
    (
        "POST",
        "/v1/billing/meters",
        {"display_name": "x", "event_name": "y", "default_aggregation": {"formula": "max"}},
        "formula",
    ),
    ("POST", "/v1/billing/meter_events", {"event_name": "x", "payload": {"value": "1"}, "quantity": 1}, "quantity"),
    (
        "POST",
        "/v1/billing/credit_grants",
        {"customer": "c", "amount": {"type": "monetary"}},
        "applicability_config: required",
    ),
    ("POST", "/v1/entitlements/features", {"name": "x"}, "lookup_key: required"),
    ("POST", "/v1/payment_intents", {"amount": 1}, "currency: required"),
    (
        "POST",
        "/v1/payment_intents",
        {"amount": 1, "currency": "usd", "payment_method_types": ["card"]},
        "payment_method_types",
    ),
    ("POST", "/v1/promotion_codes", {"coupon": "c"}, "promotion: required"),
    ("POST", "/v1/coupons", {"percent_off": "ten"}, "percent_off"),
    ("POST", "/v1/tax_rates", {"display_name": "x", "percentage": 1}, "inclusive: required"),
    ("GET", "/v1/subscriptions", {"status": "live"}, "status"),
    ("GET", "/v1/prices", {"expand": "data.tiers"}, "expected a list"),
    ("POST", "/v1/webhook_endpoints", {"url": "https://x", "enabled_events": ["invoice.payed"]}, "enabled_events[0]"),
]


def _form(params: dict[str, Any]) -> str:
    encode: Any = _api_encode
    return urlencode(list(encode(params)))


def _check(method: str, path: str, params: dict[str, Any]) -> Report:
    in_query = method in ("GET", "DELETE")
    url = f"{path}?{_form(params)}" if params and in_query else path
    return _ORACLE.check_http(method, url, None if in_query else _form(params))


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("method", "path", "params"), GOOD, ids=_name)
def test_good_requests_pass(method: str, path: str, params: dict[str, Any]) -> None:
    """What the official package encodes for a valid call has nothing wrong with it."""
    report = _check(method, path, params)

    assert report.ok, report


@pytest.mark.parametrize(("method", "path", "params", "complaint"), BAD, ids=_name)
def test_bad_requests_are_named(method: str, path: str, params: dict[str, Any], complaint: str) -> None:
    """A misspelt, mistyped, removed or missing parameter is found, and the report says which."""
    report = _check(method, path, params)

    assert not report.ok
    assert complaint in str(report)


_KEY = {"Authorization": "Bearer sk_test_1"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("url", "body", "headers", "ok"),
    [
        ("/v1/customers", "email=a&email=b", None, False),
        ("/v1/customers", "expand[]=tax&expand[]=subscriptions", None, True),
        ("/v1/customers", "email=a", {**_KEY, "Content-Type": "application/json"}, False),
        ("/v1/customers", "email=a", {**_FORM}, False),
        ("/v1/customers", "email=a", {**_KEY, **_FORM, "Idempotency-Key": "k" * 256}, False),
        ("/v1/customers?x=1", "", None, False),
        ("/v2/billing/meter_event_stream", '{"events":[{"event_name":"x","payload":{"value":"1"}}]}', None, True),
        ("/v1/customers", b"email=\xff", None, False),
        ("/v1/customers", "a[b=1", None, False),
        ("/v1/customers", "metadata=x&metadata[a]=b", None, False),
    ],
)
def test_the_wire_is_judged(url: str, body: str | bytes, headers: dict[str, str] | None, ok: bool) -> None:
    """Repeated parameters, wrong content types, missing keys and stray queries are refused on the wire."""
    assert _ORACLE.check_http("POST", url, body, headers).ok is ok


def test_a_whole_request_has_no_warning() -> None:
    """Key, version and idempotency key together leave nothing to say."""
    headers = {**_KEY, **_FORM, "Idempotency-Key": "k", "Stripe-Version": _ORACLE.api_version}

    report = _ORACLE.check_http("POST", "/v1/customers", "email=a", headers)

    assert ([], []) == (report.errors, report.warnings)


def test_v2_bodies_are_json() -> None:
    """A v2 request is judged by the JSON types of its body."""
    body = (
        '{"name":"x","type":"webhook_endpoint","event_payload":"thin","enabled_events":["v1.invoice.paid"],'
        '"webhook_endpoint":{"url":"https://x"}}'
    )
    headers = {**_KEY, "Content-Type": "application/json", "Stripe-Version": _ORACLE.api_version}

    assert _ORACLE.check_http("POST", "/v2/core/event_destinations", body, headers).ok


def test_every_endpoint_of_the_package_is_known() -> None:
    """Reading the service modules finds the endpoints of the pinned package, all with types that resolve."""
    endpoints = _ORACLE.endpoints.all()

    assert 649 == len(endpoints)
    assert {"/v1/checkout/sessions", "/v1/subscriptions/{subscription_exposed_id}"} <= {e.template for e in endpoints}
