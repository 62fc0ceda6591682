"""Somebody waits for the answer to a webhook: after eight seconds the rest is left to the jobs."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.domain.answers import Event
from tests.webhooks.shop import Shop


def _slow(shop: Shop, seconds: int) -> list[str]:
    """Let every call to Stripe take so long; gives the paths that are asked for."""
    stripe: Any = shop.billing._wiring.core.stripe
    real, asked = stripe.request, list[str]()

    async def request(method: str, path: str, *rest: Any, **options: Any) -> Any:
        asked.append(path)
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + seconds)
        return await real(method, path, *rest, **options)

    stripe.request = request
    return asked


@pytest.mark.parametrize(("seconds", "status"), [(1, "applied"), (8, "queued")])
def test_an_event_that_takes_too_long_is_left_to_the_jobs(each_shop: Shop, seconds: int, status: str) -> None:
    """After a slow first object the second is not asked for; the jobs begin anew, and all is there."""
    shop = each_shop
    shop.stripe.state.delivers = False
    shop.stripe.pay(shop.upgrade())
    told = shop.event("checkout.session.completed")
    asked = _slow(shop, seconds)
    assert shop.post(told).status == status
    row = shop.inbox()[told["id"]]
    if status == "queued":
        assert (row["status"], row["attempts"], len(asked)) == ("received", 1, 1)
        assert shop.billing.jobs.run()["webhooks"] == 1
        row = shop.inbox()[told["id"]]
    assert row["status"] == "processed"
    assert shop.subscription().plan == "pro"


def test_hooks_that_take_too_long_are_left_to_the_jobs(each_shop: Shop) -> None:
    """The event itself is done with; the hook that is under way ends, the next one is called by the jobs, in order."""
    shop = each_shop
    heard: list[str] = []

    @shop.billing.on("subscription.created", "subscription.activated", "subscription.completed")
    def slow(event: Event) -> None:
        heard.append(event.type)
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 9)

    shop.stripe.state.delivers = False
    shop.stripe.pay(shop.upgrade())
    told = shop.event("customer.subscription.created")
    assert shop.post(told).status == "applied"
    assert heard == ["subscription.created"]
    shop.billing.jobs.run()
    assert heard == ["subscription.created", "subscription.activated"]
    assert shop.billing.webhooks.health().hooks_waiting == 0
