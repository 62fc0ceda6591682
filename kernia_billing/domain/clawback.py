"""Clawback: what happens to credits whose payment came back, by a refund or a dispute.

What is taken depends on how much of the payment is gone now, never on what was told of it in which order: the same
state of the payment always leads to the same grant.
"""

from __future__ import annotations

from typing import Literal

from attrs import evolve

from .grants import Grant

Clawback = Literal["unused", "all", "none"]
"""`unused`: what is not used of it yet. `all`: also what is used, which becomes debt. `none`: nothing."""


def taken(given: int, paid: int, returned: int) -> int:
    """How many of the units given for a payment go with what came back of it, both in minor units.

    In proportion, rounded down; all of them with the whole payment, never more, and none where nothing was paid.
    """
    if paid <= 0:
        return 0
    return given * min(max(returned, 0), paid) // paid


def given_for(grant: Grant) -> int | None:
    """How many units a payment gave, whatever was taken of them since; None without limit."""
    return grant.amount if grant.rules.given is None else grant.rules.given


def with_taken(grant: Grant, units: int) -> Grant:
    """The grant when so many of the units that were given are taken back."""
    given = given_for(grant)
    if given is None:
        return grant
    return evolve(grant, amount=given - units, terms=evolve(grant.rules, given=given if units else None).text())
