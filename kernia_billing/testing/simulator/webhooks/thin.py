"""Thin events: notifications that name an object and carry none of it, to be fetched when they are handled.

Every event of the v1 API has a thin form, `v1.` before its type; two types about meters have no other form. The log
keeps them for 30 days. Source: Stripe, "Event destinations" and "API v2 events".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..world.errors import ApiError, Json
from ..world.events import KEPT_SECONDS

if TYPE_CHECKING:
    from ..world.world import World

_PREFIX = "evt_test_"
_FOLDERS = {
    "billing.credit_balance_transaction": "billing/credit_balance_transactions",
    "billing.credit_grant": "billing/credit_grants",
    "billing.meter": "billing/meters",
    "billing_portal.configuration": "billing_portal/configurations",
    "checkout.session": "checkout/sessions",
    "test_helpers.test_clock": "test_helpers/test_clocks",
}
"""Where objects are found whose path is not their kind and an s."""

_UNNAMED = frozenset({"billing_portal.session", "entitlements.active_entitlement_summary"})
"""Kinds that cannot be fetched by an id."""


def emit(world: World, type: str, data: Json, related: Json | None = None) -> Json:
    """Write an event that exists in thin form only; `data` is what fetching it shows."""
    event = _event(world.ids.new("evt_test"), type, world.account_clock.seconds(), None, None)
    if related is not None:
        event["related_object"] = _related(related)
    event["data"] = data
    world.check_object(event)
    world.thin_events.append(event)
    if world.events.audience is not None:
        world.events.audience.accept(event)
    return event


def of_snapshot(event: Json) -> Json:
    """The v2 event of an event of the v1 API, as fetching it shows; asked again it is the same."""
    request: Json = event["request"] or {"id": None}
    made = _event(
        f"{_PREFIX}{event['id'].removeprefix('evt_')}",
        f"v1.{event['type']}",
        event["created"],
        {"request": {**request, "idempotency_key": request["idempotency_key"] or ""}, "type": "request"}
        if request["id"] is not None
        else None,
        event["id"],
    )
    about: Json = event["data"]["object"]
    if event["type"] == "invoice.upcoming":
        details: Json = about["parent"]["subscription_details"]
        made["data"] = {"customer": about["customer"], "subscription": details["subscription"]}
    elif about["object"] not in _UNNAMED:
        made["related_object"] = _related(about)
    return made


def notification(world: World, event: Json) -> Json:
    """What is pushed about an event, of the v1 API or a thin one: no data, no changes, a relative URL to fetch."""
    whole = event if event["object"] == "v2.core.event" else of_snapshot(event)
    left_out = {"changes", "data", "snapshot_event"}
    return {name: value for name, value in whole.items() if name not in left_out}


def find(world: World, id: str) -> Json | None:
    """The v2 event of that id, if it is of the last 30 days."""
    since = world.account_clock.seconds() - KEPT_SECONDS
    snapshot = world.events.find(f"evt_{id.removeprefix(_PREFIX)}")
    if snapshot is not None and id.startswith(_PREFIX):
        return of_snapshot(snapshot) if snapshot["created"] >= since else None
    own = (event for event in world.thin_events if event["id"] == id)
    return next((event for event in own if seconds(event["created"], "created") >= since), None)


def log(world: World) -> list[Json]:
    """The v2 events of the last 30 days, newest first."""
    since = world.account_clock.seconds() - KEPT_SECONDS
    snapshots = [of_snapshot(event) for event in world.events.log if event["created"] >= since]
    thin = [event for event in world.thin_events if seconds(event["created"], "created") >= since]
    oldest_first = sorted([*snapshots, *thin], key=lambda event: str(event["created"]))
    return oldest_first[::-1]


def iso(moment: int) -> str:
    """A UTC second as the v2 API writes it: `2026-01-15T12:00:00.000Z`."""
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def seconds(text: str, param: str) -> int:
    """The UTC second of an RFC 3339 timestamp with an offset.

    Raises:
        ApiError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ApiError(f"Invalid timestamp: {text}", code="invalid_fields", param=param)
    return int(moment.timestamp())


def _event(id: str, type: str, created: int, reason: Json | None, snapshot: str | None) -> Json:
    return {
        "id": id,
        "object": "v2.core.event",
        "changes": None,
        "context": None,
        "created": iso(created),
        "livemode": False,
        "reason": reason,
        "snapshot_event": snapshot,
        "type": type,
    }


def _related(about: Json) -> Json:
    kind = str(about["object"])
    path = f"{_FOLDERS.get(kind, f'{kind}s')}/{about['id']}"
    if kind == "discount":
        path = f"customers/{about['customer']}/discount"
    return {"id": about["id"], "type": kind, "url": f"/v1/{path}"}
