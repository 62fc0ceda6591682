"""What two runs of one story must agree on: every row here and every object at Stripe, but for what is chance.

Chance are the ids that we draw, and how often something was tried. Everything else must be equal to the letter.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from kernia_billing.testing import StripeSimulator
from tests.crashes.copies import Copy
from tests.harness.coherent import FOREVER

Books = dict[str, list[str]]
"""By the name of a table, or of a kind of Stripe's objects: its rows as text, sorted."""

_STRIPES = ("billing_product", "billing_price", "billing_invoice", "billing_stripe_customer", "billing_payment_method")
"""Tables whose ids are Stripe's."""
_KEYS: Mapping[str, tuple[str, ...]] = {
    "billing_intent": ("idempotency_key",),
    "billing_checkout_session": ("id", "subscription_id"),
    "billing_subscription_schedule": (),
    "billing_meter_event": (),
    **dict.fromkeys(_STRIPES, ()),
}
"""The columns that hold ids of ours, where it is not `id` alone."""
_CHANCE = {
    *("attempts", "next_ticket", "applied_ticket", "ledger_seq", "created_seq", "position"),
    *("token", "holder", "held_until", "counts"),
}
_HISTORIES = ("billing_customer_change", "billing_entitlement_change", "billing_bucket_change")
"""Tables whose `seq` is the customer's ledger_seq, which rises with every try."""
_OURS = re.compile(r"\b(?:kernia-[0-9a-f]{48}|[a-z]+_[0-9A-Za-z]{12,})\b")


def books(engine: Engine, stripe: StripeSimulator, *, begin: int, pause: int) -> Books:
    """Both sides. What was written after the `pause` counts as written before it; both are microseconds."""
    rows = Copy(engine).rows
    chance = _Chance(rows, begin, pause)
    here = {name: [chance.row(name, each) for each in found] for name, found in rows.items()}
    world = stripe.state.world
    there = {f"Stripe's {name}": [chance.text(each) for each in table] for name, table in world.tables.items()}
    there["Stripe's events"] = [f"{each['type']} {each['data']['object'].get('id')}" for each in world.events.log]
    told = world.usage._events.values()
    there["Stripe's usage"] = [chance.text([each.event_name, each.payload, each.identifier]) for each in told]
    return {name: sorted(each) for name, each in {**here, **there}.items()}


def differences(expected: Books, found: Books) -> list[str]:
    """What one has and the other lacks."""
    told: list[str] = []
    for name in sorted({*expected, *found}):
        ours, theirs = Counter(expected.get(name, ())), Counter(found.get(name, ()))
        told += [f"{name} lacks {each}" for each in (ours - theirs).elements()]
        told += [f"{name} has {each}" for each in (theirs - ours).elements()]
    return told


class _Chance:
    """Takes out of rows what differs between any two runs."""

    def __init__(self, rows: Mapping[str, Iterable[Mapping[str, Any]]], begin: int, pause: int) -> None:
        self._names = {
            str(row[column]): f"<{name}>"
            for name, found in rows.items()
            for row in found
            for column in _KEYS.get(name, ("id",))
            if column in row
        }
        self._begin = begin
        self._pause = pause

    def row(self, table: str, row: Mapping[str, Any]) -> str:
        """A row of a table as text."""
        chance = {*_CHANCE, "seq"} if table in _HISTORIES else _CHANCE
        if row.get("refund_of"):
            # It tells of the id of the use.
            chance = {*chance, "fingerprint"}
        return self.text({key: self._when(value) for key, value in row.items() if key not in chance})

    def text(self, value: object) -> str:
        """JSON without our ids."""
        plain = json.dumps(value, sort_keys=True, default=repr)
        return _OURS.sub(lambda found: self._names.get(found[0], found[0]), plain)

    def _when(self, value: object) -> object:
        if type(value) is not int or not self._begin <= value < FOREVER:
            return value
        since = value - self._begin
        since -= self._pause if since >= self._pause else 0
        # What must be later than something else is so by a microsecond where no time passes.
        return self._begin + since - since % 1_000
