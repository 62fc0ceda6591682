"""A shop behind the HTTP surface, and the marks that name the scenarios of the contract.

The same test drives ASGI with `AsyncBilling` and Flask with `Billing`: requests go through the framework, and direct
calls, to the library and to the simulator, are made blocking for both.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from attrs import define, field

from kernia_billing import AsyncBilling, Billing, Identity, Metered, Plan, Quantity
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from kernia_billing_asgi import BillingApp
from kernia_billing_flask import KerniaBilling as FlaskBilling
from tests.integrations.sites import ORIGIN, PREFIX, Answer, Sent, ask, call, environ_of

T = TypeVar("T", bound=Callable[..., Any])
Front = Literal["asgi", "flask"]

PLANS: tuple[Plan, ...] = (
    Plan("free", features={"projects": Quantity(3)}),
    Plan("starter", price_id="price_starter", annual_price_id="price_starter_y", features={"projects": Quantity(5)}),
    Plan(
        "pro",
        price_id="price_pro",
        annual_price_id="price_pro_y",
        features={"projects": Quantity(10), "messages": Metered(1_000)},
        limits={"projects": 10, "tags": ["a", "b"], "nested": {"deep": [1, {"x": True}]}},
    ),
)
"""What the shop sells unless a test says otherwise: prices that nobody added cost 10.00 a month, 100.00 a year."""


def scenario(*numbers: int) -> Callable[[T], T]:
    """Say which scenarios of the contract, section 6, a test plays."""
    return pytest.mark.scenario(*numbers)


class Blocking:
    """An object of which whatever is awaited under asyncio is called and waited for."""

    def __init__(self, behind: Any, runner: asyncio.Runner) -> None:
        self._behind = behind
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._behind, name)
        if type(found).__module__.startswith("kernia_billing._aio"):
            return Blocking(found, self._runner)
        return self._waiting(found) if inspect.isroutine(found) else found

    def _waiting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def waited(*args: Any, **kwargs: Any) -> Any:
            made = function(*args, **kwargs)
            return self._runner.run(_result(made)) if inspect.isawaitable(made) else made

        return waited


async def _result(awaitable: Any) -> Any:
    return await awaitable


@define
class People:
    """The host's own people: who is signed in by which name, and who may act for which organization or user."""

    known: dict[str, Identity] = field(factory=dict[str, Identity])
    allowed: set[tuple[str, str]] = field(factory=set[tuple[str, str]])
    asked: list[tuple[str, str, str]] = field(factory=list[tuple[str, str, str]])

    def identify(self, name: str) -> Identity:
        """Who that is: anybody has a verified address unless a test said otherwise."""
        return self.known.get(name) or Identity(name, email=f"{name}@shop.example", email_verified=True)

    def may(self, name: str, *references: str) -> None:
        """Let somebody act for these references."""
        self.allowed |= {(name, each) for each in references}

    def authorize(self, identity: Identity, reference: str, action: str) -> bool:
        """`authorize_reference` of the shop."""
        self.asked.append((identity.user_id, reference, action))
        return (identity.user_id, reference) in self.allowed


@define
class Shop:
    """One application, its library and its Stripe.

    `billing` and `stripe` are called blocking, whichever they are.
    """

    front: Front
    billing: Any
    stripe: Any
    people: People
    send: Callable[[Sent], Answer]

    def post(self, path: str, body: object = None, *, by: str | None = "ann", **more: Any) -> Answer:
        """POST JSON as a browser at the shop's own pages does; `by` is who is signed in."""
        return self.ask("POST", path, body, by=by, **more)

    def get(self, path: str, query: Mapping[str, object] | None = None, *, by: str | None = "ann") -> Answer:
        """GET as that browser does, without an Origin."""
        return self.ask("GET", path + (f"?{urlencode(query)}" if query else ""), by=by, origin=None)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        by: str | None = "ann",
        origin: str | None = ORIGIN,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Any request. A body that is bytes is sent as it is, None is sent as none at all."""
        sent = {} if by is None else {"cookie": f"session={by}"}
        if origin is not None:
            sent["origin"] = origin
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if content:
            sent["content-type"] = "application/json"
        return self.send(Sent(method, f"{PREFIX}{path}", sent | dict(headers or {}), content))

    def upgrade(self, plan: str = "pro", *, by: str = "ann", **members: object) -> Answer:
        """`subscription.upgrade` of the official client."""
        urls = {"successUrl": "/ok", "cancelUrl": "/no"}
        return self.post("/subscription/upgrade", {"plan": plan, **urls, **members}, by=by)

    def subscribe(self, plan: str = "pro", *, by: str = "ann", **members: object) -> Any:
        """Upgrade over HTTP and pay; the library's subscription."""
        opened = self.upgrade(plan, by=by, **members)
        assert opened.status == 200, opened.body
        return self.stripe.pay(opened.json["url"])

    def rows(self, *, by: str = "ann", **query: object) -> Any:
        """`subscription.list` of the official client."""
        answer = self.get("/subscription/list", query, by=by)
        assert answer.status == 200, answer.body
        return answer.json

    def webhook(self, event: Mapping[str, Any], *, signature: str | None = None) -> Answer:
        """Deliver an event as Stripe does."""
        body = json.dumps(event).encode()
        headers = {"stripe-signature": self.stripe.sign(body) if signature is None else signature}
        return self.ask("POST", "/stripe/webhook", body, by=None, origin=None, headers=headers)

    def calls(self, method: str = "", path: str = "") -> Sequence[Any]:
        """What the library asked Stripe so far, of this method and below this path."""
        return [each for each in self.stripe.requests if each.method.startswith(method) and each.path.startswith(path)]

    def following(self, url: str) -> Answer:
        """Follow an absolute URL of the shop as the browser of nobody would."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == ORIGIN
        return self.send(Sent("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path))


def query_of(url: str) -> dict[str, str]:
    """The query of a URL, each name once."""
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def opened(front: Front, database: str, stack: ExitStack, **options: Any) -> Shop:
    """A running shop: organizations and foreign users are allowed by `shop.people.may`.

    `authorize_reference=None` leaves the option out.
    """
    people = People()
    deliver = options.pop("deliver", "auto")
    given = {"base_url": ORIGIN, "plans": PLANS, "authorize_reference": people.authorize, **options}

    def name(header: str) -> Identity | None:
        _, _, found = header.partition("session=")
        return people.identify(found) if found else None

    if front == "flask":
        return _flask(StripeSimulator(deliver=deliver), database, given, people, name, stack)
    return _asgi(AsyncStripeSimulator(deliver=deliver), database, given, people, name, stack)


def _flask(
    stripe: StripeSimulator,
    database: str,
    options: dict[str, Any],
    people: People,
    name: Callable[[str], Identity | None],
    stack: ExitStack,
) -> Shop:
    from flask import Flask, request

    billing = stack.enter_context(Billing(stripe_client=stripe, database=database, **options))
    app = Flask("shop")
    FlaskBilling(billing, identify=lambda: name(request.headers.get("cookie", ""))).init_app(app)
    return Shop("flask", billing, stripe, people, lambda sent: call(app, environ_of(sent)))


def _asgi(
    stripe: AsyncStripeSimulator,
    database: str,
    options: dict[str, Any],
    people: People,
    name: Callable[[str], Identity | None],
    stack: ExitStack,
) -> Shop:
    runner = stack.enter_context(asyncio.Runner())
    billing = AsyncBilling(stripe_client=stripe, database=database, **options)
    stack.callback(lambda: runner.run(billing.aclose()))

    def identify(scope: Any) -> Identity | None:
        return name(dict(scope["headers"]).get(b"cookie", b"").decode())

    app = BillingApp(billing, identify=identify)
    return Shop(
        "asgi",
        Blocking(billing, runner),
        Blocking(stripe, runner),
        people,
        lambda sent: runner.run(ask(app, sent, root_path=PREFIX)),
    )
