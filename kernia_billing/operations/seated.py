"""Who pays for members: the live subscriptions of an organization whose plans have seats."""

from __future__ import annotations

from attrs import frozen

from ..domain.customers import CustomerRow
from ..domain.plans import Plan
from ..domain.references import Reference
from ..domain.seats import follows_members, wanted_seats
from ..domain.subscriptions import SubscriptionRow
from ..errors import GuardError, InvalidInput
from ..ports.store import Transaction
from .core import Core
from .host import ask

CHANGEABLE = frozenset({"active", "trialing", "past_due"})
"""Statuses of subscriptions whose seats may be changed."""


@frozen
class Seated:
    """A live subscription to a plan with seats."""

    row: SubscriptionRow
    plan: Plan

    def wanted(self, core: Core, members: int) -> int:
        """How many seats so many members need."""
        return wanted_seats(self.plan, members, self.row.seats or 0, core.seat_change_behavior)


@frozen
class Standing:
    """A customer with its live subscriptions to plans whose seats follow its members, and those with bought seats."""

    customer: CustomerRow
    subscriptions: tuple[Seated, ...]
    bought: tuple[Seated, ...]


def standing(core: Core, tx: Transaction, who: Reference) -> Standing | None:
    """The live subscriptions of a reference to plans with seats; None where it has none."""
    has_seats = any(plan.seats for plan in core.offer.plans.values())
    customer = tx.customers.get(who) if has_seats else None
    if customer is None:
        return None
    # Not the customer's plan is asked: a pause or a failed payment takes that away, and Stripe charges on.
    found = [
        Seated(row, plan)
        for row in tx.subscriptions.of_customer(customer.id)
        if row.status in CHANGEABLE and not row.duplicate and row.plan is not None
        if (plan := core.offer.plans.get(row.plan)) is not None and plan.seats
    ]
    if not found:
        return None
    following = tuple(each for each in found if follows_members(each.plan, who))
    return Standing(customer, following, tuple(each for each in found if each not in following))


async def count_members(core: Core, who: Reference) -> int:
    """What the host's `member_count` says.

    Raises:
        InvalidInput: there is none.
        GuardError: it gives no count.
    """
    function = core.host.member_count
    if function is None:
        raise InvalidInput("is needed: no member_count is configured", field="members")
    counted = await ask(function, who.id)
    if type(counted) is not int or not 0 <= counted <= 1_000_000_000:
        raise GuardError(f"member_count gave {counted!r}; it must give an integer of 0 to 10^9")
    return counted
