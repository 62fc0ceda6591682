"""Where stories are told: an application's database, and a Stripe of which every death gets a copy."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from sqlalchemy import Engine

from kernia_billing import Billing
from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.world.tables import Ids
from tests.harness.house import open_billing
from tests.simulator.shop import Shop as Account


class NumberedIds(Ids):
    """Ids that depend on nothing but how many of their kind there were before."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()
        self._random = random.Random(0)

    def new(self, prefix: str, length: int = 24) -> str:
        """`<prefix>_` and a number."""
        self._made[prefix] += 1
        return f"{prefix}_{self._made[prefix]:0{length}}"


@define(eq=False)
class Stage:
    """A database, and the account that it is in step with. Nothing is delivered by itself."""

    engine: Engine
    url: str
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    """How the application is configured, where it is not as usual."""
    stripe: StripeSimulator = field(init=False)
    account: Account = field(init=False)
    _heard: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.stripe = StripeSimulator(deliver="manual")
        self.stripe.state.world.ids = NumberedIds()
        self.account = Account(self.stripe)

    def close(self) -> None:
        """Close the client of the account."""
        self.account.http.close()

    def open(self) -> None:
        """Let the application have a customer already, so that a story tells of nothing that happens only once."""
        with open_billing(self.url, self.stripe, **self.options) as billing:
            billing.catalog.sync()
            self.sell(billing, "zoe", told=True)
            billing.jobs.run()

    def sell(self, billing: Billing, reference: str, *, told: bool) -> None:
        """Sell "pro" to a reference, and let the news of it arrive or be lost."""
        self.stripe.pay(billing.subscriptions.upgrade(reference, "pro", success_url="/", cancel_url="/"))
        self.hear(told=told)

    def hear(self, *, told: bool) -> None:
        """Deliver what happened since the last time, in order, or lose it."""
        news = [str(event["id"]) for event in self.stripe.events[self._heard :]]
        self._heard += len(news)
        if told and news:
            self.stripe.deliver(*news)

    def newest(self, kind: str) -> Mapping[str, Any]:
        """The newest object of a kind at Stripe."""
        return next(iter(self.stripe.state.world.table(kind)))

    def event(self, kind: str) -> Mapping[str, Any]:
        """The newest event of a type."""
        return next(event for event in reversed(self.stripe.events) if event["type"] == kind)

    def webhook(self, kind: str) -> tuple[bytes, str]:
        """Body and signature of the newest event of a type, signed now."""
        body = json.dumps(self.event(kind)).encode()
        return body, self.stripe.sign(body)
