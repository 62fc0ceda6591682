"""What becomes of webhooks on their way: retries, other orders, repeats, losses, secrets, versions, endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import stripe
from attrs import define, field

from kernia_billing.testing import Mishap, SimulatorError, StripeSimulator
from kernia_billing.testing.simulator.versions import CURRENT_VERSION
from kernia_billing.testing.simulator.webhooks.delivery import PLANS, Order
from tests.simulator.library import Library
from tests.simulator.shop import DAY, Shop
from tests.simulator.story import DESTINATION

OLDEST = "2024-04-10"
HOUR = 3_600


@define
class Inbox:
    """A receiver that keeps what comes, and answers as it is told."""

    shop: Shop
    got: list[tuple[int, dict[str, Any], str]] = field(factory=list[tuple[int, dict[str, Any], str]], init=False)
    fails: Callable[[dict[str, Any]], bool] = field(default=lambda _event: False)

    def receive(self, body: bytes, signature: str) -> object:
        """Keep a webhook with its time and header, then refuse it when `fails` says so."""
        event: dict[str, Any] = json.loads(body)
        self.got.append((self.shop.now, event, signature))
        if self.fails(event):
            raise RuntimeError("500")
        return None

    @property
    def types(self) -> list[str]:
        """The types that came, in order."""
        return [event["type"] for _, event, _ in self.got]

    @property
    def times(self) -> list[int]:
        """When they came."""
        return [at for at, _, _ in self.got]


def _verify(body: dict[str, Any], header: str, secret: str) -> bool:
    official: Any = stripe.WebhookSignature
    try:
        return bool(official.verify_header(json.dumps(body, indent=2), header, secret, tolerance=None))
    except stripe.SignatureVerificationError:
        return False


def _endpoint(shop: Shop, **params: str) -> tuple[dict[str, Any], Inbox]:
    """A webhook endpoint of the API that an inbox serves."""
    given = {"url": "https://shop.example/hook", "enabled_events[0]": "*", **params}
    made, inbox = shop.post("/v1/webhook_endpoints", given), Inbox(shop)
    shop.stripe.delivery.serve(made["id"], inbox)
    return made, inbox


@pytest.mark.parametrize("plan", ["live", "sandbox"])
def test_a_refused_event_comes_again_with_growing_pauses(shop: Shop, plan: Any) -> None:
    """At the times of the plan, each try with its own time and signature, and then no more."""
    made, inbox = _endpoint(shop)
    inbox.fails = lambda _event: True
    shop.stripe.delivery.retries = plan
    start = shop.now
    shop.customer()
    shop.stripe.advance(days=5)

    pauses = [after - before for before, after in zip(inbox.times, inbox.times[1:], strict=False)]
    assert list(PLANS[plan][: len(pauses)]) == pauses
    assert (2 if plan == "sandbox" else 8) <= len(pauses)
    assert inbox.times[-1] <= start + 3 * DAY
    headers = [header for _, _, header in inbox.got]
    assert [f"t={at}" for at in inbox.times] == [header.split(",")[0] for header in headers]
    assert all(_verify(event, header, made["secret"]) for _, event, header in inbox.got)
    assert len({header.split(",")[1] for header in headers}) == len(headers)
    assert 1 == len({event["id"] for _, event, _ in inbox.got})


def test_it_stops_when_it_is_taken(shop: Shop) -> None:
    """A 2xx ends the tries, and the event counts as delivered."""
    _, inbox = _endpoint(shop)
    inbox.fails = lambda _event: len(inbox.got) < 3
    shop.customer()
    assert 1 == shop.stripe.events[-1]["pending_webhooks"]
    shop.stripe.advance(days=3)

    assert 3 == len(inbox.got)
    assert 0 == shop.stripe.events[-1]["pending_webhooks"]
    (delivery,) = shop.stripe.deliveries
    assert (3, True, None) == (delivery.attempts, delivery.delivered, delivery.error)


def test_flush_does_not_wait_for_the_pause(shop: Shop) -> None:
    """Sending again by hand, as from the Dashboard, is at once."""
    _, inbox = _endpoint(shop)
    inbox.fails = lambda _event: len(inbox.got) == 1
    shop.customer()
    shop.stripe.flush()
    shop.stripe.flush()

    assert [shop.now] * 2 == inbox.times


def test_events_are_listed_by_their_success(shop: Shop) -> None:
    """`delivery_success` tells what all endpoints took from what one of them still waits for."""
    _, inbox = _endpoint(shop)
    inbox.fails = lambda event: event["type"] == "product.created"
    shop.customer()
    shop.post("/v1/products", {"name": "Pro"})
    shop.stripe.flush()

    found = {
        wanted: [event["type"] for event in shop.get("/v1/events", {"delivery_success": wanted})["data"]]
        for wanted in ("true", "false")
    }
    assert {"true": ["customer.created"], "false": ["product.created"]} == found
    both = {"type": "customer.created", "types[0]": "customer.created"}
    assert "types" == shop.refused("GET", "/v1/events", both).param


def test_events_end_after_thirty_days(shop: Shop) -> None:
    """The list remembers for 30 days, of an event that nobody took too."""
    customer = shop.customer()
    (event,) = shop.get("/v1/events", {"types[0]": "customer.*"})["data"]
    assert customer == shop.get(f"/v1/events/{event['id']}")["data"]["object"]["id"]
    shop.stripe.advance(days=30, hours=1)

    assert not shop.get("/v1/events")["data"]
    assert 404 == shop.refused("GET", f"/v1/events/{event['id']}").status


@pytest.mark.parametrize("order", ["in order", "within a second", "shuffled"])
def test_orders(order: Order) -> None:
    """In order; in any order within a second; in any order at all: always every event once, the same for a seed."""

    def run(seed: int) -> list[dict[str, Any]]:
        shop = Shop(StripeSimulator(deliver="manual"))
        _, inbox = _endpoint(shop)
        shop.stripe.delivery.order = order
        shop.stripe.delivery.seed(seed)
        shop.buy()
        shop.stripe.advance(days=1)
        shop.buy()
        shop.stripe.deliver()
        assert sorted(shop.types()) == sorted(inbox.types)
        shop.http.close()
        return [event for _, event, _ in inbox.got]

    events = run(1)
    created = [event["created"] for event in events]
    types = [event["type"] for event in events]
    assert types == [event["type"] for event in run(1)]
    assert (order == "in order") == (types == [event["type"] for event in run(2)])
    assert (order != "shuffled") == (created == sorted(created))


def test_repeats(shop: Shop) -> None:
    """An event that comes three times at once, each signed; the others once."""
    made, inbox = _endpoint(shop)
    shop.stripe.delivery.mishaps.append(Mishap("repeat", "customer.*", copies=2))
    shop.customer()
    shop.post("/v1/products", {"name": "Pro"})
    shop.stripe.flush()

    assert ["customer.created"] * 3 + ["product.created"] == inbox.types
    assert all(_verify(event, header, made["secret"]) for _, event, header in inbox.got)
    assert 0 == shop.stripe.events[0]["pending_webhooks"]


@pytest.mark.parametrize(
    ("mishap", "left"),
    [
        (Mishap("drop"), []),
        (Mishap("drop", "product.*"), ["customer.created", "customer.created"]),
        (Mishap("drop", "customer.created", times=1), ["customer.created", "product.created"]),
        (Mishap("drop", times=1, skip=1), ["customer.created", "product.created"]),
        (Mishap("drop", where=lambda event: event["data"]["object"]["name"] == "Jim"), ["customer.created"] * 2),
    ],
    ids=["all", "a type", "the first", "the second", "some"],
)
def test_losses(shop: Shop, mishap: Mishap, left: list[str]) -> None:
    """By type, by number, by what it holds: it never comes, stays pending, and can be listed and sent by hand."""
    mishap = Mishap(mishap.kind, mishap.type, mishap.where, skip=mishap.skip, times=mishap.times)
    _, inbox = _endpoint(shop)
    shop.stripe.delivery.mishaps.append(mishap)
    for name in ("Jane", "Joe"):
        shop.customer(name=name)
    shop.post("/v1/products", {"name": "Jim"})
    shop.stripe.advance(days=4)

    assert left == inbox.types
    waiting = shop.get("/v1/events", {"delivery_success": "false"})["data"]
    assert 3 - len(left) == len(waiting)
    assert 3 == len(shop.get("/v1/events")["data"])
    shop.stripe.deliver(*(event["id"] for event in waiting))
    assert 3 == len(inbox.types)


def test_delays(shop: Shop) -> None:
    """An event that first comes hours later, after younger ones."""
    _, inbox = _endpoint(shop)
    shop.stripe.delivery.mishaps.append(Mishap("delay", "customer.created", seconds=5 * HOUR))
    start = shop.now
    shop.customer()
    shop.post("/v1/products", {"name": "Pro"})
    shop.stripe.advance(days=1)

    assert [("product.created", start), ("customer.created", start + 5 * HOUR)] == [
        *zip(inbox.types, inbox.times, strict=True)
    ]


def test_overtaken_by_its_own_redelivery(shop: Shop) -> None:
    """The network holds the first try; Stripe tries again; then the first one comes with its old signature."""
    _, inbox = _endpoint(shop)
    shop.stripe.delivery.mishaps.append(Mishap("late", "customer.created", seconds=120))
    start = shop.now
    shop.customer()
    shop.stripe.advance(hours=1)

    assert [start + 60, start + 120] == inbox.times
    assert [f"t={start + 60}", f"t={start}"] == [header.split(",")[0] for _, _, header in inbox.got]
    assert 1 == len({event["id"] for _, event, _ in inbox.got})
    assert 0 == shop.stripe.events[0]["pending_webhooks"]


def test_wrong_mode_account_and_version(shop: Shop) -> None:
    """Events that say they are of live mode, of another account, or that come in an old shape: signed all the same."""
    made, inbox = _endpoint(shop)
    shop.stripe.delivery.mishaps += [
        Mishap("wrong_livemode", "customer.created"),
        Mishap("foreign_account", "customer.created", account="acct_2"),
        Mishap("stale_version", "customer.subscription.*", version=OLDEST),
    ]
    shop.buy()
    shop.stripe.flush()

    by_type = {event["type"]: event for _, event, _ in inbox.got}
    assert (True, "acct_2") == tuple(by_type["customer.created"][name] for name in ("livemode", "account"))
    old = by_type["customer.subscription.created"]
    assert OLDEST == old["api_version"]
    assert "current_period_end" in old["data"]["object"]
    assert {CURRENT_VERSION} == {e["api_version"] for e in by_type.values() if e is not old}
    assert all(_verify(event, header, made["secret"]) for _, event, header in inbox.got)
    assert not any(event["livemode"] or "account" in event for event in shop.stripe.events)


def test_rolling_the_secret(shop: Shop) -> None:
    """Both secrets sign for a day, then only the new one does."""
    library = Library(shop)
    shop.stripe.attach(library)
    old = shop.stripe.webhook_secret
    new = shop.stripe.delivery.roll_secret()
    assert (new, True) == (shop.stripe.webhook_secret, old != new)
    inbox = Inbox(shop)
    shop.stripe.attach(inbox)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - that is refused later
    for _ in range(2):
        shop.customer()
        shop.stripe.flush()
        shop.stripe.state.world.run_due(shop.now + DAY)

    (_, first, during), (_, second, after) = inbox.got
    assert ["t", "v1", "v1", "v0"] == [part.partition("=")[0] for part in during.split(",")]
    assert [True, True] == [_verify(first, during, secret) for secret in (old, new)]
    assert [False, True] == [_verify(second, after, secret) for secret in (old, new)]
    assert new not in repr(shop.stripe.delivery)


def test_endpoints_get_their_types_in_their_version() -> None:
    """Each endpoint has its own secret, types and version, and an event waits for all of them."""
    shop = Shop(StripeSimulator(deliver="manual"))
    old, old_inbox = _endpoint(shop, api_version=OLDEST)
    new, new_inbox = _endpoint(shop, **{"enabled_events[0]": "customer.subscription.created"})
    shop.buy()
    assert 2 == next(e for e in shop.stripe.events if e["type"] == "customer.subscription.created")["pending_webhooks"]
    shop.stripe.flush()

    assert shop.types() == old_inbox.types
    ((_, event, header),) = new_inbox.got
    theirs = next(event for _, event, _ in old_inbox.got if event["type"] == "customer.subscription.created")
    assert (OLDEST, CURRENT_VERSION) == (theirs["api_version"], event["api_version"])
    assert event["data"]["object"]["id"] == theirs["data"]["object"]["id"]
    assert ["current_period_end" in each["data"]["object"] for each in (theirs, event)] == [True, False]
    assert [True, False] == [_verify(event, header, each["secret"]) for each in (new, old)]
    shop.http.close()


def test_endpoints_are_changed_disabled_and_deleted(shop: Shop) -> None:
    """A disabled endpoint gets nothing, a changed one other types; a deleted one is gone."""
    made, inbox = _endpoint(shop, **{"enabled_events[0]": "product.created"})
    path = f"/v1/webhook_endpoints/{made['id']}"
    changed = shop.post(path, {"enabled_events[0]": "customer.created", "description": "", "metadata[a]": "1"})
    assert (["customer.created"], None, {"a": "1"}) == (
        changed["enabled_events"],
        changed["description"],
        changed["metadata"],
    )
    assert "secret" not in changed
    shop.post(path, {"disabled": "true"})
    shop.customer()
    shop.post(path, {"disabled": "false"})
    shop.post("/v1/products", {"name": "Pro"})
    customer = shop.customer()
    shop.stripe.flush()
    assert [customer] == [event["data"]["object"]["id"] for _, event, _ in inbox.got]

    assert {"id": made["id"], "object": "webhook_endpoint", "deleted": True} == shop.delete(path)
    assert 404 == shop.refused("GET", path).status
    with pytest.raises(SimulatorError, match=made["id"]):
        shop.stripe.delivery.serve(made["id"], inbox)
    last = str(shop.stripe.events[-1]["id"])
    with pytest.raises(SimulatorError, match="no library"):
        shop.stripe.deliver(last)


def test_thin_notifications_go_to_event_destinations(shop: Shop) -> None:
    """A destination that takes thin events gets an id and a place, signed with its own secret, and no data."""
    body = {**DESTINATION, "include": ["webhook_endpoint.signing_secret"]}
    headers = {"Idempotency-Key": "d"}
    answer = shop.http.post("/v2/core/event_destinations", json=body, headers=headers)
    made, inbox = answer.json(), Inbox(shop)
    assert 200 == answer.status_code, made
    shop.stripe.delivery.serve(made["id"], inbox)
    shop.buy()
    shop.stripe.flush()

    ((_, event, header),) = inbox.got
    assert ("v2.core.event", "v1.invoice.paid") == (event["object"], event["type"])
    assert event["related_object"]["id"].startswith("in_")
    assert "data" not in event
    assert _verify(event, header, made["webhook_endpoint"]["signing_secret"])


def test_a_deaf_endpoint_delays_the_finalisation(shop: Shop) -> None:
    """With the setting on, a renewal stays a draft until an hour after its event was taken, at most for 72 hours."""
    shop.stripe.settings.finalisation_waits_for_webhooks = True
    _, inbox = _endpoint(shop)
    subscription = shop.buy()["id"]
    inbox.fails = lambda event: event["type"] == "invoice.created"
    shop.stripe.advance(months=1, hours=10)
    (draft, _) = shop.invoices(subscription)
    assert ("draft", None) == (draft["status"], draft["webhooks_delivered_at"])
    inbox.fails = lambda _event: False
    shop.stripe.flush()
    told = shop.now
    shop.stripe.advance(hours=2)
    (paid, _) = shop.invoices(subscription)
    assert ("paid", told) == (paid["status"], paid["webhooks_delivered_at"])
    assert told < paid["status_transitions"]["paid_at"] <= told + 2 * HOUR

    inbox.fails = lambda event: event["type"] == "invoice.created"
    shop.stripe.advance(months=1)
    shop.stripe.advance(days=4)
    (late, *_) = shop.invoices(subscription)
    assert ("paid", late["created"] + 72 * HOUR) == (late["status"], late["status_transitions"]["paid_at"])


def test_a_prompt_endpoint_delays_nothing(shop: Shop) -> None:
    """With the setting on and the event taken at once, a renewal is finalised after its hour."""
    shop.stripe.settings.finalisation_waits_for_webhooks = True
    _endpoint(shop)
    subscription = shop.buy()["id"]
    shop.stripe.advance(months=1, hours=2)

    (renewal, _) = shop.invoices(subscription)
    assert renewal["created"] + HOUR == renewal["status_transitions"]["finalized_at"]


def test_a_clock_for_signatures(shop: Shop) -> None:
    """Where the receiver lives in another time than the simulator, signatures are of its time."""
    _, inbox = _endpoint(shop)
    other = int((shop.stripe.now + timedelta(days=365)).timestamp())
    shop.stripe.delivery.signing_clock = lambda: other
    shop.customer()
    shop.stripe.flush()

    assert inbox.got[0][2].startswith(f"t={other},")


def test_endpoints_are_posted_to_by_their_url(shop: Shop) -> None:
    """With a maker of receivers every endpoint of the API is served at its URL."""
    inboxes: dict[str, Inbox] = {}
    shop.stripe.delivery.targets.post = lambda url: inboxes.setdefault(url, Inbox(shop))
    shop.post("/v1/webhook_endpoints", {"url": "https://a.example/", "enabled_events[0]": "*"})
    shop.post("/v1/webhook_endpoints", {"url": "https://b.example/", "enabled_events[0]": "product.created"})
    shop.customer()
    shop.stripe.flush()

    assert {"https://a.example/": ["customer.created"], "https://b.example/": []} == {
        url: inbox.types for url, inbox in inboxes.items()
    }
