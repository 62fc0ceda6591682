"""What a customer does in the portal: cancel, change the plan, pause, give another card, correct the address.

Every change is made through the endpoint that an application would call, so that the same rules hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..catalog import prices
from ..customers import customers
from ..payments import payment_methods, setup_intents
from ..payments.cards import card as card_of_number
from ..state import State
from ..subscriptions import pausing, subscriptions
from ..world.clock import add_interval
from ..world.errors import ApiError, CardDeclined, Json, SimulatorError
from ..world.events import updating
from ..world.ownership import clock_of
from ..world.tables import nested
from .actions import Script, after_action, catch_up

if TYPE_CHECKING:
    from ..world.world import World

Choices: TypeAlias = Mapping[str, str]
"""What the customer filled in, by the names of the fields."""
_Act: TypeAlias = "Callable[[State, Json, str, Choices], None]"

_FEATURES = {
    "cancel": "subscription_cancel",
    "renew": "subscription_cancel",
    "update": "subscription_update",
    "pause": "subscription_pause",
    "resume": "subscription_pause",
    "payment_method": "payment_method_update",
    "customer": "customer_update",
}
"""The actions, with the feature of the configuration that allows each."""
_SESSION_ID = re.compile(r"bps_\w+")
ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


def in_portal(state: State, opened: object, action: str, subscription: str | None, choices: Choices) -> Script:
    """`act` in the session that is meant by its id, by a URL that holds it, or by an answer that has a URL.

    Raises:
        SimulatorError: none is meant, or as `act`.
    """
    found = _SESSION_ID.search(str(opened if isinstance(opened, str) else getattr(opened, "url", "")))
    if found is None or found[0] not in state.world.table("billing_portal.session").rows:
        raise SimulatorError(f"not a portal session of this simulator: {opened!r}")
    yield from act(state, found[0], action, subscription, choices)


def act(state: State, session_id: str, action: str, subscription: str | None, choices: Choices) -> Script:
    """Do something in a portal session; without a subscription, to the one that the customer has.

    Raises:
        CardDeclined: a new card did not pass its check.
        SimulatorError: the configuration does not allow it, or it cannot be done.
    """
    world = state.world
    with world.lock:
        catch_up(state)
        session = world.table("billing_portal.session").get(session_id)
        allowed(world, session, action)
        try:
            target = subscription_of(world, session, subscription) if _is_of_subscription(action) else ""
            with world.on_clock(clock_of(world, session)):
                _ACTS[action](state, session, target, choices)
        except ApiError as refusal:
            raise SimulatorError(str(refusal)) from refusal
        session["_done"] = action
    yield from after_action(state)


def features_of(world: World, session: Json) -> Json:
    """What the configuration of a session allows."""
    found: Json = world.table("billing_portal.configuration").get(session["configuration"])["features"]
    return found


def allowed(world: World, session: Json, action: str) -> None:
    """See that a session may do something.

    Raises:
        SimulatorError: there is no such action, or its feature is off.
    """
    feature = _FEATURES.get(action)
    if feature is None:
        raise SimulatorError(f"the portal has no action {action!r}: there are {', '.join(_FEATURES)}")
    if not features_of(world, session)[feature]["enabled"]:
        raise SimulatorError(f"the portal's configuration does not allow {feature}")


def subscription_of(world: World, session: Json, id: str | None) -> str:
    """The subscription that is meant: by its id, by the flow of the session, or because there is one only.

    Raises:
        SimulatorError: none is, or it is not the customer's.
    """
    flow = nested(session, "flow")
    id = id or nested(flow, flow.get("type", "")).get("subscription")
    live = [row["id"] for row in subscriptions.live_of(world, session["customer"])]
    if id is None and len(live) == 1:
        return str(live[0])
    if id not in live:
        raise SimulatorError("name one of the customer's subscriptions")
    return str(id)


def offers(world: World, session: Json) -> list[Json]:
    """The prices that the customer may change to."""
    products: list[Json] = features_of(world, session)["subscription_update"]["products"]
    return [world.table("price").get(price) for product in products for price in product["prices"]]


def _is_of_subscription(action: str) -> bool:
    return action not in ("payment_method", "customer")


def _request(state: State, method: str, path: str, params: Mapping[str, Any]) -> Json:
    """Call an endpoint as an application would; parameters are texts, as they come in a form."""
    route = state.api.router.find(method, path)
    return route.handler(state.world, route.call(path, params))


def _cancel(state: State, session: Json, id: str, choices: Choices) -> None:
    world = state.world
    coupon = retention_of(session)
    if choices.get("offer") == "accept" and coupon is not None:
        _request(state, "POST", f"/v1/subscriptions/{id}", {"discounts": [{"coupon": coupon}]})
        return
    feature = features_of(world, session)["subscription_cancel"]
    names = ("feedback", "comment") if feature["cancellation_reason"]["enabled"] else ()
    details = {name: choices[name] for name in names if choices.get(name)}
    params: dict[str, Any] = {"cancellation_details": details} if details else {}
    if feature["mode"] == "immediately":
        if feature["proration_behavior"] != "none":
            params["prorate"] = "true"
        _request(state, "DELETE", f"/v1/subscriptions/{id}", params)
    else:
        _request(state, "POST", f"/v1/subscriptions/{id}", {"cancel_at_period_end": "true", **params})


def retention_of(session: Json) -> str | None:
    """The coupon that a cancel flow offers to those who stay."""
    offer = nested(session, "flow", "subscription_cancel", "retention", "coupon_offer")
    found: str | None = offer.get("coupon")
    return found


def _renew(state: State, _session: Json, id: str, _choices: Choices) -> None:
    _request(state, "POST", f"/v1/subscriptions/{id}", {"cancel_at_period_end": "false"})


def _update(state: State, session: Json, id: str, choices: Choices) -> None:
    """Change the price, the quantity, or both; at once, or at the end of the period where a condition says so."""
    world = state.world
    subscription = world.table("subscription").get(id)
    item = subscriptions.items_of(world, subscription)[0]
    old = world.table("price").get(item["price"])
    new = world.table("price").get(choices.get("price") or old["id"], "price")
    feature = features_of(world, session)["subscription_update"]
    if new["id"] != old["id"] and new["id"] not in [price["id"] for price in offers(world, session)]:
        raise SimulatorError("this price is not offered in the portal")
    quantity = choices.get("quantity") or str(item["quantity"] or 1)
    changed: dict[str, str] = {"price": new["id"]} | ({} if prices.is_metered(new) else {"quantity": quantity})
    _check_allowed(feature, price=new["id"] != old["id"], quantity=quantity != str(item["quantity"] or 1))
    if subscription["status"] != "trialing" and _waits(feature, (old, item["quantity"]), (new, int(quantity))):
        _schedule(state, subscription, changed)
        return
    params: dict[str, Any] = {"items": [{"id": item["id"], **changed}]}
    params["proration_behavior"] = feature["proration_behavior"]
    if feature["billing_cycle_anchor"] is not None:
        params["billing_cycle_anchor"] = {"type": feature["billing_cycle_anchor"]}
    _request(state, "POST", f"/v1/subscriptions/{id}", params | _discounts(session))


def _discounts(session: Json) -> Json:
    """What a confirm flow gives along with the change."""
    given: list[Json] = nested(session, "flow", "subscription_update_confirm").get("discounts") or []
    entries = [{name: value for name, value in entry.items() if value} for entry in given]
    return {"discounts": entries} if entries else {}


def _check_allowed(feature: Json, *, price: bool, quantity: bool) -> None:
    allowed_updates = feature["default_allowed_updates"]
    for name, wanted in (("price", price), ("quantity", quantity)):
        if wanted and name not in allowed_updates:
            raise SimulatorError(f"the portal's configuration does not allow a change of {name}")


def _waits(feature: Json, old: tuple[Json, int | None], new: tuple[Json, int]) -> bool:
    """Whether a change takes place at the end of the period: the amount falls, or the interval gets shorter."""
    wanted = {condition["type"] for condition in feature["schedule_at_period_end"]["conditions"]}
    lengths = [_length(price) for price in (old[0], new[0])]
    amounts = [prices.cost(price, quantity or 1) for price, quantity in (old, new)]
    # Amounts of different intervals are compared by what they come to over the same time.
    falls = amounts[1] * lengths[0] < amounts[0] * lengths[1]
    shorter = lengths[1] < lengths[0]
    return ("decreasing_item_amount" in wanted and falls) or ("shortening_interval" in wanted and shorter)


def _length(price: Json) -> int:
    recurring = price["recurring"]
    return add_interval(0, recurring["interval"], recurring["interval_count"])


def _schedule(state: State, subscription: Json, changed: Mapping[str, str]) -> None:
    """Keep the plan until the end of the period and change it then."""
    path = "/v1/subscription_schedules"
    schedule = _request(state, "POST", path, {"from_subscription": subscription["id"]})
    (current,) = state.world.render(schedule)["phases"]
    items = [
        {"price": item["price"]} | ({"quantity": str(item["quantity"])} if item.get("quantity") else {})
        for item in current["items"]
    ]
    now = {"items": items, "start_date": str(current["start_date"]), "end_date": str(current["end_date"])}
    recurring = state.world.table("price").get(changed["price"])["recurring"]
    length = {"interval": recurring["interval"], "interval_count": str(recurring["interval_count"])}
    later = {"items": [dict(changed)], "duration": length, "proration_behavior": "none"}
    _request(state, "POST", f"{path}/{schedule['id']}", {"phases": [now, later], "end_behavior": "release"})


def _pause(state: State, session: Json, id: str, choices: Choices) -> None:
    world = state.world
    duration = features_of(world, session)["subscription_pause"]["duration"]
    _request(state, "POST", f"/v1/subscriptions/{id}/pause", {})
    if duration["type"] == "interval_options":
        options = duration["interval_options"]
        chosen = options[int(choices.get("duration") or 0) % len(options)]
        back = add_interval(world.clock.seconds(), chosen["interval"], chosen["interval_count"])
        world.table("subscription").get(id)["_resumes_at"] = back
        world.agenda.add(back, _resume_when_due, id)


def _resume_when_due(world: World, id: str) -> None:
    """The pause that was chosen is over, unless another one began since, or its end is being paid for already."""
    subscription = world.table("subscription").get(id)
    back: int | None = subscription["_resumes_at"]
    over = back is not None and back <= world.clock.seconds()
    if over and subscription["status"] == "paused" and subscription["_pending"] is None:
        pausing.come_back(world, subscription)


def _resume(state: State, _session: Json, id: str, _choices: Choices) -> None:
    _request(state, "POST", f"/v1/subscriptions/{id}/resume", {})


def _use_method(state: State, session: Json, _id: str, choices: Choices) -> None:
    """Save a new card and pay with it from now on."""
    world = state.world
    customer = customers.live(world, session["customer"])
    used = card_of_number(choices.get("card", ""))
    refusal = used.refusal(charging=False, present=True, passes=choices.get("authenticate") != "fail")
    if refusal is not None:
        raise CardDeclined(refusal)
    method = payment_methods.new(world, used, email=customer["email"])
    setup_intents.saved(world, method, customer["id"])
    with updating(world, customer, "customer.updated"):
        customer["invoice_settings"]["default_payment_method"] = method["id"]
    for subscription in subscriptions.live_of(world, customer["id"]):
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["default_payment_method"] = method["id"]


def _correct(state: State, session: Json, _id: str, choices: Choices) -> None:
    """Change what the customer may change of their own data."""
    names = features_of(state.world, session)["customer_update"]["allowed_updates"]
    params: dict[str, Any] = {name: choices[name] for name in ("email", "name", "phone") if name in choices}
    address = {name: choices[name] for name in ADDRESS if choices.get(name)}
    if address:
        params["address"] = address
    for name in params:
        if name not in names:
            raise SimulatorError(f"the portal's configuration does not allow a change of {name}")
    _request(state, "POST", f"/v1/customers/{session['customer']}", params)


_ACTS: dict[str, _Act] = {
    "cancel": _cancel,
    "renew": _renew,
    "update": _update,
    "pause": _pause,
    "resume": _resume,
    "payment_method": _use_method,
    "customer": _correct,
}
