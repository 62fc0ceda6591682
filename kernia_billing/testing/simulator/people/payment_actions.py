"""What happens to payments after the page: bank debits settle, people authenticate, expired checkouts are recovered."""

from __future__ import annotations

from ..checkout import checkout
from ..payments import payments, settlements
from ..payments.cards import card
from ..state import State
from ..world.errors import Json, SimulatorError
from ..world.ownership import clock_of
from .actions import Script, after_action, catch_up, customer_of, session_of

_FAILING = card("pm_usBankAccount_insufficientFunds").decline


def settle(state: State, what: object, *, succeeds: bool | None) -> Script:
    """Let bank debits come to their end: those of a reference, of a checkout, or one payment intent.

    `succeeds` None leaves it to the account number how they end.
    """
    found = yield from _intents(state, what, "processing")
    world = state.world
    with world.lock:
        for intent in found:
            refusal = payments.outcome_of(world, intent) if succeeds is None else None if succeeds else _FAILING
            with world.on_clock(clock_of(world, intent)):
                settlements.settle_intent(world, intent, refusal)
    yield from after_action(state)


def authenticate(state: State, what: object, *, passes: bool) -> Script:
    """Answer the 3D Secure challenges that wait for a reference, a checkout, or one intent."""
    found = yield from _intents(state, what, "requires_action")
    world = state.world
    with world.lock:
        for intent in found:
            with world.on_clock(clock_of(world, intent)):
                settlements.authenticate(world, intent, passes=passes)
    yield from after_action(state)


def recover(state: State, opened: object) -> Script:
    """Follow the recovery link of an expired checkout; answers the id of the new one."""
    with state.world.lock:
        catch_up(state)
        session = session_of(state, opened)
        with state.world.on_clock(clock_of(state.world, session)):
            made = checkout.recover(state.world, session)
    yield from after_action(state)
    return made["id"]


def _intents(state: State, what: object, status: str) -> Script:
    """The intents that are meant and have that status.

    Raises:
        SimulatorError: there are none.
    """
    text = str(getattr(what, "session_id", None) or what)
    owner: str | None = None
    if "cs_test_" not in text and not text.startswith(("pi_", "seti_")):
        owner = yield from customer_of(state, text)
    with state.world.lock:
        catch_up(state)
        tables = [state.world.table(kind) for kind in ("payment_intent", "setup_intent")]
        if owner is not None:
            rows: list[Json] = [row for table in tables for row in table if row["customer"] == owner]
        else:
            id = session_of(state, what)["_attempted_intent"] if "cs_test_" in text else text
            rows = [table.rows[id] for table in tables if id in table.rows]
        found = [row for row in reversed(rows) if row["status"] == status]
    if not found:
        raise SimulatorError(f"no payment of {text} is {status.replace('_', ' ')}")
    return found
