"""Using up credit grants: as an invoice is finalised, they pay for its metered lines before tax.

The priority decides what goes first, as the package's documentation of grants says. Of equal ones it says nothing:
here what expires first goes first, then promotional credits, then what has been effective, and there, the longest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..invoices import totals
from ..world.errors import Json
from . import credit_ledger, usage

if TYPE_CHECKING:
    from ..world.world import World

_NEVER = 1 << 40


def apply(world: World, invoice: Json) -> None:
    """Take from the customer's grants what the metered lines of an invoice still cost, and settle its sums again."""
    metered = [(line, price) for line in invoice["lines"]["data"] if (price := _metered(world, line)) is not None]
    if not metered:
        return
    credits: dict[str, list[Json]] = {}
    for grant in _usable(world, invoice):
        rest = credit_ledger.left(world, grant)
        for line, price in metered:
            applied = sum(row["amount"] for row in credits.get(line["id"], ()))
            amount = min(rest, line["amount"] - sum(row["amount"] for row in line["discount_amounts"]) - applied)
            if amount > 0 and credit_ledger.covers(grant, [price]):
                rest -= amount
                where = {"invoice": invoice["id"], "invoice_line_item": line["id"]}
                taken = credit_ledger.debit(world, grant, amount, "credits_applied", credits_applied=where)
                credits.setdefault(line["id"], []).append(_as_credit(taken, amount))
    if credits:
        invoice["_credits"] = credits
        totals.settle(world, invoice)


def show(world: World, invoice: Json) -> None:
    """Put the credits that an invoice used on its lines."""
    credits: dict[str, list[Json]] = invoice.get("_credits", {})
    for line in invoice["lines"]["data"]:
        line["pretax_credit_amounts"] = [*line["pretax_credit_amounts"], *credits.get(line.get("id", ""), ())]


def reinstate(world: World, invoice: Json) -> None:
    """Give back what an invoice that is voided used; to a grant that has expired since, it comes and goes."""
    now = world.clock.seconds()
    for row in list(world.table("billing.credit_balance_transaction").rows.values()):
        debit: Json = row["debit"] or {}
        applied: Json = debit.get("credits_applied") or {}
        if applied.get("invoice") == invoice["id"]:
            grant = world.table("billing.credit_grant").get(row["credit_grant"])
            amount: int = row["debit"]["amount"]["monetary"]["value"]
            kind = "credits_application_invoice_voided"
            credit_ledger.credit(world, grant, amount, kind, credits_application_invoice_voided=dict(applied))
            if grant["expires_at"] is not None and grant["expires_at"] <= now:
                credit_ledger.debit(world, grant, amount, "credits_expired")


def _metered(world: World, line: Json) -> str | None:
    """The id of the price of a line that credits apply to."""
    price = usage.price_of(world, line)
    metered = price is not None and price["type"] == "recurring" and price["recurring"]["meter"] is not None
    return str(price["id"]) if price is not None and metered else None


def _usable(world: World, invoice: Json) -> list[Json]:
    now = world.clock.seconds()
    grants = [
        grant
        for grant in world.table("billing.credit_grant").rows.values()
        if grant["customer"] == invoice["customer"]
        and grant["amount"]["monetary"]["currency"] == invoice["currency"]
        and grant["voided_at"] is None
        and grant["effective_at"] <= now
        and (grant["expires_at"] is None or grant["expires_at"] > now)
    ]
    return sorted(grants, key=_rank)


def _rank(grant: Json) -> tuple[int, int, bool, int, int]:
    expires: int = _NEVER if grant["expires_at"] is None else grant["expires_at"]
    return grant["priority"], expires, grant["category"] == "paid", grant["effective_at"], grant["created"]


def _as_credit(taken: Json, amount: int) -> Json:
    return {
        "amount": amount,
        "credit_balance_transaction": taken["id"],
        "discount": None,
        "type": "credit_balance_transaction",
    }
