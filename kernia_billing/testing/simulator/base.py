"""What both simulators have, those that block and those that are awaited: the account, its clock, its logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from .api.faults import Fault
from .api.wire import RequestRecord, Violation
from .goods import Goods
from .state import State, new_state
from .versions import VERSIONS
from .webhooks.delivery import Delivery, Outbox
from .webhooks.receiver import AsyncReceiver, Receiver
from .webhooks.signing import signature
from .world.clock import SimulatedClock, to_micros
from .world.errors import SimulatorError
from .world.events import shown
from .world.world import Settings

if TYPE_CHECKING:
    from .api.transport import AsyncSimulatorTransport, SimulatorTransport


class SimulatorBase(Goods):
    """What both simulators have: the account, its clock, and logs of everything."""

    def __init__(
        self,
        *,
        now: datetime | None = None,
        deliver: Literal["auto", "manual"] = "auto",
        ticking: bool = False,
        api_key: str | None = None,
        webhook_secret: str | None = None,
    ) -> None:
        """Start an empty account in test mode.

        The clock stands still at `now` (default: a fixed day in the middle of January 2026) until `advance`; with
        `ticking` it runs on from `now` or from the present. `deliver="manual"` leaves every webhook to `deliver()`.
        """
        self._state = new_state(
            now, ticking=ticking, delivers=deliver == "auto", api_key=api_key, webhook_secret=webhook_secret
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.now.isoformat()}>"

    @property
    def state(self) -> State:
        """The parts of the simulator, for tests that look inside."""
        return self._state

    @property
    def now(self) -> datetime:
        """The simulator's time, aware, in UTC."""
        return self.clock.datetime()

    @property
    def clock(self) -> SimulatedClock:
        """The clock that the library reads."""
        return self._state.world.account_clock

    @property
    def settings(self) -> Settings:
        """What the account has set in its Dashboard; assign to its fields."""
        return self._state.world.settings

    @property
    def api_key(self) -> str:
        """The secret key of the account, `sk_test_…`."""
        return self._state.api.key

    @property
    def webhook_secret(self) -> str:
        """The secret that webhooks are signed with, `whsec_…`."""
        return self._state.webhook_secret

    @property
    def transport(self) -> SimulatorTransport:
        """For `httpx.Client(transport=…)`."""
        from .api.transport import SimulatorTransport

        return SimulatorTransport(self._state.api)

    @property
    def async_transport(self) -> AsyncSimulatorTransport:
        """For `httpx.AsyncClient(transport=…)`."""
        from .api.transport import AsyncSimulatorTransport

        return AsyncSimulatorTransport(self._state.api)

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """Every event so far, oldest first, as Stripe's JSON."""
        world = self._state.world
        with world.lock:
            return tuple(shown(world, event, event["api_version"]) for event in world.events.log)

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """What became of each event since a receiver was attached."""
        with self._state.world.lock:
            return tuple(self._state.outbox.deliveries.values())

    @property
    def delivery(self) -> Outbox:
        """How webhooks are delivered: their order, their retries, their secrets, and what goes wrong on the way."""
        return self._state.outbox

    @property
    def event_version(self) -> str:
        """The API version of the account: of events for endpoints that name none, and of calls that name none."""
        return self._state.world.event_version

    @event_version.setter
    def event_version(self, version: str) -> None:
        if version not in VERSIONS:
            raise SimulatorError(f"no API version {version}: {', '.join(VERSIONS)}")
        self._state.world.event_version = version

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """Every request so far, without its key."""
        return tuple(self._state.api.records)

    @property
    def violations(self) -> Sequence[Violation]:
        """Requests that the official package would not have sent."""
        return tuple(self._state.api.violations)

    @property
    def faults(self) -> list[Fault]:
        """Rules by which calls break; append to it, clear it."""
        return self._state.api.faults

    @property
    def oracle_counts(self) -> Mapping[str, int]:
        """How many requests and objects of this simulator were checked by the oracles, and how many requests failed."""
        api = self._state.api
        return {
            "requests": api.requests_checked,
            "objects": self._state.world.objects_checked,
            "violations": len(api.violations),
        }

    @property
    def hosted_base(self) -> str:
        """Where the pages of sessions live; assign an origin that serves `hosted()`."""
        return self.settings.checkout_base

    @hosted_base.setter
    def hosted_base(self, origin: str) -> None:
        origin = origin.rstrip("/")
        self.settings.checkout_base = self.settings.portal_base = self.settings.invoice_base = origin

    def sign(self, body: bytes, at: datetime | None = None, *, secret: str | None = None) -> str:
        """The header `Stripe-Signature` for a body, signed now or `at` another time."""
        seconds = self.clock.seconds() if at is None else to_micros(at) // 1_000_000
        return signature(body, secret or self.webhook_secret, seconds)

    def checkout_page(self, session_id: str) -> str:
        """The HTML of the checkout page of a session."""
        from .pages.checkout_page import checkout_page

        return checkout_page(self._state, session_id)

    def portal_page(self, session_id: str) -> str:
        """The HTML of the portal page of a portal session."""
        from .pages.portal_page import portal_page

        return portal_page(self._state, session_id)

    def _attach(self, receiver: Receiver | AsyncReceiver) -> None:
        with self._state.world.lock:
            self._state.outbox.targets.library = receiver
