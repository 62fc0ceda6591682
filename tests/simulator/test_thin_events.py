"""Thin events and the JSON of the v2 API: destinations, notifications, fetching; the official client is the witness."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import httpx
import pytest
import stripe
from attrs import define, field

from kernia_billing.testing.oracle import object_oracle
from tests.simulator.metering import counted, meter, use
from tests.simulator.shop import Shop

# The package gives httpx its form text in a way that httpx deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

_numbers = count()
_SECRET = "webhook_endpoint.signing_secret"


@define
class Inbox:
    """Keeps what it receives: bodies and signatures."""

    mail: list[tuple[bytes, str]] = field(factory=list[tuple[bytes, str]])

    def receive(self, body: bytes, signature: str) -> object:
        """Take a webhook."""
        self.mail.append((body, signature))
        return None

    def types(self) -> list[str]:
        """The types received, in order."""
        return [str(json.loads(body)["type"]) for body, _ in self.mail]


def _json(shop: Shop, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    """Send JSON and answer status and body."""
    headers = {"Idempotency-Key": f"v2_{next(_numbers)}"}
    if isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
        response = shop.http.request(method, path, content=body, headers=headers)
    else:
        response = (
            shop.http.request(method, path, json=body, headers=headers)
            if body is not None
            else (shop.http.request(method, path, headers=headers))
        )
    return response.status_code, response.json()


def _wanted(**changes: Any) -> dict[str, Any]:
    """The parameters of a thin destination for everything; None leaves one out."""
    good = {
        "name": "Thin",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": ["*"],
        "webhook_endpoint": {"url": "https://shop.example/thin"},
        **changes,
    }
    return {key: value for key, value in good.items() if value is not None}


def _destination(shop: Shop, **changes: Any) -> dict[str, Any]:
    """A new thin destination for everything, with its secret."""
    status, made = _json(shop, "POST", "/v2/core/event_destinations", _wanted(include=[_SECRET], **changes))
    assert 200 == status, made
    return made


def test_a_destination_lives(shop: Shop) -> None:
    """Its secret is shown once and its URL when asked for; it is renamed, disabled, enabled, listed and deleted."""
    made = _destination(shop)
    path = f"/v2/core/event_destinations/{made['id']}"
    _, plain = _json(shop, "GET", path)
    _, whole = _json(shop, "GET", f"{path}?include[0]=webhook_endpoint.url")
    _, renamed = _json(shop, "POST", path, {"name": "Other", "enabled_events": ["v1.customer.created"]})
    _, disabled = _json(shop, "POST", f"{path}/disable", {})
    _, enabled = _json(shop, "POST", f"{path}/enable", {})
    _, listed = _json(shop, "GET", "/v2/core/event_destinations")
    _, gone = _json(shop, "DELETE", path)

    assert made["webhook_endpoint"]["signing_secret"].startswith("whsec_")
    assert {"signing_secret": None, "url": None} == plain["webhook_endpoint"]
    assert "https://shop.example/thin" == whole["webhook_endpoint"]["url"]
    assert ("Other", ["v1.customer.created"]) == (renamed["name"], renamed["enabled_events"])
    assert ("disabled", {"disabled": {"reason": "user"}}) == (disabled["status"], disabled["status_details"])
    assert ("enabled", None) == (enabled["status"], enabled["status_details"])
    assert {"data": [enabled], "next_page_url": None, "previous_page_url": None} == listed
    assert {"id": made["id"], "object": "v2.core.event_destination"} == gone
    assert 404 == _json(shop, "GET", path)[0]
    assert not shop.stripe.violations


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"type": "amazon_eventbridge"}, "type"),
        ({"enabled_events": ["customer.created"]}, "enabled_events[0]"),
        ({"enabled_events": []}, "enabled_events"),
        ({"event_payload": "snapshot"}, "snapshot_api_version"),
        (
            {
                "event_payload": "snapshot",
                "snapshot_api_version": "2026-10-28.endive",
                "enabled_events": ["v1.customer.created"],
            },
            "enabled_events[0]",
        ),
        ({"snapshot_api_version": "2026-10-28.endive"}, "snapshot_api_version"),
        ({"webhook_endpoint": {"url": "nowhere"}}, "webhook_endpoint[url]"),
        ({"webhook_endpoint": None}, "webhook_endpoint"),
        ({"events_from": ["@accounts"]}, "events_from"),
        ({"name": None}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_destinations_are_refused(shop: Shop, changes: dict[str, Any], param: str) -> None:
    """Types fit the kind of payload, versions belong to snapshots, and only webhook endpoints are modelled."""
    body = _wanted(**changes)
    status, refusal = _json(shop, "POST", "/v2/core/event_destinations", body)

    assert (400, param) == (status, refusal["error"]["param"])


@pytest.mark.parametrize("body", [b"{", b"[]", b"name=Thin"])
def test_a_body_is_a_json_object(shop: Shop, body: bytes) -> None:
    """What is no JSON object is refused, not half understood."""
    assert 400 == _json(shop, "POST", "/v2/core/event_destinations", body)[0]


def test_a_notification_is_fetched(shop: Shop, client: Any) -> None:
    """The official package verifies a notification with the destination's secret, and fetches event and object."""
    made = _destination(shop, enabled_events=["v1.customer.subscription.created", "v1.customer.created"])
    inbox = Inbox()
    shop.stripe.delivery.serve(made["id"], inbox)
    bought = shop.buy()
    customer = bought["customer"]
    shop.stripe.flush()

    assert ["v1.customer.created", "v1.customer.subscription.created"] == inbox.types()
    secret = made["webhook_endpoint"]["signing_secret"]
    first, second = (
        client.parse_event_notification(body, signature, secret, tolerance=10**9) for body, signature in inbox.mail
    )
    assert "V1CustomerCreatedEventNotification" == type(first).__name__
    assert customer == first.fetch_related_object().id
    assert bought["id"] == second.fetch_related_object().id
    event = second.fetch_event()
    snapshot = next(row for row in shop.stripe.events if row["type"] == "customer.subscription.created")
    assert snapshot["id"] == event.snapshot_event
    assert "data" not in json.loads(inbox.mail[0][0])
    assert first.reason.request.idempotency_key.startswith("key_")
    with pytest.raises(stripe.SignatureVerificationError):
        client.parse_event_notification(*inbox.mail[0], shop.stripe.webhook_secret, tolerance=10**9)


def test_whole_and_thin_tell_the_same(shop: Shop) -> None:
    """A thin destination of everything hears of every event of the v1 API, and of those that have no other form."""
    made = _destination(shop)
    whole = _destination(shop, event_payload="snapshot", snapshot_api_version="2026-10-28.endive")
    thin, snapshots = Inbox(), Inbox()
    shop.stripe.delivery.serve(made["id"], thin)
    shop.stripe.delivery.serve(whole["id"], snapshots)
    meter(shop)
    use(shop, "cus_nobody", 1)
    shop.buy(customer=shop.customer())
    shop.stripe.advance(months=2)

    missing = "v1.billing.meter.error_report_triggered"
    assert shop.types() == snapshots.types()
    assert sorted([*(f"v1.{type}" for type in shop.types()), missing]) == sorted(thin.types())


def test_listing_thin_events(shop: Shop, client: Any) -> None:
    """Lists come newest first, by pages whose next URL the official client follows, and forget after 30 days."""
    customers = [shop.customer() for _ in range(5)]
    shop.stripe.advance(days=1)
    later = shop.customer()
    pages = client.v2.core.events.list({"limit": 2, "types": ["v1.customer.created"]})
    seen = [event.related_object.id for event in pages.auto_paging_iter()]
    about = client.v2.core.events.list({"object_id": later}).data
    recent = client.v2.core.events.list({"created": {"gte": "2026-01-16T00:00:00Z"}}).data
    shop.stripe.advance(days=30)

    assert [later, *reversed(customers)] == seen
    assert [later] == [event.related_object.id for event in about]
    assert [later] == [event.related_object.id for event in recent]
    assert [later] == [event.related_object.id for event in client.v2.core.events.list().data]
    assert not shop.stripe.violations
    with pytest.raises(stripe.InvalidRequestError):
        client.v2.core.events.retrieve("evt_test_none")
    assert 400 == shop.refused("GET", "/v2/core/events", {"created[gte]": "yesterday"}).status
    assert 400 == shop.refused("GET", "/v2/core/events", {"page": "-1"}).status


def test_events_of_every_kind_have_a_thin_form(shop: Shop) -> None:
    """Whatever the simulator emits has a class of notifications, and a URL that finds its object."""
    shop.buy(customer=shop.customer())
    shop.stripe.advance(months=1, hours=2)
    for event in shop.get("/v2/core/events", {"limit": "100"})["data"]:
        if "related_object" in event:
            path = event["related_object"]["url"]
            assert event["related_object"]["id"] == shop.get(path)["id"], path


def test_usage_by_json(shop: Shop, client: Any) -> None:
    """The v2 API checks usage at once, by codes, and has times as text; it is counted later all the same."""
    meter(shop)
    customer = shop.customer()
    good = {"event_name": "tokens", "payload": {"stripe_customer_id": customer, "value": "7"}}
    told = client.v2.billing.meter_events.create(
        {**good, "identifier": "one", "timestamp": "2026-01-15T13:00:00+01:00"}
    )
    codes: list[str] = []
    for wrong in (
        {**good, "identifier": "one"},
        {**good, "event_name": "nothing"},
        {**good, "payload": {"value": "7"}},
        {**good, "payload": {"stripe_customer_id": "cus_nobody", "value": "7"}},
        {**good, "payload": {"stripe_customer_id": customer, "value": "seven"}},
        {**good, "timestamp": "2026-01-15T12:05:01Z"},
        {**good, "timestamp": "2025-12-01T12:00:00Z"},
    ):
        status, refusal = _json(shop, "POST", "/v2/billing/meter_events", wrong)
        assert 400 == status
        codes.append(refusal["error"]["code"])
    assert ("2026-01-15T12:00:00.000Z", "one", 0) == (told.timestamp, told.identifier, counted(shop, customer))
    shop.stripe.advance(hours=1)
    assert 7 == counted(shop, customer)

    assert [
        "duplicate_meter_event",
        "no_meter",
        "meter_event_no_customer_defined",
        "meter_event_customer_not_found",
        "meter_event_invalid_value",
        "timestamp_in_future",
        "timestamp_too_far_in_past",
    ] == codes
    adjusted = client.v2.billing.meter_event_adjustments.create(
        {"type": "cancel", "event_name": "tokens", "cancel": {"identifier": "one"}}
    )
    shop.stripe.advance(hours=1)
    assert ("pending", 0) == (adjusted.status, counted(shop, customer))


def test_the_stream_checks_nothing_at_once(shop: Shop, client: Any) -> None:
    """A session's token opens the stream for 15 minutes; wrong events are reported later, repeated ones dropped."""
    meter(shop)
    customer = shop.customer()
    token = client.v2.billing.meter_event_session.create().authentication_token
    stream: Any = stripe.StripeClient(token, http_client=client._requestor._client, max_network_retries=0)
    good = {"event_name": "tokens", "payload": {"stripe_customer_id": customer, "value": "7"}}
    late = {**good, "timestamp": "2025-01-01T00:00:00Z"}
    stream.v2.billing.meter_event_stream.create({"events": [{**good, "identifier": "one"}, late]})
    stream.v2.billing.meter_event_stream.create({"events": [{**good, "identifier": "one"}, good]})
    with pytest.raises(stripe.InvalidRequestError):
        stream.v2.billing.meter_event_stream.create({"events": [good] * 101})
    shop.stripe.advance(hours=1)

    assert 14 == counted(shop, customer)
    report = next(row for row in shop.get("/v2/core/events")["data"] if "data" in row)
    assert ["timestamp_too_far_in_past"] == [row["code"] for row in report["data"]["reason"]["error_types"]]
    with pytest.raises(stripe.TemporarySessionExpiredError):
        stream.v2.billing.meter_event_stream.create({"events": [good]})
    with pytest.raises(stripe.AuthenticationError):
        client.v2.billing.meter_event_stream.create({"events": [good]})
    with pytest.raises(httpx.ConnectError):
        shop.http.post("https://meter-events.stripe.com/v1/customers")


def test_thin_events_are_judged_by_their_type() -> None:
    """The object oracle holds a thin event to the class of its type: unknown types, missing and strange data."""
    oracle = object_oracle()
    assert oracle is not None
    good = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "created": "2026-01-15T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
        "type": "v1.customer.created",
    }

    assert [] == oracle.check(good)
    assert ["no class for events of type 'v1.customer.born'"] == oracle.check({**good, "type": "v1.customer.born"})
    assert ["data: unknown field"] == oracle.check({**good, "data": {}})
    upcoming = {key: value for key, value in good.items() if key != "related_object"} | {"type": "v1.invoice.upcoming"}
    assert ["data: required field missing"] == oracle.check(upcoming)


def test_a_json_request_is_replayed(shop: Shop) -> None:
    """Idempotency keys work for JSON as for forms: the same answer again, an error for other parameters."""
    meter(shop)
    body = {"event_name": "tokens", "payload": {"stripe_customer_id": shop.customer(), "value": "7"}}
    headers = {"Idempotency-Key": "once"}
    first, again = (shop.http.post("/v2/billing/meter_events", json=body, headers=headers).json() for _ in range(2))
    other = shop.http.post("/v2/billing/meter_events", json={**body, "identifier": "x"}, headers=headers)

    assert first == again
    assert "idempotency_error" == other.json()["error"]["type"]
