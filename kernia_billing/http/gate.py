"""Gates on views of any framework: `@requires_feature("projects")` and `@requires_subscription()`.

An integration, or `billing.bind(reference)`, says in a context variable who is asking. A gate reads it and only checks:
counting is what the view does. Whatever is in doubt is a refusal: an exception, an unknown feature, nobody signed in,
nothing bound.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Protocol, TypeVar, cast

from attrs import define, field, frozen

from .._drive import run_blocking
from ..domain.answers import Decision
from ..domain.ids import feature_key, quantity
from ..domain.instants import to_instant
from ..domain.references import Identity, Reference
from ..errors import (
    FeatureDenied,
    GuardError,
    InsufficientBalance,
    InvalidInput,
    NotBound,
    SubscriptionRequired,
    Unauthorized,
)
from .authorize import default_reference, resolve
from .rate_limits import gate_headers
from .refusals import ReferenceRefused
from .service import Service

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_BALANCE_REASONS = frozenset({"insufficient_balance", "overage_limit", "usage_limit"})


class Drive(Protocol):
    """Runs a coroutine to its end from plain code."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        """The coroutine's result."""
        ...


async def _nobody() -> Identity | None:
    return None


@define
class Binding:
    """Who asks in the code that runs now.

    Either `reference` is given (`billing.bind(reference)`: the code itself says for whom it works), or `identify()`
    says who is signed in; it is asked once, and only when a gate runs. `drive` is how a gate on a plain function runs
    the check: `run_blocking` for blocking adapters, a bridge into the event loop for asynchronous ones.
    """

    service: Service
    identify: Callable[[], Awaitable[Identity | None]] = field(default=_nobody, repr=False)
    reference: Reference | None = None
    drive: Drive = field(default=run_blocking, repr=False)
    _known: tuple[Identity | None] | None = field(default=None, init=False, repr=False)
    _passed: dict[str, Decision] = field(factory=dict[str, Decision], init=False, repr=False)

    async def identity(self) -> Identity | None:
        """Who is signed in, or None."""
        if self._known is None:
            found: object = await self.identify()
            if found is not None and not isinstance(found, Identity):
                raise GuardError(f"identify() gave a {type(found).__name__}; it must give an Identity or None")
            self._known = (found,)
        return self._known[0]

    def note(self, decision: Decision) -> None:
        """Remember what a gate let pass."""
        self._passed[decision.feature] = decision

    def headers(self, status: int, present: Iterable[str]) -> Mapping[str, str]:
        """What to add to the response of the view: quotas, as the gates that let it run saw them."""
        return gate_headers(self._passed.values(), status, present) if self._passed else {}

    async def resolve(self, named: object = None) -> Reference:
        """The reference that a gate is about: the bound one, the caller's own, or the one that `named` names.

        `named` came with the request (an argument of the view), so the host's `authorize_reference` is asked whether
        the caller may act for it. A bound reference is the only one that may be named under it.

        Raises:
            Unauthorized: nobody is signed in, or the caller may not act for it.
            ReferenceRefused: there is no active organization, or no way to ask.
            InvalidInput: `named` is not a text, a whole number or a `Reference`.
        """
        asked = None if named is None else _as_named(named)
        if self.reference is not None:
            if asked is not None and asked not in (self.reference, self.reference.id):
                raise Unauthorized
            return self.reference
        identity = await self.identity()
        if identity is None:
            raise Unauthorized("Unauthorized")
        if asked is not None:
            return await self._authorized(identity, asked)
        own = default_reference(identity, self.service.settings.subscription_for)
        if own is None:
            raise ReferenceRefused("REFERENCE_REQUIRED")
        return own

    async def _authorized(self, identity: Identity, asked: Reference | str) -> Reference:
        kind, id = (asked.type, asked.id) if isinstance(asked, Reference) else (None, asked)
        try:
            return await resolve(self.service, identity, "check-feature", kind, id)
        except InvalidInput as malformed:
            # It came with the request, and nobody may act for what cannot exist.
            raise Unauthorized from malformed


_binding: ContextVar[Binding | None] = ContextVar("kernia_billing_binding", default=None)


@contextmanager
def bind(binding: Binding) -> Generator[None]:
    """Make `binding` the current one for the enclosed code, and for the tasks and threads that copy its context."""
    token = _binding.set(binding)
    try:
        yield
    finally:
        _binding.reset(token)


def current() -> Binding:
    """The binding of the code that runs now.

    Raises:
        NotBound: there is none.
    """
    binding = _binding.get()
    if binding is None:
        raise NotBound
    return binding


def denied(decision: Decision) -> FeatureDenied:
    """The error for a decision that is a no."""
    return (InsufficientBalance if decision.reason in _BALANCE_REASONS else FeatureDenied)(decision)


async def demand_feature(binding: Binding, feature: str, required: int = 1, named: object = None) -> Decision:
    """The decision on a feature, if it is a yes.

    Raises:
        FeatureDenied: it is a no.
        NotFound: there is no such feature: a mistake in the code, never a pass.
        Unauthorized, ReferenceRefused, InvalidInput: as `Binding.resolve`.
    """
    reference = await binding.resolve(named)
    decision = await binding.service.check(reference, feature, required, entity=None, preview=False)
    if decision.allowed is not True:
        raise denied(decision)
    binding.note(decision)
    return decision


async def demand_subscription(binding: Binding, named: object = None) -> Reference:
    """The reference, if a subscription entitles it now: active, trialing, or past due within the time of grace.

    A subscription that sells no plan of ours does not count.

    Raises:
        SubscriptionRequired: there is none.
        Unauthorized, ReferenceRefused, InvalidInput: as `Binding.resolve`.
    """
    reference = await binding.resolve(named)
    now = binding.service.settings.clock.now()
    for each in await binding.service.subscriptions(reference):
        in_grace = each.status == "past_due" and each.grace_ends_at is not None and now < to_instant(each.grace_ends_at)
        if each.plan is not None and (each.status in ("active", "trialing") or in_grace):
            return reference
    raise SubscriptionRequired


def requires_feature(feature: str, required: int = 1, *, reference_from: str | None = None) -> Callable[[F], F]:
    """Let a view run only if `required` more of `feature` may be used; nothing is counted.

    For plain and async functions and for both kinds of generators. A plain generator is checked when the view is
    called, before there is a response; an asynchronous one when its first item is asked for. `reference_from` names an
    argument of the view that holds a reference; without it the gate is about the caller's own.

    Raises:
        InvalidInput: at decoration: not a key, a number below 0 or above 10^9, or no such argument.
        FeatureDenied: when called, and everything that `demand_feature` raises.
        NotBound: when called where no billing is bound.
    """
    key = feature_key(feature)
    amount = quantity(required, "required", minimum=0)
    return cast(
        "Callable[[F], F]",
        partial(_gated, lambda binding, named: demand_feature(binding, key, amount, named), reference_from),
    )


def requires_subscription(*, reference_from: str | None = None) -> Callable[[F], F]:
    """Let a view run only if the reference has a subscription that entitles it; see `requires_feature`."""
    return cast("Callable[[F], F]", partial(_gated, demand_subscription, reference_from))


_Demand = Callable[[Binding, object], Coroutine[Any, Any, object]]


@frozen
class _Gate:
    """A demand, and how the reference is read from a view's arguments."""

    demand: _Demand
    name: str | None
    signature: inspect.Signature

    def prepare(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Coroutine[Any, Any, object]:
        binding = current()
        return self.demand(binding, self._named(args, kwargs))

    def drive(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        binding = current()
        binding.drive(self.demand(binding, self._named(args, kwargs)))

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        if self.name is None:
            return None
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given: Mapping[str, Any] = {**bound.kwargs, **bound.arguments}
        if given.get(self.name) is None:
            raise InvalidInput("names no reference", field=self.name)
        named: object = given[self.name]
        return named


def _gated(demand: _Demand, reference_from: str | None, view: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isclass(view) or not callable(view):
        raise InvalidInput("must be a function: decorate the methods of a class", field="view")
    gate = _Gate(demand, reference_from, _signature(view, reference_from))
    if inspect.isasyncgenfunction(view):
        return _gated_async_generator(gate, view)
    if _is_async(view):
        return _gated_async(gate, view)

    @wraps(view)
    def plain(*args: Any, **kwargs: Any) -> Any:
        gate.drive(args, kwargs)
        return view(*args, **kwargs)

    return plain


def _gated_async(gate: _Gate, view: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @wraps(view)
    async def gated(*args: Any, **kwargs: Any) -> Any:
        await gate.prepare(args, kwargs)
        return await view(*args, **kwargs)

    return gated


def _gated_async_generator(gate: _Gate, view: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
    # It stays an asynchronous generator function: frameworks look at that, and one that took it for a plain function
    # would never ask for the first item and so never run the check.
    @wraps(view)
    async def gated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        await gate.prepare(args, kwargs)
        inner = view(*args, **kwargs)
        try:
            item = await anext(inner)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - a dependency sees the exception of its endpoint
                    item = await inner.athrow(thrown)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await inner.aclose()

    return gated


def _is_async(view: Callable[..., Any]) -> bool:
    while isinstance(view, partial):
        view = view.func
    return inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(getattr(view, "__call__", None))  # noqa: B004 - it is asked of what is called, not whether it can be


def _signature(view: Callable[..., Any], name: str | None) -> inspect.Signature:
    signature = inspect.signature(view)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    if name is not None and name not in signature.parameters and not takes_any:
        raise InvalidInput(f"the view has no argument {name!r}", field="reference_from")
    return signature


def _as_named(value: object) -> Reference | str:
    if isinstance(value, Reference | str):
        return value
    if type(value) is int:
        return str(value)
    raise InvalidInput("must be a text, a whole number or a Reference", field="reference_from")
