"""What Stripe does not count is heard of, and sent again when its cause is mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kernia_billing import Conflict, InvalidInput, NotFound
from kernia_billing.testing import Fault
from tests.metering.conftest import Shop
from tests.metering.test_sending import EVENTS, later, overdrawn


def reasons(shop: Shop) -> Sequence[tuple[str, object]]:
    """What hooks heard, and why."""
    return [(each.type, each.data["reason"]) for each in shop.told]


def archive(shop: Shop) -> str:
    """Deactivate the meter; its id."""
    meter = next(each["id"] for each in shop.get("/v1/billing/meters")["data"] if each["event_name"] == "messages")
    shop.post(f"/v1/billing/meters/{meter}/deactivate")
    return str(meter)


def test_told_of_later(shop: Shop) -> None:
    """Stripe takes an event, and reports that it did not count it; mended and sent again it counts once."""
    overdrawn(shop, 3)
    meter = archive(shop)
    assert 0 == shop.counted()

    (event,) = shop.billing.meters.list(state="rejected")
    assert "archived_meter" == event.reason
    assert [("meter.rejected", "archived_meter")] == reasons(shop)
    assert "ada" == (event.reference and event.reference.id)
    shop.post(f"/v1/billing/meters/{meter}/reactivate")
    again = shop.billing.meters.retry(event.identifier)
    assert (event.value, event.occurred_at) == (again.value, again.occurred_at)
    assert 3 == shop.counted()
    assert {"sent": 1, "canceled": 1} == shop.states()
    assert f"sent again as {again.identifier}" == shop.billing.meters.list(state="canceled").items[0].reason
    assert "meter.retried" in {each.action for each in shop.billing.audit("ada")}


def test_refused_at_once(shop: Shop) -> None:
    """A request that Stripe refuses as it stands is not repeated, and does not keep the others waiting."""
    overdrawn(shop, 3, 4)
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=EVENTS, code="parameter_invalid_integer"))

    assert 4 == shop.counted()
    assert [("meter.rejected", "parameter_invalid_integer")] == reasons(shop)
    (event,) = shop.billing.meters.list(state="rejected")
    shop.billing.meters.retry(event.identifier)
    assert 7 == shop.counted()


def test_given_back_while_rejected(shop: Shop) -> None:
    """What Stripe did not count is not taken back from what it did: the rejected event itself is lowered."""
    overdrawn(shop, 3)
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=EVENTS))
    assert 0 == shop.counted()
    shop.billing.give_back("ada", "messages", 1)

    (event,) = shop.billing.meters.list(state="rejected")
    assert 2 == event.value
    shop.billing.meters.retry(event.identifier)
    assert 2 == shop.counted()


def test_taken_back_before_the_report(shop: Shop) -> None:
    """An event that was given back before Stripe said that it never counted needs no mending."""
    overdrawn(shop, 3)
    meter = archive(shop)
    shop.billing.jobs.run()
    shop.billing.give_back("ada", "messages", 3)
    assert 0 == shop.counted()

    assert {"canceled": 2} == shop.states()
    assert [] == shop.told
    shop.post(f"/v1/billing/meters/{meter}/reactivate")
    shop.billing.track("ada", "messages", 2)
    assert 2 == shop.counted()


def test_in_doubt(shop: Shop) -> None:
    """What nobody knows of is sent again only when somebody who looked says that it was not counted."""
    overdrawn(shop, 3)
    shop.stripe.faults.append(Fault("timeout_before", method="POST", path=EVENTS, times=3))
    shop.billing.jobs.run()
    later(shop, 30)
    assert 0 == shop.counted()

    (event,) = shop.billing.meters.list(state="quarantined")
    with pytest.raises(Conflict) as unsafe:
        shop.billing.meters.retry(event.identifier)
    shop.billing.meters.retry(event.identifier, not_counted=True)
    assert "METER_EVENT_IN_DOUBT" == unsafe.value.code
    assert 3 == shop.counted()


def test_what_cannot_be_retried(shop: Shop) -> None:
    """Unknown events, events that did not fail, and events that are too old for Stripe."""
    overdrawn(shop, 3)
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=EVENTS))
    shop.billing.jobs.run()
    shop.billing.track("ada", "messages", 2)
    sent, rejected = sorted(shop.billing.meters.list(), key=lambda each: each.state == "rejected")
    later(shop, 36 * 24)

    codes: list[str] = []
    for identifier in ("use_unknown", sent.identifier, rejected.identifier):
        with pytest.raises((Conflict, NotFound)) as refusal:
            shop.billing.meters.retry(identifier, not_counted=True)
        codes.append(refusal.value.code)
    assert ["METER_EVENT_NOT_FOUND", "METER_EVENT_NOT_FAILED", "METER_EVENT_TOO_OLD"] == codes


def test_pages(shop: Shop) -> None:
    """Events come in the order of their identifiers, page after page; nonsense is refused."""
    overdrawn(shop, *[1] * 5)
    first = shop.billing.meters.list(limit=3)
    second = shop.billing.meters.list(limit=3, cursor=first.next_cursor)

    names = [each.identifier for each in (*first, *second)]
    assert (3, 5, None) == (len(first.items), len(set(names)), second.next_cursor)
    assert names == sorted(names)
    assert [] == list(shop.billing.meters.list(state="sent"))
    wrongs: list[dict[str, Any]] = [
        {"state": "lost"},
        {"limit": 0},
        {"limit": 201},
        {"cursor": ""},
        {"cursor": "ä"},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            shop.billing.meters.list(**wrong)


def test_health(shop: Shop) -> None:
    """Health tells since when the oldest event waits."""
    overdrawn(shop, 1)
    since = shop.stripe.now
    later(shop, 2)
    shop.billing.track("ada", "messages", 1)

    assert (2, since) == ((health := shop.billing.meters.health()).waiting, health.oldest_waiting_at)
    shop.billing.jobs.run()
    assert (0, 2, None) == ((health := shop.billing.meters.health()).waiting, health.sent, health.oldest_waiting_at)


def test_reports_of_strangers(shop: Shop) -> None:
    """A report on events that others sent to the meter changes nothing here."""
    overdrawn(shop, 3)
    payload = {"payload[stripe_customer_id]": "cus_nobody", "payload[value]": "1"}
    shop.post(EVENTS, {"event_name": "messages", "identifier": "theirs", **payload})

    assert 3 == shop.counted()
    assert {"sent": 1} == shop.states()
    assert [] == shop.told
    (report,) = shop.billing.webhooks.list(type="billing.meter.*")
    assert "processed" == report.status
