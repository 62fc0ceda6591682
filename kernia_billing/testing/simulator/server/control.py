"""The control API under `/_simulator/`: what a test says to a simulator that runs as a server, as JSON.

`GET /_simulator/` tells how things stand, other GETs what was logged. Everything else is a POST with a JSON object (and
`content-type: application/json`, which no page of another site can send) to one of the `verbs`. A verb that has nothing
to tell answers how things stand then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import cast

from ..api.wire import Reply, Request
from ..facade import StripeSimulator
from ..world.errors import ApiError, CardDeclined, Json, SimulatorError
from .arguments import arguments
from .verbs import TAKES_ANY, VERBS, settings

PREFIX = "/_simulator/"


def control(simulator: StripeSimulator, request: Request, settle: Callable[[], object]) -> Reply:
    """Answer a request to the control API; `settle` waits until the webhooks of what was done were sent."""
    name = request.path.removeprefix(PREFIX).strip("/")
    try:
        if request.method in ("GET", "HEAD"):
            return _answer_get(simulator, name)
        if request.method == "DELETE" and name in ("faults", "mishaps"):
            (simulator.faults if name == "faults" else simulator.delivery.mishaps).clear()
            return answer(200, {})
        if request.method != "POST":
            return answer(405, _error(f"{request.method} is not possible here"))
        if name not in VERBS:
            return answer(404, _error(f"no such verb; there are {', '.join(VERBS)}"))
        given = _body(request)
        known = given if name in TAKES_ANY else arguments(VERBS[name], given)
        try:
            told = VERBS[name](simulator, **known)
        finally:
            settle()
        return answer(200, told or summary(simulator))
    except CardDeclined as declined:
        return answer(402, _error(str(declined), code=declined.code, decline_code=declined.decline_code))
    except (SimulatorError, ApiError, ValueError, OverflowError) as refusal:
        return answer(400, _error(str(refusal)))


def answer(status: int, body: Json) -> Reply:
    """A reply with a JSON body."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Reply(status, headers, json.dumps(body, indent=2).encode())


def summary(simulator: StripeSimulator) -> Json:
    """How things stand: the time, how many objects of each kind, and what became of the webhooks."""
    state = simulator.state
    deliveries = simulator.deliveries
    with state.world.lock:
        counts = {kind: len(table) for kind, table in sorted(state.world.tables.items()) if len(table)}
        clocks = {name: _iso(clock.datetime()) for name, clock in state.world.clocks.items()}
    return {
        "now": _iso(simulator.now),
        "clocks": clocks,
        "objects": counts,
        "events": len(simulator.events),
        "requests": len(simulator.requests),
        "violations": len(simulator.violations),
        "faults": len(simulator.faults),
        "webhooks": {
            "delivered": sum(each.delivered for each in deliveries),
            "waiting": sum(not each.delivered for each in deliveries),
        },
    }


def _answer_get(simulator: StripeSimulator, name: str) -> Reply:
    if name == "":
        return answer(200, summary(simulator))
    if name == "settings":
        return answer(200, settings(simulator))
    if name == "events":
        return answer(200, {"data": list(simulator.events)})
    if name == "deliveries":
        rows = [
            {
                "event": e.event_id,
                "endpoint": e.target,
                "attempts": e.attempts,
                "delivered": e.delivered,
                "error": _text(e.error),
            }
            for e in simulator.deliveries
        ]
        return answer(200, {"data": rows})
    if name == "violations":
        found = [{"method": v.method, "path": v.path, "errors": list(v.errors)} for v in simulator.violations]
        return answer(200, {"data": found})
    if name == "requests":
        asked = [
            {"method": r.method, "path": r.path, "params": r.params, "status": r.status} for r in simulator.requests
        ]
        return answer(200, {"data": asked})
    return answer(404, _error("there are events, deliveries, requests, violations and settings"))


def _body(request: Request) -> Json:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise SimulatorError("send content-type: application/json")
    given: object = json.loads(request.body or b"{}")
    if not isinstance(given, dict):
        raise SimulatorError("send a JSON object")
    return cast("Json", given)


def _error(message: str, **more: str | None) -> Json:
    return {"error": {"message": message, **{name: value for name, value in more.items() if value}}}


def _text(error: Exception | None) -> str | None:
    return None if error is None else str(error)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
