"""The object oracle: Stripe's own fixtures pass, damaged ones do not."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kernia_billing.testing.oracle import ObjectOracle, object_oracle

RESOURCES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "stripe-fixtures.json").read_text())[
    "resources"
]
OLDER_THAN_THE_PACKAGE = {
    "account_session",
    "billing_portal.configuration",
    "customer_session",
    "dispute",
    "invoice",
    "reserve.hold",
    "reserve.plan",
    "reserve.release",
    "subscription_schedule",
}
"""Fixtures of an earlier version, in which fields were added or removed since."""


def _oracle() -> ObjectOracle:
    oracle = object_oracle()
    assert oracle is not None
    return oracle


def test_fixtures_pass_but_for_those_that_changed() -> None:
    """Of Stripe's published objects exactly those complain that the current version changed."""
    names = set(_oracle().classes.names())
    known = {name: value for name, value in RESOURCES.items() if value.get("object") in names}

    complaining = {name for name, value in known.items() if _oracle().check(value)}

    assert OLDER_THAN_THE_PACKAGE == complaining
    assert len(known) > 120


@pytest.mark.parametrize(
    ("name", "path", "value", "complaint"),
    [
        ("customer", ("emial",), "x", "emial: unknown field"),
        ("customer", ("created",), "now", "created: 'now' is not an integer"),
        ("customer", ("livemode",), 1, "livemode: 1 is not a bool"),
        ("customer", ("tax_exempt",), "some", "tax_exempt: 'some' not in"),
        ("price", ("currency",), None, "currency: null, but the field is not nullable"),
        ("price", ("unit_amount_decimal",), "ten", "unit_amount_decimal: 'ten' is not a decimal string"),
        ("price", ("recurring", "interval"), "monthly", "recurring.interval: 'monthly' not in"),
        ("subscription", ("status",), "live", "status: 'live' not in"),
        ("subscription", ("items",), [], "items: expected a list object"),
        ("subscription", ("items", "data", 0, "price", "active"), "yes", "items.data[0].price.active: 'yes' is not"),
        ("subscription", ("current_period_end",), 1, "current_period_end: unknown field"),
        ("checkout.session", ("ui_mode",), "hosted", "ui_mode: 'hosted' not in"),
        ("payment_method", ("card", "last4"), 4242, "card.last4: 4242 is not a string"),
        ("charge", ("metadata",), {"a": 1}, "metadata.a: 1 is not a string"),
    ],
)
def test_damage_is_named(name: str, path: tuple[str | int, ...], value: object, complaint: str) -> None:
    """A field that is unknown, mistyped, null or outside its enum is found wherever it is."""
    damaged: Any = deepcopy(RESOURCES[name])
    node = damaged
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value

    errors = _oracle().check(damaged)

    assert any(error.startswith(complaint) for error in errors), errors


@pytest.mark.parametrize("name", ["customer", "price", "product", "subscription", "payment_intent"])
def test_required_fields_are_missed(name: str) -> None:
    """An object without its creation time or livemode is not one of Stripe's."""
    damaged = {key: value for key, value in RESOURCES[name].items() if key != "livemode"}

    assert "livemode: required field missing" in _oracle().check(damaged)


def test_events_are_checked_inside() -> None:
    """The object of an event is judged as well as the event."""
    event = {**deepcopy(RESOURCES["event"]), "data": {"object": {**RESOURCES["price"], "active": "yes"}}}

    assert ["data.object.active: 'yes' is not a bool"] == _oracle().check_event(event)


def test_unknown_objects_are_refused() -> None:
    """An object that no class stands for is a complaint, not a pass."""
    assert ["no class for object 'gift_card'"] == _oracle().check({"object": "gift_card"})
