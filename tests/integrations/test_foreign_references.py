"""Two users and two organizations, every route, every id swapped: nothing of another is read or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import define, field, frozen

from kernia_billing import Identity
from kernia_billing.http.decoding import fields_of
from kernia_billing.http.routes import ROUTES, Route
from tests.http.test_judgement import MINIMAL

from .sites import JSON, KINDS, Answer, Sent, Site, Till, sites

MAY = {("user_1", "org_1"), ("user_2", "org_2")}
SCOPED = [route for route in ROUTES if route.scoped]
EACH_KIND = [
    pytest.param(kind, marks=pytest.mark.full if "under" in kind or kind == "starlette" else ()) for kind in KINDS
]
"""Every integration in every run, and mounted elsewhere in full ones."""
VICTIMS: tuple[Mapping[str, str], ...] = (
    {"referenceId": "user_1", "customerType": "user"},
    {"referenceId": "org_1", "customerType": "organization"},
)


def may(identity: Identity, reference: str, _action: str) -> bool:
    """`authorize_reference`: each user has an organization."""
    return (identity.user_id, reference) in MAY


@frozen
class Attempt:
    """What the attacker sends besides what the route needs, and where it stands."""

    members: Mapping[str, str]
    query: Mapping[str, str] = field(factory=dict[str, str])

    def __str__(self) -> str:
        return f"{dict(self.members)} ? {dict(self.query)}"


@define
class Place:
    """A site at which user_1 and org_1 have something that user_2 must not see or change."""

    site: Site
    till: Till
    ids: dict[str, list[str]] = field(factory=dict[str, list[str]])

    def send(
        self, route: tuple[str, str], members: Mapping[str, Any], by: str, query: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; the members stand in the body, or on GET in the query."""
        method, path = route
        query = query or {}
        headers = {"authorization": f"Bearer {by}"}
        if method == "GET":
            return self.site(Sent("GET", f"{path}?{urlencode({**members, **query})}", headers))
        target = path + (f"?{urlencode(query)}" if query else "")
        return self.site(Sent("POST", target, {**headers, **JSON}, json.dumps(members).encode()))

    def set_up(self) -> None:
        """Both users, and both organizations, buy a plan, set units aside and use some; one more page is open."""
        for user in ("user_1", "user_2"):
            whose: dict[str, str]
            for whose in ({}, {"referenceId": user.replace("user", "org"), "customerType": "organization"}):
                page = self.send(("POST", "/subscription/upgrade"), {"plan": "pro", **whose}, user)
                assert page.status == 200, page.body
                self.till.pay(page.json["url"])
                (row,) = self.send(("GET", "/subscription/list"), whose, user).json
                held = self.send(("POST", "/billing/reserve"), {"feature": "projects", "quantity": 2, **whose}, user)
                assert held.status == 200, held.body
                used = self.send(("POST", "/billing/track"), {"feature": "projects", **whose}, user)
                if user == "user_1":
                    self._note(row, page, held, used)
        known = self.till.stripe.state.world
        for kind, name in (("invoice", "invoiceId"), ("subscription_schedule", "scheduleId")):
            theirs = [str(key) for key, each in known.table(kind).rows.items() if each["customer"] in self.customers]
            self.ids[name] = theirs or [f"{kind}_1"]

    @property
    def customers(self) -> set[str]:
        """The Stripe customers that belong to the victims."""
        rows = self.till.stripe.state.world.table("customer").rows.values()
        return {each["id"] for each in rows if each["metadata"]["referenceId"] in ("user_1", "org_1")}

    def _note(self, row: Any, page: Answer, held: Answer, used: Answer) -> None:
        for name, value in (
            ("subscriptionId", row["id"]),
            ("subscriptionId", row["stripeSubscriptionId"]),
            ("reservationId", held.json["reservationId"]),
            ("sessionId", page.json["id"] if "id" in page.json else page.json["url"].rpartition("/")[2]),
            ("eventId", used.json["eventId"]),
        ):
            self.ids.setdefault(name, []).append(value)
        self.ids["checkoutSessionId"] = self.ids["sessionId"]

    def told(self) -> list[Any]:
        """All that the victims are told of what they have, and what Stripe has of them."""
        answers = [
            self.send((route.method, route.path), {**minimal(route), **whose}, "user_1")
            for route in SCOPED
            if route.safe and "{" not in route.path
            for whose in VICTIMS
        ]
        world = self.till.stripe.state.world
        kinds = (
            "customer",
            "subscription",
            "subscription_item",
            "subscription_schedule",
            "checkout.session",
            "invoice",
        )
        objects = [{key: dict(value) for key, value in world.table(kind).rows.items()} for kind in kinds]
        theirs = self.customers
        kept = [{k: v for k, v in table.items() if v.get("customer", k) in theirs} for table in objects]
        return [*((each.status, each.body) for each in answers), repr(kept)]


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Place]]:
    """Every site, with what is to be protected."""
    tills: list[Till] = []
    with sites(tills, authorize_reference=may) as made:
        found = {kind: Place(made[kind], till) for kind, till in zip(KINDS, tills, strict=True)}
        for each in found.values():
            each.set_up()
        yield found


def minimal(route: Route) -> dict[str, Any]:
    """What a route needs to be called at all."""
    return dict(MINIMAL.get(route.path, {}))


def swapped(route: Route, place: Place) -> Iterator[Attempt]:
    """Everything that may be swapped: the reference in the body and in the query, and every id that the route takes."""
    for victim in VICTIMS:
        yield Attempt(victim)
        yield Attempt({}, victim)
        yield Attempt({"referenceId": victim["referenceId"]})
    own = {"referenceId": "org_2", "customerType": "organization"}
    names = [each.encode_name for each in fields_of(route.wire) if each.encode_name.endswith("Id")]
    for name in names:
        if name not in ("referenceId", "entityId"):
            assert name in place.ids, f"this test does not know what {name} is: teach it"
            for value in place.ids[name]:
                yield Attempt({name: value})
                yield Attempt({name: value, **own})


@pytest.mark.parametrize("route", SCOPED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("kind", EACH_KIND)
def test_nothing_of_another_is_read_or_changed(places: dict[str, Place], kind: str, route: Route) -> None:
    """A foreign reference is refused, a foreign id is "not found", and whoever they belong to has what they had."""
    place = places[kind]
    before = place.told()
    for attempt in swapped(route, place):
        members = {**minimal(route), **attempt.members}
        paths = [route.path]
        if "{" in route.path:
            before_id, _, rest = route.path.partition("{")
            paths = [f"{before_id}{each}{rest.partition('}')[2]}" for each in place.ids["invoiceId"]]
        for path in paths:
            answer = place.send((route.method, path), members, "user_2", attempt.query)
            asked = {**attempt.members, **attempt.query}
            foreign = asked.get("referenceId") in ("user_1", "org_1")
            if foreign or "{" in route.path or set(asked) - {"referenceId", "customerType"}:
                assert 400 <= answer.status < 500, (str(attempt), answer.body)
            if foreign:
                assert answer.status == 401, (str(attempt), answer.body)
            assert b"user_1" not in answer.body
            assert b"org_1" not in answer.body
    assert place.told() == before


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_and_missing_look_alike(places: dict[str, Place], kind: str) -> None:
    """S13: the answer to an id of another's is the answer to an id of nobody's."""
    place = places[kind]
    for path, name in (("/subscription/upgrade", "subscriptionId"), ("/billing/settle", "reservationId")):
        body = {**MINIMAL[path], "quantity": 1} if "settle" in path else dict(MINIMAL[path])
        answers = {
            (found.status, found.json["code"], found.json["message"])
            for value in (*place.ids[name], "sub_nobody", "hold_nobody")
            for found in [place.send(("POST", path), {**body, name: value}, "user_2")]
        }
        assert len(answers) == 1, answers


def test_every_route_with_a_session_is_about_a_reference_or_says_why_not() -> None:
    """A route that needs a session and has no action for a reference shows nothing that belongs to anybody."""
    others = [route for route in ROUTES if route.needs_session and not route.scoped]
    about_nobody = {route.path for route in others if route.action != "admin"}

    assert about_nobody == {"/stripe/products", "/stripe/prices"}
