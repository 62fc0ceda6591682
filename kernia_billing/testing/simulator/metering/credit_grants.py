"""Credit grants: money granted to a customer, to be used up by metered prices before tax.

Source: Stripe, "Billing credits". That only an unused grant can be voided is this simulator's caution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..invoices import totals
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from . import credit_application, credit_ledger

if TYPE_CHECKING:
    from ..world.world import World


def _create(world: World, call: Call) -> Json:
    params, now = call.params, world.clock.seconds()
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    customer = customers.live(world, params["customer"])
    if "monetary" not in params["amount"]:
        raise invalid("Missing required param: amount[monetary].", "amount[monetary]", "parameter_missing")
    scope = params["applicability_config"]["scope"]
    credit_ledger.check_scope(world, scope, "applicability_config[scope]")
    effective = params.get("effective_at", now)
    _check_expiry(world, params.get("expires_at"), effective)
    grant: Json = {
        "id": world.ids.new("credgr"),
        "object": "billing.credit_grant",
        "amount": {"monetary": params["amount"]["monetary"], "type": "monetary"},
        "applicability_config": {
            "scope": {"price_type": scope.get("price_type"), "prices": scope.get("prices")},
        },
        "category": params.get("category", "paid"),
        "created": now,
        "customer": customer["id"],
        "customer_account": None,
        "effective_at": effective,
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "name": params.get("name"),
        "priority": params.get("priority", 50),
        "test_clock": customer["test_clock"],
        "updated": now,
        "voided_at": None,
    }
    world.table("billing.credit_grant").add(grant)
    emit(world, "billing.credit_grant.created", grant)
    amount: int = params["amount"]["monetary"]["value"]
    credit_ledger.credit(world, grant, amount, "credits_granted", at=effective)
    if grant["expires_at"] is not None:
        world.agenda.add(grant["expires_at"], _expire_when_due, grant["id"])
    return grant


def _check_expiry(world: World, expires_at: int | None, effective_at: int) -> None:
    if expires_at is not None and expires_at <= max(effective_at, world.clock.seconds()):
        raise invalid("`expires_at` must be in the future and after `effective_at`.", "expires_at")


def _expire_when_due(world: World, id: str) -> None:
    grant = world.table("billing.credit_grant").get(id)
    due = grant["expires_at"]
    if grant["voided_at"] is None and due is not None and due <= world.clock.seconds():
        _take_rest(world, grant, "credits_expired")


def _take_rest(world: World, grant: Json, type: str) -> None:
    rest = credit_ledger.left(world, grant)
    if rest > 0:
        credit_ledger.debit(world, grant, rest, type)


def _update(world: World, call: Call) -> Json:
    grant = world.table("billing.credit_grant").get(call.ids[0], in_path=True)
    params = call.params
    _check_live(world, grant)
    expires_at = (params["expires_at"] or None) if "expires_at" in params else grant["expires_at"]
    if "expires_at" in params:
        _check_expiry(world, expires_at, grant["effective_at"])
    metadata = fields.merge_metadata(grant["metadata"], params.get("metadata"))
    with updating(world, grant, "billing.credit_grant.updated"):
        grant |= {"expires_at": expires_at, "metadata": metadata, "updated": world.clock.seconds()}
    if expires_at is not None:
        world.agenda.add(expires_at, _expire_when_due, grant["id"])
    return grant


def _expire(world: World, call: Call) -> Json:
    grant = world.table("billing.credit_grant").get(call.ids[0], in_path=True)
    _check_live(world, grant)
    now = world.clock.seconds()
    with updating(world, grant, "billing.credit_grant.updated"):
        grant |= {"expires_at": now, "updated": now}
    _take_rest(world, grant, "credits_expired")
    return grant


def _void(world: World, call: Call) -> Json:
    grant = world.table("billing.credit_grant").get(call.ids[0], in_path=True)
    _check_live(world, grant)
    if credit_ledger.was_applied(world, grant):
        raise invalid("You cannot void a credit grant that was applied to an invoice; expire it instead.")
    now = world.clock.seconds()
    with updating(world, grant, "billing.credit_grant.updated"):
        grant |= {"voided_at": now, "updated": now}
    _take_rest(world, grant, "credits_voided")
    return grant


def _check_live(world: World, grant: Json) -> None:
    if grant["voided_at"] is not None:
        raise invalid("This credit grant was voided.")
    if grant["expires_at"] is not None and grant["expires_at"] <= world.clock.seconds():
        raise invalid("This credit grant has expired.")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("billing.credit_grant").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    customer = call.params.get("customer")
    if customer is not None:
        customers.live(world, customer)
    found = lists.filtered(world.table("billing.credit_grant"), customer=customer)
    return lists.page(found, call, kind="credit grant")


ROUTES = (
    Route(
        "POST",
        "/v1/billing/credit_grants",
        _create,
        {
            "amount": fields.fields(
                required=("type",),
                monetary=fields.fields(
                    required=("currency", "value"), currency=fields.currency, value=fields.integer(1, 99_999_999)
                ),
                type=fields.one_of("monetary"),
            ),
            "applicability_config": fields.fields(required=("scope",), scope=credit_ledger.SCOPE),
            "category": fields.one_of("paid", "promotional"),
            "customer": fields.text,
            "effective_at": fields.timestamp,
            "expires_at": fields.timestamp,
            "metadata": fields.metadata,
            "name": fields.text_up_to(100),
            "priority": fields.integer(0, 100),
        },
        ("amount", "applicability_config"),
    ),
    Route("GET", "/v1/billing/credit_grants", _list, {"customer": fields.text}, lists=True),
    Route("GET", "/v1/billing/credit_grants/{id}", _retrieve),
    Route(
        "POST",
        "/v1/billing/credit_grants/{id}",
        _update,
        {"expires_at": fields.clearable(fields.timestamp), "metadata": fields.metadata},
    ),
    Route("POST", "/v1/billing/credit_grants/{id}/expire", _expire),
    Route("POST", "/v1/billing/credit_grants/{id}/void", _void),
)

totals.PRETAX_CREDITS.append(credit_application.show)
totals.AT_FINALIZE.append(credit_application.apply)
totals.AT_RELEASE.append(credit_application.reinstate)
