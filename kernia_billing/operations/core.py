"""Everything an operation needs: the ports, and what the configuration says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import evolve, field, frozen

from ..domain.host_columns import HostColumn, HostTable
from ..domain.ids import feature_key
from ..domain.instants import DAY, Instant
from ..domain.offer import FeatureSpec, Offer
from ..domain.plan_change import PlanChange
from ..domain.references import CustomerType, Ref, Reference, as_reference
from ..domain.seats import SeatChangeBehavior
from ..domain.selling import Selling
from ..domain.subscriptions import WhilePaused
from ..domain.webhooks import WebhookMode
from ..errors import ProviderNotConfigured
from ..ports.bus import Bus
from ..ports.clock import Clock
from ..ports.ids import Ids
from ..ports.pace import Pace
from ..ports.snapshots import Snapshots
from ..ports.store import Store
from ..ports.stripe import SignatureVerifier, StripePort
from ..ports.telemetry import SILENT, Telemetry
from .hooks import Hooks
from .host import NOBODY, Host

_NO_COLUMNS: Mapping[str, HostColumn] = MappingProxyType({})


def _never() -> bool:
    return False


@frozen
class Core:
    """The ports and the settings that every operation takes as its first argument.

    `grace` and `refresh_interval` are in microseconds, and so are the retentions: how long what is done with is kept,
    None for ever. `livemode` is the mode of the Stripe key, None when the library is offline. Long work asks `stopping`
    between two items: where it says yes, the rest is left to the next run. Without `snapshots` every `check` reads.
    `while_paused` is what a subscription gives whose collection is paused; from the payment attempt
    `dunning_final_attempt` on a failure is told of as final. `signing_key` signs what is given out and comes back, such
    as previews; it follows from the Stripe key. Without a `bus` nothing leaves the process but for hooks.
    `card_expiry_notice` is how many microseconds before a card expires hooks are told.
    `pages_a_minute` is how many pages one person has opened over HTTP at most, None for any number.
    """

    store: Store
    stripe: StripePort | None
    verifier: SignatureVerifier | None
    clock: Clock
    ids: Ids
    pace: Pace
    offer: Offer
    hooks: Hooks
    subscription_for: CustomerType
    grace: int
    livemode: bool | None
    telemetry: Telemetry = SILENT
    webhook_mode: WebhookMode = "inline"
    refresh_interval: int = 7 * DAY
    event_retention: int = 30 * DAY
    audit_retention: int | None = None
    usage_retention: int = 400 * DAY
    stopping: Callable[[], bool] = _never
    snapshots: Snapshots | None = None
    selling: Selling = field(factory=Selling)
    currency: str = "usd"
    host: Host = NOBODY
    seat_change_behavior: SeatChangeBehavior = "exact"
    reuse_customers_by_email: bool = True
    create_on_sign_up: bool = True
    while_paused: WhilePaused = "deny"
    dunning_final_attempt: int = 3
    card_expiry_notice: int = 30 * DAY
    portal_configuration: str | None = None
    plan_change: PlanChange = field(factory=PlanChange)
    signing_key: bytes = field(default=b"", repr=False)
    mirror_columns: Mapping[str, HostColumn] = _NO_COLUMNS
    kavach_columns: HostTable | None = None
    bus: Bus | None = None
    pages_a_minute: int | None = None

    def now(self) -> Instant:
        """The current instant."""
        return self.clock.now()

    def reference(self, value: Ref, customer_type: CustomerType | None = None) -> Reference:
        """The reference that a text means here."""
        return as_reference(value, customer_type or self.subscription_for)

    def feature(self, key: str) -> FeatureSpec:
        """The feature that a caller names.

        Raises:
            InvalidInput: it is no key.
            NotFound: FEATURE_NOT_FOUND.
        """
        # A key that is known need not be looked at.
        known = self.offer.features.get(key) if type(key) is str else None
        return known or self.offer.feature(feature_key(key))

    def provider(self) -> StripePort:
        """Stripe, or `ProviderNotConfigured` when the library is offline."""
        if self.stripe is None:
            raise ProviderNotConfigured
        return self.stripe

    def in_background(self) -> Core:
        """The same for work that nobody waits for: its calls to Stripe let those of requests go first."""
        return self if self.stripe is None else evolve(self, stripe=self.stripe.in_background())
