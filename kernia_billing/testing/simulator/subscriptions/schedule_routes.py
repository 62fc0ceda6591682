"""The subscription schedule endpoints.

Not modelled: schedules that begin in the past, send invoices or pause subscriptions, the end behaviours `none` and
`renew`, and discounts, tax rates and invoice items of phases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..invoices import proration
from ..payments import payment_methods
from ..world.errors import Json, invalid, not_modelled
from ..world.events import emit, updating
from . import changes, ending, schedule_phases, schedules, starting, subscriptions

if TYPE_CHECKING:
    from ..world.world import World

_SETTINGS = fields.fields(
    billing_cycle_anchor=fields.one_of("automatic", "phase_start"),
    collection_method=fields.one_of("charge_automatically", "charge_automatically"),
    default_payment_method=fields.text,
    description=fields.clearable(fields.text_up_to(500)),
)
_FIELDS: dict[str, fields.Reader] = {
    "default_settings": _SETTINGS,
    "end_behavior": fields.one_of("cancel", "release"),
    "metadata": fields.metadata,
    "phases": fields.list_of(schedule_phases.PHASE),
}


def _create(world: World, call: Call) -> Json:
    params = call.params
    if "from_subscription" in params:
        return _create_from(world, params)
    for name in ("customer", "phases"):
        if name not in params:
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    customer = customers.live(world, params["customer"])
    now = world.clock.seconds()
    start = now if params.get("start_date", "now") == "now" else params["start_date"]
    if start < now:
        raise not_modelled("a schedule that begins in the past", "start_date")
    mode = params.get("billing_mode", {})
    phases = schedule_phases.read(world, customer, params, start, flexible=mode.get("type", "flexible") == "flexible")
    customers.settle_currency(customer, phases[0]["currency"], "phases")
    schedule = _blank(world, customer["id"], params, phases)
    world.table("subscription_schedule").add(schedule)
    if start == now:
        schedules.begin(world, schedule)
    emit(world, "subscription_schedule.created", schedule)
    schedules.plan(world, schedule)
    return schedule


def _create_from(world: World, params: Json) -> Json:
    """A schedule of one phase: the current period of a subscription, with what it sells."""
    others = set(params) - {"from_subscription"}
    if others:
        name = min(others)
        raise invalid(f"You cannot set `{name}` if `from_subscription` is set.", name)
    subscription = world.table("subscription").get(params["from_subscription"], "from_subscription")
    if subscription["schedule"] is not None:
        message = f"The subscription is already attached to a schedule: `{subscription['schedule']}`."
        raise invalid(message, "from_subscription")
    if subscription["status"] in (*subscriptions.ENDED, "incomplete", "paused"):
        raise invalid(f"A subscription that is {subscription['status']} cannot be scheduled.", "from_subscription")
    if subscription["collection_method"] != "charge_automatically":
        raise not_modelled("a schedule of a subscription whose invoices are sent", "from_subscription")
    period = subscriptions.period_of(world, subscription)
    phase = schedule_phases.blank(subscription["currency"], period) | {
        "items": [
            schedule_phases.item(item["price"], item["quantity"], item["metadata"])
            for item in subscriptions.items_of(world, subscription)
        ],
        "metadata": dict(subscription["metadata"]),
        "trial_end": subscription["trial_end"] if subscription["status"] == "trialing" else None,
    }
    ends = {"end_behavior": "cancel"} if subscription["cancel_at"] is not None else {}
    schedule = _blank(world, subscription["customer"], ends, [phase]) | {
        "billing_mode": dict(subscription["billing_mode"]),
        "status": "active",
        "current_phase": {"start_date": period[0], "end_date": period[1]},
    }
    world.table("subscription_schedule").add(schedule)
    with updating(world, subscription, "customer.subscription.updated"):
        schedules.attach(schedule, subscription)
    emit(world, "subscription_schedule.created", schedule)
    schedules.plan(world, schedule)
    return schedule


def _update(world: World, call: Call) -> Json:
    schedule = _alive(world, call, "updated")
    params = call.params
    customer = world.table("customer").get(schedule["customer"])
    metadata = fields.merge_metadata(schedule["metadata"], params.get("metadata"))
    settings = _settings(world, customer["id"], params)
    phases = _new_phases(world, schedule, customer, params) if "phases" in params else schedule["phases"]
    behavior: proration.Behavior = params.get("proration_behavior", "create_prorations")
    with updating(world, schedule, "subscription_schedule.updated"):
        schedule |= {"metadata": metadata, "phases": phases}
        schedule["end_behavior"] = params.get("end_behavior", schedule["end_behavior"])
        schedule["default_settings"] |= settings
        _follow(world, schedule, behavior, changed="phases" in params)
    schedules.plan(world, schedule)
    return schedule


def _follow(world: World, schedule: Json, behavior: proration.Behavior, *, changed: bool) -> None:
    """Let the subscription follow phases that were changed."""
    if schedule["status"] != "active" or not changed:
        return
    subscription = world.table("subscription").get(schedule["subscription"])
    now = world.clock.seconds()
    started = next(
        phase for phase in schedule["phases"] if phase["start_date"] == schedule["current_phase"]["start_date"]
    )
    schedule["current_phase"]["end_date"] = started["end_date"]
    if started["end_date"] <= now:
        schedules.step(world, subscription, now)
    else:
        schedules.change_now(world, schedule, behavior)


def _new_phases(world: World, schedule: Json, customer: Json, params: Json) -> list[Json]:
    first: Json = params["phases"][0] if params["phases"] else {}
    start = first.get("start_date")
    if start is None:
        message = (
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates to."
        )
        raise invalid(message, "phases")
    now = world.clock.seconds()
    start = now if start == "now" else start
    current: Json | None = schedule["current_phase"]
    past = [phase for phase in schedule["phases"] if current and phase["end_date"] <= current["start_date"]]
    known = {phase["start_date"] for phase in past} | ({current["start_date"]} if current else set[int]())
    if current is not None and start not in known:
        message = "The subscription schedule has already started: the start of its current phase cannot be changed."
        raise invalid(message, "phases[0][start_date]")
    if current is None and start < now:
        raise not_modelled("a schedule that begins in the past", "phases[0][start_date]")
    flexible = schedule["billing_mode"]["type"] == "flexible"
    made = schedule_phases.read(world, customer, params, start, flexible=flexible)
    if current is not None and current["start_date"] not in {phase["start_date"] for phase in made}:
        raise invalid("You cannot remove the current phase of a subscription schedule.", "phases")
    return [*(phase for phase in past if phase["start_date"] < start), *made]


def _settings(world: World, customer: str, params: Json) -> Json:
    given: Json = dict(params.get("default_settings", {}))
    if "default_payment_method" in given:
        param = "default_settings[default_payment_method]"
        payment_methods.of_customer(world, given["default_payment_method"], customer, param)
    if "description" in given:
        given["description"] = given["description"] or None
    return given


def _cancel(world: World, call: Call) -> Json:
    schedule = _alive(world, call, "canceled")
    params = call.params
    subscription = world.table("subscription").rows.get(schedule["subscription"] or "")
    if subscription is None:
        schedule |= {"status": "canceled", "canceled_at": world.clock.seconds()}
        emit(world, "subscription_schedule.canceled", schedule)
    else:
        prorate, invoice_now = params.get("prorate", True), params.get("invoice_now", True)
        ending.end_now(world, subscription, prorate=prorate, invoice_now=invoice_now)
    return schedule


def _release(world: World, call: Call) -> Json:
    schedule = _alive(world, call, "released")
    schedules.release(world, schedule)
    return schedule


def _alive(world: World, call: Call, what: str) -> Json:
    schedule = world.table("subscription_schedule").get(call.ids[0], in_path=True)
    if schedule["status"] not in schedules.ALIVE:
        raise invalid(
            f"You cannot have a subscription schedule {what} that is currently in the `{schedule['status']}` status. "
            "It must be `not_started` or `active`."
        )
    return schedule


def _retrieve(world: World, call: Call) -> Json:
    return world.table("subscription_schedule").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    found = lists.filtered(world.table("subscription_schedule"), customer=params.get("customer"))
    if params.get("scheduled"):
        found = [row for row in found if row["status"] == "not_started"]
    for name in ("canceled_at", "completed_at", "released_at"):
        if name in params:
            found = [row for row in found if row[name] is not None and fields.in_range(row[name], params[name])]
    return lists.page(lists.created_in(found, params), call, kind="subscription schedule")


def _blank(world: World, customer: str, params: Json, phases: list[Json]) -> Json:
    now = world.clock.seconds()
    mode: Json = params.get("billing_mode", {})
    shown = mode.get("flexible", {}).get("proration_discounts", "included")
    return {
        "id": world.ids.new("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": subscriptions.billing_mode(mode.get("type", "flexible"), shown, now),
        "canceled_at": None,
        "completed_at": None,
        "created": now,
        "current_phase": None,
        "customer": customer,
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "days_until_due": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
            **_settings(world, customer, params),
        },
        "end_behavior": params.get("end_behavior", "release"),
        "livemode": False,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "pause_schedules": [],
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
    }


ROUTES = (
    Route(
        "POST",
        "/v1/subscription_schedules",
        _create,
        {
            **_FIELDS,
            "billing_mode": starting.BILLING_MODE,
            "customer": fields.text,
            "from_subscription": fields.text,
            "start_date": changes.moment_or("now"),
        },
    ),
    Route(
        "GET",
        "/v1/subscription_schedules",
        _list,
        {
            "canceled_at": fields.range_of_time,
            "completed_at": fields.range_of_time,
            "created": fields.range_of_time,
            "customer": fields.text,
            "released_at": fields.range_of_time,
            "scheduled": fields.boolean,
        },
        lists=True,
    ),
    Route("GET", "/v1/subscription_schedules/{id}", _retrieve),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}",
        _update,
        {**_FIELDS, "proration_behavior": changes.PRORATION},
    ),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}/cancel",
        _cancel,
        {"invoice_now": fields.boolean, "prorate": fields.boolean},
    ),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}/release",
        _release,
        {"preserve_cancel_date": fields.boolean},
    ),
)
