"""Gates: what runs behind them, and everything that keeps it from running."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from kernia_billing._drive import SuspendedError, run_blocking
from kernia_billing.domain.references import Identity, Reference
from kernia_billing.errors import (
    BillingError,
    FeatureDenied,
    GuardError,
    InsufficientBalance,
    InvalidInput,
    NotBound,
    NotFound,
    SubscriptionRequired,
    Unauthorized,
    Unavailable,
)
from kernia_billing.http.gate import (
    Binding,
    bind,
    current,
    demand_feature,
    requires_feature,
    requires_subscription,
)
from kernia_billing.http.refusals import ReferenceRefused
from tests.http.support import NOW, USER, Recorder, subscription

T = TypeVar("T")


def echo(who: object) -> object:
    """A view that is about somebody."""
    return who


def inside() -> str:
    """A view."""
    return "in"


def by_position(view: Callable[..., object]) -> object:
    """As some frameworks call views."""
    return view("org_2")


def by_name(view: Callable[..., object]) -> object:
    """As others do."""
    return view(who="org_2")


def by_number(view: Callable[..., object]) -> object:
    """As routers with converters do."""
    return view(who=7)


def bound(service: Recorder, identity: object = USER, **named: Any) -> Binding:
    """A binding of somebody signed in."""

    async def identify() -> Any:
        if isinstance(identity, Exception):
            raise identity
        return identity

    return Binding(service, identify=identify, **named)


class Views:
    """One view of each kind; `ran` says which bodies were entered."""

    def __init__(self, gate: Callable[[Any], Any]) -> None:
        self.ran: list[str] = []
        self.plain = gate(self._plain)
        self.asynchronous = gate(self._asynchronous)
        self.generator = gate(self._generator)
        self.asynchronous_generator = gate(self._asynchronous_generator)

    def _plain(self) -> str:
        self.ran.append("plain")
        return "plain"

    async def _asynchronous(self) -> str:
        self.ran.append("asynchronous")
        return "asynchronous"

    def _generator(self) -> Generator[str]:
        self.ran.append("generator")
        yield "generator"

    async def _asynchronous_generator(self) -> AsyncGenerator[str]:
        self.ran.append("asynchronous generator")
        yield "asynchronous generator"

    def call(self, kind: str) -> str:
        """Call one of them and take its first value."""
        if kind == "plain":
            found: str = self.plain()
        elif kind == "asynchronous":
            found = run_blocking(self.asynchronous())
        elif kind == "generator":
            found = next(self.generator())
        else:
            found = run_blocking(anext(self.asynchronous_generator()))
        return found


KINDS = ["plain", "asynchronous", "generator", "asynchronous generator"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_gate_runs_the_view(kind: str) -> None:
    """Once, after one check, and without counting."""
    service, views = Recorder(), Views(requires_feature("projects", 2))
    with bind(bound(service)):
        assert views.call(kind) == kind

    assert views.ran == [kind]
    assert service.calls == [
        ("check", (Reference("user_1", "user"), "projects", 2, {"entity": None, "preview": False}))
    ]
    assert service.asked == []


REFUSALS: list[tuple[str, dict[str, Any], object, type[Exception]]] = [
    ("denied", {"allowed": False, "reason": "not_entitled"}, USER, FeatureDenied),
    ("too little", {"allowed": False, "reason": "insufficient_balance"}, USER, InsufficientBalance),
    ("truthy is not allowed", {"allowed": "yes"}, USER, FeatureDenied),
    ("nobody", {}, None, Unauthorized),
    ("not an identity", {}, {"user_id": "user_1"}, GuardError),
    ("identify fails", {}, RuntimeError("x"), RuntimeError),
    ("check fails", {"fails": RuntimeError("x")}, USER, RuntimeError),
    ("unavailable", {"fails": Unavailable()}, USER, Unavailable),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("settings", "identity", "error"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_closed_gate_runs_nothing(
    kind: str, settings: dict[str, Any], identity: object, error: type[Exception]
) -> None:
    """A denial, nobody, and every exception."""
    service, views = Recorder(), Views(requires_feature("projects"))
    for name, value in settings.items():
        setattr(service, name, value)
    with bind(bound(service, identity)), pytest.raises(error):
        views.call(kind)

    assert views.ran == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_feature_is_an_error_and_never_a_pass(kind: str) -> None:
    """A typo in a decorator."""
    views = Views(requires_feature("missing"))
    with bind(bound(Recorder())), pytest.raises(NotFound):
        views.call(kind)

    assert views.ran == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gate", [requires_feature("projects"), requires_subscription()])
def test_a_gate_that_nothing_is_bound_to_lets_nobody_through(kind: str, gate: Callable[[Any], Any]) -> None:
    """Outside of a request, and after the request."""
    views = Views(gate)
    with bind(bound(Recorder())):
        pass
    with pytest.raises(NotBound):
        views.call(kind)
    with pytest.raises(NotBound):
        current()

    assert views.ran == []


def test_the_refusal_carries_the_decision() -> None:
    """For whoever renders it."""
    service = Recorder()
    service.allowed, service.reason = False, "overage_limit"
    with bind(bound(service)), pytest.raises(InsufficientBalance) as refused:
        Views(requires_feature("projects", 5)).call("plain")

    assert (refused.value.decision.required, refused.value.decision.remaining) == (5, 3)


# ── The reference ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_default_reference_is_the_callers_own() -> None:
    """The person, or the active organization; where there is none, the gate is closed."""
    service = Recorder(subscription_for="organization")
    view = requires_feature("projects")(inside)
    with bind(bound(service)):
        assert view() == "in"
    assert service.calls[0][1][0] == Reference("org_1", "organization")

    with bind(bound(service, Identity("user_1"))), pytest.raises(ReferenceRefused) as refused:
        view()
    assert refused.value.code == "REFERENCE_REQUIRED"


@pytest.mark.parametrize("call", [by_position, by_name, by_number])
def test_a_reference_from_the_request_is_authorised(call: Callable[[Any], object]) -> None:
    """By position or by name; an id that a router made a number is its text."""
    service = Recorder(subscription_for="organization")
    view = requires_feature("projects", reference_from="who")(echo)
    with bind(bound(service)):
        assert call(view) in ("org_2", 7)
        service.allows = False
        with pytest.raises(Unauthorized):
            call(view)

    assert {action for _, _, action in service.asked} == {"check-feature"}
    assert {reference for _, reference, _ in service.asked} <= {"org_2", "7"}
    assert len(service.calls) == 1


def test_a_reference_may_be_a_default_or_among_other_names() -> None:
    """As frameworks pass them."""
    service = Recorder()

    @requires_feature("projects", reference_from="who")
    def view(*, who: str = "user_2") -> str:
        return who

    @requires_feature("projects", reference_from="who")
    def anything(**members: Any) -> Any:
        return members["who"]

    with bind(bound(service)):
        assert view() == "user_2"
        assert anything(who=Reference("org_9", "organization"), other=1) == Reference("org_9", "organization")
        with pytest.raises(InvalidInput):
            anything(other=1)
        with pytest.raises(InvalidInput):
            anything(who=None)

    assert [values[0] for _, values in service.calls] == [
        Reference("user_2", "user"),
        Reference("org_9", "organization"),
    ]


@pytest.mark.parametrize("value", [1.5, True, b"x", ["user_1"], {"id": "user_1"}, object()])
def test_a_reference_of_another_kind_is_a_mistake(value: object) -> None:
    """Nothing is guessed from it."""
    view = requires_feature("projects", reference_from="who")(echo)
    with bind(bound(Recorder())), pytest.raises(InvalidInput):
        view(value)


@pytest.mark.parametrize("value", ["", "x" * 300, "a\nb", "\ud800"])
def test_a_reference_that_cannot_exist_is_nobodys(value: str) -> None:
    """It came with the request: a refusal, not a failure."""
    view = requires_feature("projects", reference_from="who")(echo)
    with bind(bound(Recorder())), pytest.raises(Unauthorized):
        view(value)


def test_code_that_says_for_whom_it_works() -> None:
    """`billing.bind(reference)`, in jobs and tests: no session, and no other reference under it."""
    service = Recorder()
    binding = Binding(service, reference=Reference("org_1", "organization"))
    own = requires_feature("projects")(inside)
    named = requires_feature("projects", reference_from="who")(echo)
    with bind(binding):
        assert own() == "in"
        assert named("org_1") == "org_1"
        assert named(Reference("org_1", "organization")) == Reference("org_1", "organization")
        for other in ("org_2", Reference("org_1", "user")):
            with pytest.raises(Unauthorized):
                named(other)

    assert {values[0] for _, values in service.calls} == {Reference("org_1", "organization")}


def test_bindings_nest() -> None:
    """The inner one counts, then the outer one again."""
    outer, inner = bound(Recorder()), bound(Recorder())
    with bind(outer):
        with bind(inner):
            assert current() is inner
        assert current() is outer


def test_who_is_signed_in_is_asked_once_and_only_by_a_gate() -> None:
    """However many gates there are on the way."""
    asked = 0

    async def identify() -> Identity | None:
        nonlocal asked
        asked += 1
        return USER

    with bind(Binding(Recorder(), identify=identify)):
        assert asked == 0
        requires_feature("a")(requires_feature("b")(inside))()

    assert asked == 1


# ── Subscriptions ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "open_"),
    [
        ({"status": "active"}, True),
        ({"status": "trialing"}, True),
        ({"status": "past_due", "grace_ends_at": NOW + timedelta(seconds=1)}, True),
        ({"status": "past_due", "grace_ends_at": NOW}, False),
        ({"status": "past_due", "grace_ends_at": None}, False),
        ({"status": "active", "plan": None}, False),
        *(({"status": each}, False) for each in ("unpaid", "paused", "incomplete", "canceled", "something_new", "")),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_subscription_counts_while_it_entitles(kind: str, changes: dict[str, Any], open_: bool) -> None:
    """Active, trialing, past due within grace; of a plan that we know."""
    service, views = Recorder(), Views(requires_subscription())
    service.rows = [subscription(status="canceled"), subscription(**changes)]
    with bind(bound(service)):
        if open_:
            assert views.call(kind) == kind
        else:
            with pytest.raises(SubscriptionRequired):
                views.call(kind)

    assert bool(views.ran) is open_


# ── Decoration ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("feature", ["", "a b", None, 1, "x" * 101])
def test_a_wrong_feature_is_refused_at_decoration(feature: Any) -> None:
    """When the module is imported, not when somebody comes."""
    with pytest.raises(InvalidInput):
        requires_feature(feature)


@pytest.mark.parametrize("required", [-1, 1.0, True, "1", 10**9 + 1])
def test_a_wrong_quantity_is_refused_at_decoration(required: Any) -> None:
    """The same range as in `check`."""
    with pytest.raises(InvalidInput):
        requires_feature("projects", required)


def test_what_cannot_be_gated_is_refused_at_decoration() -> None:
    """An argument that the view does not have, a class, and something that cannot be called."""
    for gate in (requires_feature("a", reference_from="org"), requires_subscription(reference_from="org")):
        with pytest.raises(InvalidInput):
            gate(inside)
    for view in (Views, 5):
        with pytest.raises(InvalidInput):
            requires_feature("a")(view)  # type: ignore[type-var]  # it is refused for that


def test_a_gated_view_looks_like_itself() -> None:
    """Frameworks look at names, signatures and kinds."""
    views = Views(requires_feature("a"))

    @requires_feature("a")
    def view(project: int, *, name: str = "x") -> str:
        """What it does."""
        return f"{project}{name}"

    assert (view.__name__, view.__doc__) == ("view", "What it does.")
    assert list(inspect.signature(view).parameters) == ["project", "name"]
    assert inspect.iscoroutinefunction(views.asynchronous)
    assert inspect.isasyncgenfunction(views.asynchronous_generator)
    assert not inspect.iscoroutinefunction(views.plain)
    with bind(bound(Recorder())):
        assert view(1, name="y") == "1y"


def test_partials_and_callable_objects_are_gated_as_what_they_are() -> None:
    """An asynchronous one is awaited, so its body cannot run before the check."""

    class Answering:
        async def __call__(self, value: int) -> int:
            return value

    async def plain(value: int) -> int:
        return value

    service = Recorder()
    for view in (Answering(), functools.partial(plain, 5)):
        gated: Any = requires_feature("a")(view)
        arguments = () if isinstance(view, functools.partial) else (5,)
        assert inspect.iscoroutinefunction(gated)
        with bind(bound(service)):
            assert run_blocking(gated(*arguments)) == 5
        with pytest.raises(NotBound):
            run_blocking(gated(*arguments))


def test_a_plain_generator_is_checked_when_it_is_called() -> None:
    """So a refusal comes before the first byte, and the stream may outlive the binding."""
    service, views = Recorder(), Views(requires_feature("projects"))
    with bind(bound(service)):
        stream = views.generator()
    assert (service.names, views.ran) == (["check"], [])
    assert list(stream) == ["generator"]


def test_an_asynchronous_generator_stays_one() -> None:
    """Values sent in, exceptions thrown in and closing reach the view."""
    seen: list[object] = []

    @requires_feature("projects")
    async def view() -> AsyncGenerator[int, str]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError as error:
                seen.append(error)
                yield 3
        finally:
            seen.append("closed")

    error = KeyError()

    async def use() -> None:
        stream = view()
        assert await anext(stream) == 1
        assert await stream.asend("x") == 2
        assert await stream.athrow(error) == 3
        await stream.aclose()

    with bind(bound(Recorder())):
        run_blocking(use())
    assert seen == ["x", error, "closed"]


def test_a_dependency_with_yield_sees_the_exception_of_its_endpoint() -> None:
    """As frameworks run it: as an asynchronous context manager."""
    seen: list[str] = []

    @asynccontextmanager
    @requires_feature("projects")
    async def session() -> AsyncGenerator[str]:
        try:
            yield "session"
        except ValueError:
            seen.append("rolled back")
            raise

    async def use() -> None:
        async with session() as found:
            assert found == "session"
            raise ValueError

    with bind(bound(Recorder())), pytest.raises(ValueError, match=r"^$"):
        run_blocking(use())
    assert seen == ["rolled back"]


# ── Under an event loop ─────────────────────────────────────────────────────────────────────────────────────────────


class Waiting(Recorder):
    """A service whose check really waits."""

    async def check(self, *values: Any, **named: Any) -> Any:
        """After one turn of the loop."""
        await asyncio.sleep(0)
        return await super().check(*values, **named)


def test_a_plain_view_in_a_worker_thread_checks_on_the_loop() -> None:
    """As ASGI frameworks run plain views: in a thread, with a copy of the context."""
    service, views = Waiting(), Views(requires_feature("projects"))

    async def serve() -> object:
        loop = asyncio.get_running_loop()

        def bridge(coroutine: Coroutine[Any, Any, T], /) -> T:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=10)

        with bind(bound(service, drive=bridge)), ThreadPoolExecutor(1) as threads:
            return await loop.run_in_executor(threads, copy_context().run, views.plain)

    assert asyncio.run(serve()) == "plain"
    assert service.names == ["check"]


def test_a_plain_view_that_cannot_wait_is_closed() -> None:
    """Without a bridge the check cannot finish, so the view does not run."""
    views = Views(requires_feature("projects"))
    with bind(bound(Waiting())), pytest.raises(SuspendedError):
        views.call("plain")

    assert views.ran == []


def test_tasks_do_not_see_each_others_bindings() -> None:
    """Two requests at once, each its own person."""
    service, view = Waiting(), Views(requires_feature("projects")).asynchronous

    async def one(user: str) -> None:
        with bind(bound(service, Identity(user))):
            await asyncio.sleep(0)
            await view()

    async def both() -> None:
        await asyncio.gather(*(one(f"user_{number}") for number in range(20)))

    asyncio.run(both())
    assert {values[0].id for _, values in service.calls} == {f"user_{number}" for number in range(20)}


def test_what_fastapi_needs_of_a_gate() -> None:
    """The decision itself, and the reference."""
    service = Recorder()
    binding = bound(service)
    decision = run_blocking(demand_feature(binding, "projects", 3, "user_2"))

    assert (decision.required, decision.reference) == (3, Reference("user_2", "user"))
    assert run_blocking(binding.resolve()) == Reference("user_1", "user")
    assert issubclass(ReferenceRefused, BillingError)
