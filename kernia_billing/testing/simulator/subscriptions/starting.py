"""Making a subscription through the API, with its first invoice.

The first invoice is finalised within the request. A payment that fails leaves the subscription incomplete for 23 hours,
unless the request forbids that. Not modelled: backdating, `billing_cycle_anchor_config`, trials from the price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call
from ..catalog import prices, tax_rates
from ..customers import customers
from ..invoices import automatic_tax, collection, discounts, invoice_items, invoices, quotes
from ..payments import payment_methods, payments
from ..world.errors import Decline, Json, invalid
from ..world.events import emit, updating
from ..world.purchase_orders import BY_API
from ..world.rehearsal import rehearsal
from . import changes, cycle, ending, item_changes, pending_intervals, selling, subscriptions
from .selling import Sale
from .subscriptions import Terms

if TYPE_CHECKING:
    from ..world.world import World

BILLING_MODE = fields.fields(
    required=("type",),
    type=fields.one_of("classic", "flexible"),
    flexible=fields.fields(proration_discounts=fields.one_of("included", "itemized")),
)
FIELDS: dict[str, fields.Reader] = {
    "add_invoice_items": item_changes.EXTRAS,
    "automatic_tax": tax_rates.AUTOMATIC,
    "billing_cycle_anchor": fields.timestamp,
    "billing_mode": BILLING_MODE,
    "cancel_at": changes.CANCEL_AT,
    "cancel_at_period_end": fields.boolean,
    "collection_method": changes.METHOD,
    "customer": fields.text,
    "days_until_due": changes.DAYS,
    "default_payment_method": fields.text,
    "default_tax_rates": tax_rates.IDS,
    "description": fields.text_up_to(500),
    "discounts": discounts.PARAM,
    "items": fields.list_of(fields.fields(required=("price",), **item_changes.ITEM), 20),
    "metadata": fields.metadata,
    "off_session": fields.boolean,
    "payment_behavior": fields.one_of("allow_incomplete", "default_incomplete", "error_if_incomplete"),
    "payment_settings": changes.PAYMENT_SETTINGS,
    "pending_invoice_item_interval": fields.clearable(pending_intervals.PARAM),
    "proration_behavior": fields.one_of("create_prorations", "none"),
    "trial_end": changes.moment_or("now"),
    "trial_period_days": fields.integer(0, 730),
    "trial_settings": changes.TRIAL_SETTINGS,
}


def create(world: World, call: Call) -> Json:
    """Serve `POST /v1/subscriptions`."""
    params = call.params
    customer = customers.live(world, params["customer"])
    automatic_tax.check(customer, params)
    sales = read_sales(world, customer, params["items"])
    flexible = params.get("billing_mode", {}).get("type", "flexible") == "flexible"
    currency = selling.mixed_terms(sales, "items", flexible=flexible)
    customers.settle_currency(customer, currency, "items")
    terms = _terms(world, customer, sales, params)
    _check_end(world, params)
    extras = item_changes.extras(world, params.get("add_invoice_items", ()), currency)
    behavior = params.get("payment_behavior", "allow_incomplete")
    with rehearsal(world):
        due = _first_invoice(world, _built(world, customer, sales, terms, params), [*sales, *extras])["amount_due"]
    charged = bool(due) and terms.collection_method == "charge_automatically"
    method_id = terms.default_payment_method or customer["invoice_settings"]["default_payment_method"]
    refusal = _refusal(world, method_id) if charged and behavior != "default_incomplete" else None
    if refusal is collection.NO_METHOD:
        raise invalid(
            "This customer has no attached payment source or default payment method.", None, "resource_missing"
        )
    if refusal is not None and behavior == "error_if_incomplete":
        raise collection.card_error(refusal)
    with world.events.in_order(BY_API):
        subscription = _built(world, customer, sales, terms, params)
        invoice = _first_invoice(world, subscription, [*sales, *extras])
        invoices.finalize(world, invoice)
        if charged:
            subscription["status"] = "incomplete"
        if charged and behavior != "default_incomplete":
            _first_payment(world, subscription, invoice, method_id, refusal)
        elif invoice["status"] == "open" and not charged:
            collection.send(world, invoice)
        with updating(world, customer, "customer.updated"):
            customer["currency"] = subscription["currency"]
        emit(world, "customer.subscription.created", subscription)
        cycle.begin(world, subscription)
    return subscription


def start(world: World, customer: Json, sales: list[Sale], terms: Terms) -> Json:
    """Make a subscription that a schedule begins: its first invoice is a draft for an hour, as a renewal's."""
    subscription = subscriptions.build(world, customer, sales, terms)
    lines = cycle.first_lines(world, subscription, sales)
    now = world.clock.seconds()
    invoice = cycle.draft_for_later(world, subscription, lines, (now, now))
    invoice["billing_reason"] = "subscription_create"
    with updating(world, customer, "customer.updated"):
        customer["currency"] = subscription["currency"]
    return subscription


def read_sales(world: World, customer: Json, items: list[Json], param: str = "items") -> list[Sale]:
    """What a request wants to sell.

    Raises:
        ApiError: a price that may not be sold or does not recur, quantities, discounts or tax rates that cannot be.
    """
    sales: list[Sale] = []
    for index, item in enumerate(items):
        at = f"{param}[{index}]"
        price = world.table("price").get(item["price"], f"{at}[price]")
        quantity = item.get("quantity", None if prices.is_metered(price) else 1)
        sale = selling.checked_sale(world, item["price"], quantity, at)
        if price["type"] != "recurring":
            raise invalid(
                "The price specified is set to `type=one_time` but this field only accepts prices with "
                "`type=recurring`.",
                f"{at}[price]",
            )
        rates = tax_rates.named(world, item.get("tax_rates"), f"{at}[tax_rates]")
        wanted = discounts.read(
            world,
            item.get("discounts"),
            f"{at}[discounts]",
            customer=customer["id"],
            currency=price["currency"],
            amount=quotes.at_start(world, [sale])["subtotal"],
        )
        sales.append(Sale(sale.price, sale.quantity, fields.merge_metadata({}, item.get("metadata")), rates, wanted))
    if not sales:
        raise invalid(f"Missing required param: {param}.", param, "parameter_missing")
    return sales


def _built(world: World, customer: Json, sales: list[Sale], terms: Terms, params: Json) -> Json:
    subscription = subscriptions.build(world, customer, sales, terms)
    subscription["_first_period_free"] = params.get("proration_behavior") == "none"
    ending.set_end(world, subscription, params)
    return subscription


def _first_invoice(world: World, subscription: Json, sales: list[Sale]) -> Json:
    lines = cycle.first_lines(world, subscription, sales)
    waiting = invoice_items.pending(world, subscription)
    invoice = invoices.draft(world, subscription, "subscription_create", lines, pending=waiting)
    invoice_items.keep_sold(world, subscription, invoice)
    return invoice


def _check_end(world: World, params: Json) -> None:
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid("`cancel_at` and `cancel_at_period_end` are exclusive.", "cancel_at", "parameters_exclusive")
    if isinstance(params.get("cancel_at"), int) and params["cancel_at"] <= world.clock.seconds():
        raise invalid("`cancel_at` must be in the future.", "cancel_at")


def _terms(world: World, customer: Json, sales: list[Sale], params: Json) -> Terms:
    if "default_payment_method" in params:
        id = params["default_payment_method"]
        payment_methods.of_customer(world, id, customer["id"], "default_payment_method")
    method, days = params.get("collection_method", "charge_automatically"), params.get("days_until_due")
    changes.check_collection(params, method, days)
    ending: Json = params.get("trial_settings", {}).get("end_behavior", {})
    mode: Json = params.get("billing_mode", {})
    if mode.get("type") == "classic" and "flexible" in mode:
        raise invalid("`flexible` can only be set when `type` is `flexible`.", "billing_mode[flexible]")
    trial_end = _trial_end(world, params)
    apart: Json | None = params.get("pending_invoice_item_interval") or None
    pending_intervals.check(apart, [sale.price for sale in sales], world.clock.seconds())
    return Terms(
        metadata=fields.merge_metadata({}, params.get("metadata")),
        description=params.get("description"),
        trial_end=trial_end,
        missing_payment_method=ending.get("missing_payment_method", "create_invoice"),
        default_payment_method=params.get("default_payment_method"),
        billing_mode=mode.get("type", "flexible"),
        proration_discounts=mode.get("flexible", {}).get("proration_discounts", "included"),
        anchor=_anchor(world, sales, params, trial_end),
        collection_method=method,
        days_until_due=days,
        save_default_payment_method=params.get("payment_settings", {}).get("save_default_payment_method", "off"),
        default_tax_rates=tax_rates.named(world, params.get("default_tax_rates"), "default_tax_rates"),
        discounts=discounts.read(
            world,
            params.get("discounts"),
            customer=customer["id"],
            currency=sales[0].price["currency"],
            amount=quotes.at_start(world, sales)["subtotal"],
        ),
        automatic_tax=params.get("automatic_tax", {}).get("enabled", False),
        pending_interval=apart,
    )


def _trial_end(world: World, params: Json) -> int | None:
    if "trial_end" in params and "trial_period_days" in params:
        raise invalid("`trial_end` and `trial_period_days` are exclusive.", "trial_end", "parameters_exclusive")
    now, end = world.clock.seconds(), params.get("trial_end")
    if params.get("trial_period_days"):
        end = now + params["trial_period_days"] * 86_400
    if end is None or end == "now":
        return None
    if end <= now:
        raise invalid("The `trial_end` must be in the future.", "trial_end")
    if end > now + 730 * 86_400:
        raise invalid("Trials can last two years at most.", "trial_end")
    return int(end)


def _anchor(world: World, sales: list[Sale], params: Json, trial_end: int | None) -> int | None:
    anchor: int | None = params.get("billing_cycle_anchor")
    if anchor is None:
        return None
    now = world.clock.seconds()
    if trial_end is not None:
        raise invalid("`billing_cycle_anchor` cannot be set with a trial.", "billing_cycle_anchor")
    if anchor <= now:
        raise invalid("The `billing_cycle_anchor` must be in the future.", "billing_cycle_anchor")
    if any(selling.period_from(sale.price, now) < anchor for sale in sales):
        message = "`billing_cycle_anchor` cannot be later than next natural billing date for plan."
        raise invalid(message, "billing_cycle_anchor")
    return anchor


def _refusal(world: World, method_id: str | None) -> Decline | None:
    if method_id is None:
        return collection.NO_METHOD
    return collection.refusal_of(world, world.table("payment_method").get(method_id))


def _first_payment(
    world: World, subscription: Json, invoice: Json, method_id: str | None, refusal: Decline | None
) -> None:
    method = world.table("payment_method").get(method_id or "")
    intent = invoices.intent_of(world, invoice)
    payments.charge(world, intent, method, refusal)
    if refusal is not None:
        action = collection.needs_action(world, invoice, refusal)
        invoices.mark_failed(world, invoice, None, needs_action=action)
        return
    subscription["status"] = "active"
    if intent["status"] == "succeeded":
        collection.save_method(world, subscription, invoice)
        invoices.mark_paid(world, invoice)
