"""What is left of credit grants: every grant has its transactions, and its balance is their sum.

A transaction counts from its `effective_at` on, so that a grant for later is on record and not yet there to be used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..world.errors import Json, invalid
from ..world.events import emit

if TYPE_CHECKING:
    from ..world.world import World

_PRICES = fields.list_of(fields.fields(required=("id",), id=fields.text), 20)
SCOPE = fields.fields(price_type=fields.one_of("metered"), prices=_PRICES)


def credit(world: World, grant: Json, amount: int, type: str, *, at: int | None = None, **why: Json) -> Json:
    """Add to a grant from `at`, or now, on; `why` is the detail that the type has."""
    details = {"credits_application_invoice_voided": None, **why, "type": type}
    return _write(world, grant, "credit", amount, details, at)


def debit(world: World, grant: Json, amount: int, type: str, **why: Json) -> Json:
    """Take from a grant now; `why` is the detail that the type has."""
    return _write(world, grant, "debit", amount, {"credits_applied": None, **why, "type": type}, None)


def left(world: World, grant: Json) -> int:
    """What a grant has left now, in minor units of its currency."""
    now = world.clock.seconds()
    rows = (row for row in world.table("billing.credit_balance_transaction") if row["credit_grant"] == grant["id"])
    return sum(_signed(row) for row in rows if row["effective_at"] <= now)


def was_applied(world: World, grant: Json) -> bool:
    """Whether anything of a grant was ever used on an invoice."""
    rows = (row for row in world.table("billing.credit_balance_transaction") if row["credit_grant"] == grant["id"])
    return any(row["debit"] and row["debit"]["type"] == "credits_applied" for row in rows)


def check_scope(world: World, scope: Json, at: str) -> None:
    """Refuse a scope that is not exactly one of `price_type` and `prices`, or names prices that are not metered.

    Raises:
        ApiError: it is none.
    """
    if ("price_type" in scope) == ("prices" in scope):
        raise invalid("You must specify exactly one of `price_type` and `prices`.", at, "parameters_exclusive")
    for index, named in enumerate(scope.get("prices", ())):
        where = f"{at}[prices][{index}][id]"
        price = world.table("price").get(named["id"], where)
        if price["type"] != "recurring" or price["recurring"]["meter"] is None:
            raise invalid(f"Credit grants only apply to metered prices; {named['id']} is none.", where)


def covers(grant: Json, prices: Iterable[str] | None) -> bool:
    """Whether a grant applies to all of these metered prices; None stands for every one that there is."""
    scope: Json = grant["applicability_config"]["scope"]
    if scope["price_type"] == "metered":
        return True
    named = {price["id"] for price in scope["prices"]}
    return prices is not None and named.issuperset(prices)


def _write(world: World, grant: Json, side: str, amount: int, details: Json, at: int | None) -> Json:
    now = world.clock.seconds()
    money = {"currency": grant["amount"]["monetary"]["currency"], "value": amount}
    row: Json = {
        "id": world.ids.new("cbtxn"),
        "object": "billing.credit_balance_transaction",
        "created": now,
        "credit": None,
        "credit_grant": grant["id"],
        "debit": None,
        "effective_at": now if at is None else at,
        "livemode": False,
        "test_clock": grant["test_clock"],
        "type": side,
        "_customer": grant["customer"],
    }
    row[side] = {"amount": {"monetary": money, "type": "monetary"}, **details}
    world.table("billing.credit_balance_transaction").add(row)
    emit(world, "billing.credit_balance_transaction.created", row)
    return row


def _signed(row: Json) -> int:
    amount: int = (row["credit"] or row["debit"])["amount"]["monetary"]["value"]
    return amount if row["type"] == "credit" else -amount


def _summary(world: World, call: Call) -> Json:
    customer = customers.live(world, call.params["customer"])
    balances: dict[str, int] = {}
    for grant in _filtered(world, customer["id"], call.params["filter"]):
        currency = grant["amount"]["monetary"]["currency"]
        balances[currency] = balances.get(currency, 0) + left(world, grant)
    return {
        "object": "billing.credit_balance_summary",
        "balances": [_balance(currency, amount) for currency, amount in balances.items()],
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
    }


def _filtered(world: World, customer: str, wanted: Json) -> list[Json]:
    kind: str = wanted["type"]
    if kind not in wanted:
        where = f"filter[{kind}]"
        raise invalid(f"Missing required param: {where}.", where, "parameter_missing")
    if kind == "credit_grant":
        grant = world.table("billing.credit_grant").get(wanted[kind], "filter[credit_grant]")
        if grant["customer"] != customer:
            raise invalid("The credit grant belongs to another customer.", "filter[credit_grant]")
        return [grant]
    check_scope(world, wanted[kind], "filter[applicability_scope]")
    prices = [price["id"] for price in wanted[kind]["prices"]] if "prices" in wanted[kind] else None
    own = lists.filtered(world.table("billing.credit_grant"), customer=customer)
    return [grant for grant in own if covers(grant, prices)]


def _balance(currency: str, amount: int) -> Json:
    money = {"monetary": {"currency": currency, "value": amount}, "type": "monetary"}
    return {"available_balance": money, "ledger_balance": money}


def _list(world: World, call: Call) -> Json:
    customer, grant = call.params.get("customer"), call.params.get("credit_grant")
    if customer is not None:
        customers.live(world, customer)
    if grant is not None:
        world.table("billing.credit_grant").get(grant, "credit_grant")
    found = lists.filtered(world.table("billing.credit_balance_transaction"), _customer=customer, credit_grant=grant)
    return lists.page(found, call, kind="credit balance transaction")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("billing.credit_balance_transaction").get(call.ids[0], in_path=True)


ROUTES = (
    Route(
        "GET",
        "/v1/billing/credit_balance_summary",
        _summary,
        {
            "customer": fields.text,
            "filter": fields.fields(
                required=("type",),
                applicability_scope=SCOPE,
                credit_grant=fields.text,
                type=fields.one_of("applicability_scope", "credit_grant"),
            ),
        },
        ("customer", "filter"),
    ),
    Route(
        "GET",
        "/v1/billing/credit_balance_transactions",
        _list,
        {"credit_grant": fields.text, "customer": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/billing/credit_balance_transactions/{id}", _retrieve),
)
