"""Gates in the views of each kind of application: who passes, who is refused, and how that is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernia_billing import NotFound
from tests.integrations.gated import KINDS, PAYWALL, Views, gated
from tests.integrations.sites import BROWSER, USER, Sent, Site


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of application."""
    return str(request.param)


@pytest.fixture
def views() -> Views:
    """Nothing ran yet."""
    return Views()


@pytest.fixture
def site(kind: str, views: Views) -> Iterator[Site]:
    """An application with gated views."""
    with gated(kind, views) as made:
        yield made


def test_who_may_pass_passes(site: Site, views: Views) -> None:
    """Up to the last unit, and for everything but the gate's own check nothing is counted."""
    for _ in range(5):
        assert site(Sent("GET", "/last", USER)).status == 200
    assert site(Sent("POST", "/open", USER)).status == 200
    assert views.ran == ["/last"] * 5 + ["/open"]


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/too-many", "INSUFFICIENT_BALANCE", "insufficient_balance"),
        ("/not-in-plan", "FEATURE_DENIED", "not_entitled"),
        ("/subscribed", "SUBSCRIPTION_REQUIRED", "subscription_required"),
    ],
)
def test_who_may_not_pass_is_refused(site: Site, views: Views, path: str, code: str, reason: str) -> None:
    """402 with JSON for programs, a redirect to the paywall for people, and the view never runs."""
    program = site(Sent("GET", path, {**USER, "accept": "application/json"}))
    form = site(Sent("POST", path, {**USER, **BROWSER}))
    person = site(Sent("GET", path, {**USER, **BROWSER}))

    assert (program.status, program.code) == (402, code)
    assert program.json.get("reason", reason) == reason
    assert program.headers["content-type"] == "application/json"
    assert (form.status, form.code) == (402, code)
    assert (person.status, person.headers["location"]) == (302, f"{PAYWALL}&reason={reason}")
    assert person.headers["cache-control"] == "no-store"
    assert views.ran == []


@pytest.mark.parametrize(
    "headers", [{}, BROWSER, {"authorization": "Basic dXNlcg=="}], ids=["program", "browser", "other"]
)
def test_nobody_signed_in_is_refused(site: Site, views: Views, headers: dict[str, str]) -> None:
    """401, in a browser too: a plan would not help."""
    answers = [site(Sent("GET", path, headers)) for path in ("/open", "/subscribed")]

    assert [(each.status, each.code) for each in answers] == [(401, "UNAUTHORIZED")] * 2
    assert views.ran == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "head", "TRACE", "PURGE"])
@pytest.mark.parametrize("path", ["/too-many", "/subscribed"])
def test_no_method_skips_a_gate(site: Site, views: Views, method: str, path: str) -> None:
    """Another method may be refused or answered by the framework, but the view does not run by it."""
    answer = site(Sent(method, path, USER))

    assert views.ran == []
    assert b"ran" not in answer.body


def test_head_of_a_refusal_has_no_body(site: Site, views: Views) -> None:
    """HEAD is judged as GET is, and answered without a body."""
    answer = site(Sent("HEAD", "/too-many", USER))

    assert (answer.status, answer.body) in ((402, b""), (405, b""))


@pytest.mark.parametrize("path", ["/typo", "/unknown"])
def test_a_mistake_of_the_application_is_neither_a_pass_nor_a_page(
    kind: str, site: Site, views: Views, path: str
) -> None:
    """A feature that does not exist is raised to the application's own handling: a 500, never a 404 or a pass."""
    if kind.startswith("flask"):
        assert site(Sent("GET", path, USER)).status == 500
    else:
        with pytest.raises(NotFound):
            site(Sent("GET", path, USER))
    assert "/typo" not in views.ran


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/conflict", 409, "SUBSCRIPTION_EXISTS"),
        ("/unavailable", 503, "UNAVAILABLE"),
        ("/missing", 404, "CHECKOUT_NOT_FOUND"),
    ],
)
def test_other_errors_are_shown_by_their_status(site: Site, path: str, status: int, code: str) -> None:
    """What a view raises and a client can act on is JSON, in a browser too."""
    answer = site(Sent("GET", path, {**USER, **BROWSER}))

    assert (answer.status, answer.code) == (status, code)
    assert status != 503 or answer.headers["retry-after"] == "7"
