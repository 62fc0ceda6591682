"""Mishaps of webhooks: rules that say which event is lost, repeated, late or wrong on its way.

    simulator.delivery.mishaps.append(Mishap("drop", "invoice.*", times=2))

A rule strikes an event once, when it is emitted, for each endpoint that it goes to. It is used up after `times` events
(None: never); `skip` lets that many pass first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import define, field

from ..world.rules import strikes

Kind = Literal["drop", "repeat", "delay", "late", "wrong_livemode", "foreign_account", "stale_version"]


@define
class Mishap:
    """One rule.

    `drop`: the event is never sent; it stays in the list of events. `repeat`: it is sent `copies` more times at once,
    each signed for itself. `delay`: it is first sent `seconds` later. `late`: it is sent at once, and the network holds
    it for `seconds`; meanwhile Stripe sends it again, as it does where nobody answers, so that the first, with its old
    signature, comes after its successor. `wrong_livemode`: it says that it is of live mode. `foreign_account`: it says
    that it is of the connected account `account`. `stale_version`: it comes in the shape of API version `version`.
    """

    kind: Kind
    type: str = "*"
    """An event type, where `*` stands for anything."""
    where: Callable[[Mapping[str, Any]], bool] | None = None
    """Given the event; strikes only where it is true."""
    skip: int = field(default=0, kw_only=True)
    times: int | None = field(default=None, kw_only=True)
    copies: int = field(default=1, kw_only=True)
    seconds: int = field(default=3_600, kw_only=True)
    account: str = field(default="acct_1ForeignAccount", kw_only=True)
    version: str = field(default="2024-04-10", kw_only=True)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether this rule strikes the event; counts it."""
        fits = re.fullmatch(re.escape(self.type).replace(r"\*", ".*"), str(event["type"])) is not None
        return fits and (self.where is None or self.where(event)) and strikes(self)
