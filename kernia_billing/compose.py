"""From a configuration to a working object: the only place that knows all layers."""

from __future__ import annotations

import hmac
import inspect
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from attrs import define, evolve, fields

from ._simulated import Simulated, is_simulated, receiver
from .bus.opening import Database
from .config import BillingConfig
from .configuration.settings import BASE_URL
from .domain.answers import Event
from .domain.host_columns import host_column, host_table
from .domain.plan_items import items_of
from .domain.secret import Secret
from .domain.urls import TrustedOrigins
from .errors import ConfigError
from .operations.core import Core
from .operations.endpoint import Wanted
from .operations.hooks import Hook, Hooks
from .operations.host import Host
from .operations.incoming import TOPICS, handle
from .operations.kavach import CHANGES, OnChange
from .operations.one_mode import OneMode
from .operations.watching import Watched
from .ports.bus import Bus
from .ports.clock import Clock
from .ports.pace import Pace
from .ports.snapshots import Snapshots
from .ports.store import Store
from .ports.stripe import SignatureVerifier, StripePort
from .ports.telemetry import Telemetry
from .runtime.clock import SystemClock
from .runtime.ids import TimeOrderedIds
from .runtime.pace import AsyncPace, BlockingPace
from .stripe.versions import STRIPE_API_VERSION

if TYPE_CHECKING:
    from .stripe.budget import RateBudget
    from .telemetry import Choice

_log = logging.getLogger("kernia_billing")
_HOOK_TYPES = {
    "on_event": (),
    "on_subscription_complete": ("subscription.completed",),
    "on_subscription_created": ("subscription.created",),
    "on_subscription_update": ("subscription.updated",),
    "on_subscription_cancel": ("subscription.cancel_scheduled",),
    "on_subscription_deleted": ("subscription.deleted",),
}
_CALLBACKS = (
    *("authorize_reference", "authorize_admin", "member_count", "organization_name"),
    *("get_customer_create_params", "on_customer_create", "get_checkout_session_params"),
    *("organization_create_params", "on_organization_customer_create", "on_subscription_change"),
)
_PAGES_A_MINUTE = 10


@define(eq=False)
class Wiring:
    """One working library: its configuration, its core, and the judgement of URLs.

    Facades hold the wiring and not the core, so that a test can put another core behind objects that an application
    imported long ago.
    """

    config: BillingConfig
    core: Core
    trusted: TrustedOrigins
    asynchronous: bool

    @property
    def endpoint(self) -> Wanted:
        """What the webhook endpoint at Stripe should be: at our origin, unless nobody said which that is."""
        origin = self.config.base_url
        return Wanted(None if origin == BASE_URL else origin, STRIPE_API_VERSION)

    async def close(self) -> None:
        """Close the connections that the library opened."""
        if self.core.stripe is not None:
            await self.core.stripe.close()
        if self.core.bus is not None:
            await self.core.bus.close()
        await self.core.store.close()


@contextmanager
def rewired(billing: Any, **options: Any) -> Generator[None]:
    """Put other ports behind a facade for a while: the very object that an application imported works on them.

    Its hooks stay. The connections of the other ports are closed at the end; those of its own stay as they are.
    """
    wiring: Wiring = billing._wiring  # noqa: SLF001 - the one way in; applications have no business there
    own = (wiring.config, wiring.core, wiring.trusted)
    other = wire(wiring.config, options, asynchronous=wiring.asynchronous, billing=billing)
    wiring.config, wiring.trusted = other.config, other.trusted
    wiring.core = evolve(other.core, hooks=own[1].hooks)
    try:
        yield
    finally:
        wiring.config, wiring.core, wiring.trusted = own


def wire(config: BillingConfig | None, options: Mapping[str, Any], *, asynchronous: bool, billing: object) -> Wiring:
    """Build everything behind a facade; opens no connection.

    Raises:
        ConfigError: the configuration is wrong, or an adapter does not fit the facade.
    """
    settled = BillingConfig(**options) if config is None else config.replace(**options) if options else config
    _check_paths(settled)
    hooks = _hooks(settled, asynchronous=asynchronous)
    simulator = settled.stripe_client if is_simulated(settled.stripe_client) else None
    core = _core(settled, hooks, simulator, asynchronous=asynchronous)
    wiring = Wiring(settled, core, TrustedOrigins(settled.base_url, settled.trusted_origins), asynchronous)
    hooks.add(_at_once(wiring), tuple(TOPICS))
    if simulator is not None:
        _join(simulator, settled, billing, asynchronous=asynchronous)
    return wiring


def _at_once(wiring: Wiring) -> Hook:
    """Take what the host publishes: where there is no bus to bring it, it is an event like any other."""

    def take(event: Event) -> object:
        return None if wiring.core.bus is not None else handle(wiring.core, event.type, event.data)

    return take


def _check_paths(config: BillingConfig) -> None:
    if config.webhook_path is None:
        return
    from .http.routes import is_taken

    if is_taken(config.webhook_path):
        raise ConfigError([f"webhook_path: {config.webhook_path} is the path of another route"])


def _join(simulator: Simulated, config: BillingConfig, billing: object, *, asynchronous: bool) -> None:
    """Make the configured prices exist in a simulator, and let it deliver its events to us."""
    for top_up in config.top_ups:
        simulator.ensure_price(top_up.price_id, interval=None, metered=False)
    for plan in config.plans:
        if plan.price_id is not None:
            simulator.ensure_price(plan.price_id, interval="month", metered=plan.metered)
        if plan.annual_price_id is not None:
            simulator.ensure_price(plan.annual_price_id, interval="year", metered=plan.metered)
        if plan.seat_price_id is not None and plan.seat_price_id not in (plan.price_id, plan.annual_price_id):
            simulator.ensure_price(plan.seat_price_id, interval="month" if plan.price_id else "year", metered=False)
        for price, count in plan.line_items.items():
            simulator.ensure_price(price, interval="month" if plan.price_id else "year", metered=count is None)
        for meter in {item.meter for item in items_of(plan) if item.meter is not None}:
            simulator.ensure_meter(meter)
    simulator.attach(receiver(billing, asynchronous=asynchronous))


def _core(config: BillingConfig, hooks: Hooks, simulator: Simulated | None, *, asynchronous: bool) -> Core:
    clock: Clock = SystemClock() if simulator is None else simulator.clock
    pace: Pace = AsyncPace() if asynchronous else BlockingPace()
    key = config.stripe_key if simulator is None else Secret(simulator.api_key)
    livemode = None if key is None else "_live_" in key.reveal()[:9]
    telemetry = _telemetry(config)
    stripe = None if key is None else _stripe(config, key, simulator, clock, pace, telemetry, asynchronous=asynchronous)
    store = _store(config, pace, asynchronous=asynchronous)
    snapshots = None if config.snapshot_max_age is None else _snapshots(clock, config.snapshot_max_age)
    return Core(
        store=OneMode(store if snapshots is None else Watched(store, snapshots), livemode=livemode),
        stripe=stripe,
        verifier=_verifier(config, simulator),
        clock=clock,
        ids=TimeOrderedIds(),
        pace=pace,
        offer=config.offer(),
        hooks=hooks,
        subscription_for=config.subscription_for,
        grace=config.grace_period // timedelta(microseconds=1),
        refresh_interval=config.refresh_interval // timedelta(microseconds=1),
        livemode=livemode,
        telemetry=telemetry,
        webhook_mode=config.webhook_mode,
        event_retention=config.event_retention // timedelta(microseconds=1),
        audit_retention=_micros(config.audit_retention),
        snapshots=snapshots,
        host=Host(**{each.name: getattr(config, each.name) for each in fields(Host)}),
        seat_change_behavior=config.seat_change_behavior,
        reuse_customers_by_email=config.reuse_customers_by_email,
        mirror_columns={kind: host_column(each) for kind, each in config.mirror_columns.items()},
        kavach_columns=None if config.kavach_columns is None else host_table(config.kavach_columns),
        create_on_sign_up=config.create_customer_on_sign_up,
        while_paused=config.while_paused,
        dunning_final_attempt=config.dunning_final_attempt,
        card_expiry_notice=config.card_expiry_notice // timedelta(microseconds=1),
        portal_configuration=config.portal_configuration,
        usage_retention=config.usage_retention // timedelta(microseconds=1),
        selling=config.selling,
        currency=config.default_currency,
        plan_change=config.plan_change,
        signing_key=b"" if key is None else hmac.digest(key.reveal().encode(), b"kernia_billing signing", "sha256"),
        bus=_bus(config, store, clock, asynchronous=asynchronous),
        pages_a_minute=config.checkout_rate_limit or (None if simulator is not None else _PAGES_A_MINUTE),
    )


def _bus(config: BillingConfig, store: Store, clock: Clock, *, asynchronous: bool) -> Bus | None:
    if config.event_bus is None:
        return None
    from .bus.opening import open_bus

    database = Database(config.database, store, clock, TimeOrderedIds())
    return open_bus(config.event_bus, database, asynchronous=asynchronous)


def _micros(length: timedelta | None) -> int | None:
    return None if length is None else length // timedelta(microseconds=1)


def _store(config: BillingConfig, pace: Pace, *, asynchronous: bool) -> Store:
    if asynchronous:
        from .storage.aio import AsyncStore

        return AsyncStore.open(config.database, pace=pace)
    from .storage.blocking import BlockingStore

    return BlockingStore.open(config.database, pace=pace)


def _snapshots(clock: Clock, max_age: timedelta) -> Snapshots:
    from .runtime.snapshots import MemorySnapshots

    return MemorySnapshots(clock, max_age // timedelta(microseconds=1))


def _telemetry(config: BillingConfig) -> Telemetry:
    if not isinstance(config.telemetry, str):
        return config.telemetry
    from .telemetry import telemetry_of

    try:
        return telemetry_of(cast("Choice", config.telemetry))
    except ImportError as missing:
        raise ConfigError(["telemetry: opentelemetry is not installed: kernia-billing[otel] brings it"]) from missing


def _stripe(
    config: BillingConfig,
    key: Secret,
    simulator: Simulated | None,
    clock: Clock,
    pace: Pace,
    telemetry: Telemetry,
    *,
    asynchronous: bool,
) -> StripePort:
    from .stripe.client import AsyncStripe, BlockingStripe
    from .stripe.elsewhere import AsyncElsewhereTransport, ElsewhereTransport

    client = None if simulator is not None else config.stripe_client
    elsewhere = config.stripe_api_base if simulator is None else None
    budget = _budget(config, key, simulated=simulator is not None or config.stripe_api_base is not None)
    if asynchronous:
        transport = None if simulator is None else simulator.async_transport
        transport = AsyncElsewhereTransport(elsewhere) if elsewhere else transport
        return AsyncStripe(
            key, clock=clock, pace=pace, client=client, transport=transport, budget=budget, telemetry=telemetry
        )
    transport = None if simulator is None else simulator.transport
    transport = ElsewhereTransport(elsewhere) if elsewhere else transport
    return BlockingStripe(
        key, clock=clock, pace=pace, client=client, transport=transport, budget=budget, telemetry=telemetry
    )


def _budget(config: BillingConfig, key: Secret, *, simulated: bool) -> RateBudget | None:
    """The rate budget of this process. A simulator has no limit, and its time need not pass by itself."""
    from .stripe.budget import LIVE_LIMIT, SANDBOX_LIMIT, shared_budget

    if simulated:
        return None if config.stripe_rate_limit is None else shared_budget(key, config.stripe_rate_limit)
    default = LIVE_LIMIT if "_live_" in key.reveal()[:9] else SANDBOX_LIMIT
    return shared_budget(key, config.stripe_rate_limit or default)


def _verifier(config: BillingConfig, simulator: Simulated | None) -> SignatureVerifier | None:
    from .stripe.signature import WebhookVerifier

    secrets = config.stripe_webhook_secrets if simulator is None else (Secret(simulator.webhook_secret),)
    return WebhookVerifier(secrets, config.webhook_tolerance) if secrets else None


def _hooks(config: BillingConfig, *, asynchronous: bool) -> Hooks:
    problems = [
        f"{name}: Billing cannot await an `async def`; write `def`, or use AsyncBilling"
        for name in (*_CALLBACKS, *_HOOK_TYPES)
        if not asynchronous and _is_async(getattr(config, name))
    ]
    if problems:
        raise ConfigError(problems)
    hooks = Hooks(asynchronous=asynchronous, is_async=_is_async, report=_report)
    for name, types in _HOOK_TYPES.items():
        hook: Hook | None = getattr(config, name)
        if hook is not None:
            hooks.add(hook, types)
    if config.on_subscription_change is not None:
        hooks.add(OnChange(config.on_subscription_change), CHANGES)
    return hooks


def _is_async(function: object) -> bool:
    call: Callable[..., object] | None = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _report(topic: str, failure: Exception) -> None:
    _log.error("a hook for %s raised; it will be called again", topic, exc_info=failure)
