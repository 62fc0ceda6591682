"""The control API under `/_simulator/`: what a test says to a simulator that runs as a server, as JSON.

`GET /_simulator/` tells how things stand. Everything else is a POST with a JSON object (and `content-type:
application/json`, which no page of another site can send): the verbs of `StripeSimulator` with their arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from ..errors import ApiError, CardDeclined, Json, SimulatorError
from ..facade import StripeSimulator
from ..faults import Fault
from ..wire import Reply, Request

PREFIX = "/_simulator/"

Arguments = Mapping[str, Any]
Verb = Callable[[StripeSimulator, Arguments], Json]


def control(simulator: StripeSimulator, request: Request) -> Reply:
    """Answer a request to the control API."""
    name = request.path.removeprefix(PREFIX).strip("/")
    try:
        if request.method in ("GET", "HEAD"):
            return _answer_get(simulator, name, request)
        if request.method == "DELETE" and name == "faults":
            simulator.faults.clear()
            return answer(200, {})
        if request.method != "POST":
            return answer(405, _error(f"{request.method} is not possible here"))
        if name not in _VERBS:
            return answer(404, _error(f"no such verb; there are {', '.join(_VERBS)}"))
        return answer(200, _VERBS[name](simulator, _arguments(request)))
    except CardDeclined as declined:
        return answer(402, _error(str(declined), code=declined.code, decline_code=declined.decline_code))
    except (SimulatorError, ApiError, TypeError, ValueError) as refusal:
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


def _answer_get(simulator: StripeSimulator, name: str, request: Request) -> Reply:
    if name == "":
        return answer(200, summary(simulator))
    if name == "events":
        return answer(200, {"data": list(simulator.events)})
    if name == "deliveries":
        rows = [
            {"event": e.event_id, "attempts": e.attempts, "delivered": e.delivered, "error": _text(e.error)}
            for e in simulator.deliveries
        ]
        return answer(200, {"data": rows})
    if name == "violations":
        found = [{"method": v.method, "path": v.path, "errors": list(v.errors)} for v in simulator.violations]
        return answer(200, {"data": found})
    return answer(404, _error("there are events, deliveries and violations"))


def _arguments(request: Request) -> Arguments:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise SimulatorError("send content-type: application/json")
    given: object = json.loads(request.body or b"{}")
    if not isinstance(given, dict):
        raise SimulatorError("send a JSON object")
    return cast("Arguments", given)


def _advance(simulator: StripeSimulator, given: Arguments) -> Json:
    known = {name: given[name] for name in ("months", "days", "hours") if name in given}
    if not all(isinstance(value, int) for value in known.values()):
        raise SimulatorError("months, days and hours are whole numbers")
    _refuse_others(given, *known, "customer")
    simulator.advance(**known, reference=given.get("customer"))
    return summary(simulator)


def _pay(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "checkout", "card")
    simulator.pay(_word(given, "checkout"), card=str(given.get("card", "4242424242424242")))
    return {}


def _expire(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "checkout")
    simulator.expire(_word(given, "checkout"))
    return {}


def _portal(simulator: StripeSimulator, given: Arguments) -> Json:
    choices = {name: str(value) for name, value in given.items() if name not in ("session", "action", "subscription")}
    simulator.portal(_word(given, "session"), _word(given, "action"), subscription=given.get("subscription"), **choices)
    return {}


def _settle(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "of", "succeeds")
    simulator.settle(_word(given, "of"), succeeds=given.get("succeeds"))
    return {}


def _authenticate(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "of", "passes")
    simulator.authenticate(_word(given, "of"), passes=bool(given.get("passes", True)))
    return {}


def _use_card(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "customer", "card")
    simulator.use_card(_word(given, "customer"), _word(given, "card"))
    return {}


def _collect(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "customer")
    simulator.collect(_word(given, "customer"))
    return {}


def _deliver(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "events")
    simulator.deliver(*map(str, given.get("events", ())))
    return summary(simulator)


def _add_price(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "id", "amount", "currency", "interval", "metered", "product")
    amount = given.get("amount")
    if not isinstance(amount, int):
        raise SimulatorError("amount: is needed, in minor units")
    more = {name: given[name] for name in ("currency", "interval", "metered", "product") if name in given}
    simulator.add_price(_word(given, "id"), amount, **more)
    return {"id": given["id"]}


def _add_product(simulator: StripeSimulator, given: Arguments) -> Json:
    _refuse_others(given, "name", "id")
    return {"id": simulator.add_product(_word(given, "name"), id=given.get("id"))}


def _add_fault(simulator: StripeSimulator, given: Arguments) -> Json:
    simulator.faults.append(Fault(**given))
    return {"faults": len(simulator.faults)}


_VERBS: dict[str, Verb] = {
    "advance": _advance,
    "pay": _pay,
    "expire": _expire,
    "portal": _portal,
    "settle": _settle,
    "authenticate": _authenticate,
    "use_card": _use_card,
    "collect": _collect,
    "deliver": _deliver,
    "prices": _add_price,
    "products": _add_product,
    "faults": _add_fault,
}


def _word(given: Arguments, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise SimulatorError(f"{name}: is needed")
    return value


def _refuse_others(given: Arguments, *known: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SimulatorError(f"{unknown[0]}: unknown; there are {', '.join(known) or 'no arguments'}")


def _error(message: str, **more: str | None) -> Json:
    return {"error": {"message": message, **{name: value for name, value in more.items() if value}}}


def _text(error: Exception | None) -> str | None:
    return None if error is None else str(error)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
