"""Setting units aside over HTTP, through every integration: by whom they are settled or released, and how often."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .sites import JSON, KINDS, USER, Answer, Sent, Site, sites

OTHER = {"authorization": "Bearer user_2"}
Post = Callable[..., Answer]


@pytest.fixture(scope="module")
def every() -> Iterator[dict[str, Site]]:
    """All sites, shared by the tests of this module."""
    with sites() as made:
        yield made


@pytest.fixture(params=KINDS)
def post(request: pytest.FixtureRequest, every: dict[str, Site]) -> Post:
    """Posts members to a route of one of them, as a program that is signed in."""
    site = every[request.param]

    def send(name: str, who: dict[str, str] = USER, key: str | None = None, **members: Any) -> Answer:
        given = {} if key is None else {"idempotency-key": key}
        return site(Sent("POST", f"/billing/{name}", {**who, **JSON, **given}, json.dumps(members).encode()))

    return send


def reserved(post: Post, quantity: int, **named: Any) -> str:
    """The id of a new reservation."""
    answer = post("reserve", feature="messages", quantity=quantity, **named)
    assert (200, quantity) == (answer.status, answer.json["held"]), answer.body
    name: str = answer.json["reservationId"]
    return name


def used(post: Post) -> tuple[int, int]:
    """What is used and held of the feature."""
    found = post("check", feature="messages").json
    return found["used"], found["held"]


def test_what_was_used_is_settled_and_the_rest_is_free(post: Post) -> None:
    """Once, however often it is said, and with one quantity."""
    before, _ = used(post)
    name = reserved(post, 5)
    assert (before, 5) == used(post)

    first = post("settle", reservationId=name, quantity=3)
    again = post("settle", reservationId=name, quantity=3)
    other = post("settle", reservationId=name, quantity=4)
    late = post("release", reservationId=name)

    assert [200, 200, 409, 409] == [each.status for each in (first, again, other, late)]
    assert ["IDEMPOTENCY_MISMATCH", "HOLD_SETTLED"] == [other.code, late.code]
    assert (0, 3, False) == (first.json["held"], first.json["usage"]["funded"], first.json["usage"]["replayed"])
    assert again.json["usage"] == {**first.json["usage"], "replayed": True}
    assert (before + 3, 0) == used(post)


def test_without_a_quantity_everything_is_settled(post: Post) -> None:
    """As where a `with` block ends well."""
    before, _ = used(post)

    answer = post("settle", reservationId=reserved(post, 2))

    assert (2, before + 2) == (answer.json["usage"]["quantity"], answer.json["balance"]["used"])


def test_what_was_not_used_is_released(post: Post) -> None:
    """Once, and then it cannot be settled."""
    before = used(post)
    name = reserved(post, 5)

    answers = [post("release", reservationId=name), post("release", reservationId=name)]
    late = post("settle", reservationId=name)

    assert [(200, 0), (200, 0)] == [(each.status, each.json["held"]) for each in answers]
    assert (409, "HOLD_RELEASED") == (late.status, late.code)
    assert before == used(post)


def test_a_key_gives_one_reservation(post: Post) -> None:
    """The same again, as it stands by then; another one under the key is refused."""
    name = reserved(post, 2, key="once")

    again = post("reserve", feature="messages", quantity=2, key="once")
    assert (name, 2) == (again.json["reservationId"], again.json["held"])
    assert 409 == post("reserve", feature="messages", quantity=3, key="once").status
    post("release", reservationId=name)
    over = post("reserve", feature="messages", quantity=2, key="once")
    assert (name, 0) == (over.json["reservationId"], over.json["held"])


def test_a_reservation_is_its_references_own(post: Post) -> None:
    """Nobody else finds it, not by naming the owner either."""
    name = reserved(post, 1)

    for route in ("settle", "release"):
        assert (404, "HOLD_NOT_FOUND") == ((found := post(route, OTHER, reservationId=name)).status, found.code)
        assert "REFERENCE_ID_NOT_ALLOWED" == post(route, OTHER, reservationId=name, referenceId="user_1").code

    assert 200 == post("release", reservationId=name).status


def test_more_than_there_is_is_refused(post: Post) -> None:
    """With the reason and how much is left."""
    answer = post("reserve", feature="messages", quantity=10**9)

    assert (402, "INSUFFICIENT_BALANCE") == (answer.status, answer.code)
    assert answer.json["remaining"] < 10**9
