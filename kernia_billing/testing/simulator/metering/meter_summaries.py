"""Event summaries: what a meter has counted for a customer so far. Events that were only received are not in them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..world.errors import Json, invalid
from ..world.usage_book import aggregate

if TYPE_CHECKING:
    from ..world.world import World

_STEPS = {None: 60, "hour": 3_600, "day": 86_400}
_NAMES = {None: "minute", "hour": "hour", "day": "UTC day"}


def _list(world: World, call: Call) -> Json:
    params = call.params
    meter = world.table("billing.meter").get(call.ids[0], in_path=True)
    customer = customers.live(world, params["customer"])["id"]
    window, start, end = params.get("value_grouping_window"), params["start_time"], params["end_time"]
    for name in ("start_time", "end_time"):
        if params[name] % _STEPS[window]:
            raise invalid(f"`{name}` must be aligned with {_NAMES[window]} boundaries.", name)
    if start >= end:
        raise invalid("`end_time` must be after `start_time`.", "end_time")
    if window is None:
        value = world.usage.total(meter, customer, start, end)
        return lists.page([_summary(meter, customer, (start, end), value)], call)
    return lists.page(_grouped(world, meter, customer, (start, end), _STEPS[window]), call)


def _grouped(world: World, meter: Json, customer: str, span: tuple[int, int], step: int) -> list[Json]:
    """A summary for each window in which something was counted, the newest first."""
    events = world.usage.within(meter["id"], customer, *span)
    starts = sorted({event.timestamp // step * step for event in events}, reverse=True)
    return [
        _summary(
            meter,
            customer,
            (start, start + step),
            aggregate(meter, [event for event in events if start <= event.timestamp < start + step]),
        )
        for start in starts
    ]


def _summary(meter: Json, customer: str, span: tuple[int, int], value: int) -> Json:
    """A summary; the same question gets the same id, so that it can be a cursor."""
    name = hashlib.sha256(f"{meter['id']} {customer} {span[0]} {span[1]}".encode()).hexdigest()
    return {
        "id": f"mtrusg_test_{name[:32]}",
        "object": "billing.meter_event_summary",
        "aggregated_value": float(value),
        "end_time": span[1],
        "livemode": False,
        "meter": meter["id"],
        "start_time": span[0],
    }


ROUTES = (
    Route(
        "GET",
        "/v1/billing/meters/{id}/event_summaries",
        _list,
        {
            "customer": fields.text,
            "end_time": fields.timestamp,
            "start_time": fields.timestamp,
            "value_grouping_window": fields.one_of("day", "hour"),
        },
        ("customer", "end_time", "start_time"),
        lists=True,
    ),
)
