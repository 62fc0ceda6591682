"""What a customer owes or is owed outside of any invoice: its balance and the entries that move it.

A negative balance is credit, a positive one is owed; both are settled when the next invoice is finalised
(https://docs.stripe.com/billing/customer/balance).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..world.errors import Json
from ..world.events import updating

if TYPE_CHECKING:
    from ..world.world import World


def of(world: World, customer: str) -> int:
    """The balance in minor units; a deleted customer has none."""
    return int(world.table("customer").get(customer).get("balance", 0))


def move(world: World, customer: str, amount: int, type: str, currency: str, **more: object) -> Json:
    """Add `amount` to a balance and keep an entry with `more` of its fields; emits `customer.updated`."""
    owner = world.table("customer").get(customer)
    with updating(world, owner, "customer.updated"):
        return enter(world, owner, amount, type, currency, **more)


def enter(world: World, customer: Json, amount: int, type: str, currency: str, **more: object) -> Json:
    """As `move`, without telling of it."""
    entry: Json = {
        "id": world.ids.new("cbtxn"),
        "object": "customer_balance_transaction",
        "amount": amount,
        "checkout_session": None,
        "created": world.clock.seconds(),
        "credit_note": None,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "description": None,
        "ending_balance": customer["balance"] + amount,
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "type": type,
        **more,
    }
    world.table("customer_balance_transaction").add(entry)
    customer |= {"balance": entry["ending_balance"], "currency": customer["currency"] or currency}
    return entry
