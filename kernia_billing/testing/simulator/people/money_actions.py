"""What happens to money after it was paid, as scripts: refunds, disputes and their ends; and coupons of customers."""

from __future__ import annotations

from ..api import lists
from ..customers import customers
from ..invoices import discounts
from ..payments import charges, disputes, refunds
from ..state import State
from ..world.errors import ApiError, Json, SimulatorError
from ..world.ownership import clock_of
from .actions import Script, after_action, catch_up, customer_of


def refund(state: State, reference: str, amount: int | None) -> Script:
    """Give a payment back, in part if an amount is given."""
    charge = yield from _charge_of(state, reference)
    world = state.world
    with world.lock, world.on_clock(_clock(state, charge)):
        try:
            left = refunds.check(charge, amount)
        except ApiError as refusal:
            raise SimulatorError(f"payment {charge['id']} cannot be refunded: {refusal}") from refusal
        made = refunds.refund(world, charge, left, reason="requested_by_customer")
    yield from after_action(state)
    return str(made["id"])


def dispute(state: State, reference: str, reason: str) -> Script:
    """Let the owner of the card dispute a payment."""
    charge = yield from _charge_of(state, reference)
    world = state.world
    with world.lock, world.on_clock(_clock(state, charge)):
        if charge["disputed"] or charge["refunded"] or charge["status"] != "succeeded":
            raise SimulatorError(f"payment {charge['id']} cannot be disputed: it failed, was refunded or disputed")
        made = disputes.open_dispute(world, charge, reason)
    yield from after_action(state)
    return str(made["id"])


def close_dispute(state: State, id: str, *, won: bool) -> Script:
    """Let the bank decide an open dispute."""
    world = state.world
    with world.lock:
        catch_up(state)
        found = world.table("dispute").rows.get(id)
        if found is None or found["status"] not in disputes.OPEN:
            raise SimulatorError(f"{id} is no open dispute")
        with world.on_clock(_clock(state, world.table("charge").get(found["charge"]))):
            disputes.close(world, found, won=won)
    yield from after_action(state)


def give_coupon(state: State, reference: str, coupon: str) -> Script:
    """Give a customer a coupon, as somebody does in the Dashboard."""
    customer_id = yield from customer_of(state, reference)
    world = state.world
    with world.lock:
        catch_up(state)
        customer = customers.live(world, customer_id)
        with world.on_clock(clock_of(world, customer)):
            try:
                wanted = discounts.read(
                    world, [{"coupon": coupon}], customer=customer_id, currency=customer["currency"]
                )
            except ApiError as refusal:
                raise SimulatorError(f"coupon {coupon} cannot be given: {refusal}") from refusal
            discounts.give_customer(world, customer, wanted[0])
    yield from after_action(state)


def _charge_of(state: State, reference: str) -> Script:
    """The charge of that id, of a payment intent, or the newest good one of whom a reference means."""
    world = state.world
    with world.lock:
        catch_up(state)
        found = world.table("charge").rows.get(reference) or _of_intent(state, reference)
    if found is not None:
        return found
    customer_id = yield from customer_of(state, reference)
    with world.lock:
        return charges.newest_of_customer(world, customer_id)


def _of_intent(state: State, reference: str) -> Json | None:
    rows = lists.filtered(state.world.table("charge"), payment_intent=reference)
    return rows[0] if rows else None


def _clock(state: State, charge: Json) -> str:
    return clock_of(state.world, charge)
