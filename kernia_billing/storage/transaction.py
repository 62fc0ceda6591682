"""The nouns of one unit of work, over one connection."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from .alerts import Alerts
from .audit import Audit
from .bulk import Part, run_all
from .bus import BusEvents
from .catalog import Catalog
from .checkouts import Checkouts
from .customers import Customers
from .db import Db
from .dialects import Flavour
from .entitlements import Entitlements
from .history import History
from .holds import Holds
from .horizons import Horizons
from .host_columns import HostColumns
from .inbox import Inbox
from .inspection import Inspection
from .intents import Intents
from .invoices import Invoices
from .leases import Leases
from .limits import Limits
from .measures import Measures
from .meter_events import MeterEvents
from .notices import Notices
from .objects import Objects
from .outbox import Outbox
from .payment_methods import PaymentMethods
from .plans import Plans
from .prepared import PreparedCursor
from .purchases import Purchases
from .schedules import Schedules
from .seats import Seats
from .settings import Settings
from .stripe_customers import StripeCustomers
from .subscriptions import Subscriptions
from .syncs import Syncs
from .trials import Trials
from .usage import UsageEvents


class SqlTransaction:
    """Everything that a unit can read and write. A noun costs nothing until it is named."""

    __slots__ = ("_db",)

    def __init__(self, connection: Connection, flavour: Flavour, cursor: PreparedCursor | None = None) -> None:
        self._db = Db(connection, flavour, cursor)

    def run_all(self, parts: Iterable[Part]) -> None:
        """Run changes of several tables at once; see `bulk.run_all`."""
        run_all(self._db, parts)

    @property
    def customers(self) -> Customers:
        """billing_customer."""
        return Customers(self._db)

    @property
    def catalog(self) -> Catalog:
        """The mirrored catalog."""
        return Catalog(self._db)

    @property
    def plans(self) -> Plans:
        """billing_plan and billing_plan_feature."""
        return Plans(self._db)

    @property
    def subscriptions(self) -> Subscriptions:
        """billing_subscription."""
        return Subscriptions(self._db)

    @property
    def checkouts(self) -> Checkouts:
        """billing_checkout_session."""
        return Checkouts(self._db)

    @property
    def purchases(self) -> Purchases:
        """billing_purchase."""
        return Purchases(self._db)

    @property
    def trials(self) -> Trials:
        """billing_trial."""
        return Trials(self._db)

    @property
    def entitlements(self) -> Entitlements:
        """billing_entitlement and billing_bucket."""
        return Entitlements(self._db)

    @property
    def usage(self) -> UsageEvents:
        """billing_usage_event and billing_ledger."""
        return UsageEvents(self._db)

    @property
    def history(self) -> History:
        """billing_entitlement_change and billing_customer_change."""
        return History(self._db)

    @property
    def holds(self) -> Holds:
        """billing_hold and billing_hold_line."""
        return Holds(self._db)

    @property
    def horizons(self) -> Horizons:
        """billing_horizon."""
        return Horizons(self._db)

    @property
    def limits(self) -> Limits:
        """billing_limit_window."""
        return Limits(self._db)

    @property
    def alerts(self) -> Alerts:
        """billing_alert_fired."""
        return Alerts(self._db)

    @property
    def notices(self) -> Notices:
        """billing_notice."""
        return Notices(self._db)

    @property
    def measures(self) -> Measures:
        """billing_measure and billing_unique_value."""
        return Measures(self._db)

    @property
    def inbox(self) -> Inbox:
        """billing_webhook_event."""
        return Inbox(self._db)

    @property
    def objects(self) -> Objects:
        """billing_stripe_object."""
        return Objects(self._db)

    @property
    def outbox(self) -> Outbox:
        """billing_outbox."""
        return Outbox(self._db)

    @property
    def bus(self) -> BusEvents:
        """billing_outbox, for the bus."""
        return BusEvents(self._db)

    @property
    def intents(self) -> Intents:
        """billing_intent."""
        return Intents(self._db)

    @property
    def settings(self) -> Settings:
        """billing_setting."""
        return Settings(self._db)

    @property
    def invoices(self) -> Invoices:
        """billing_invoice."""
        return Invoices(self._db)

    @property
    def schedules(self) -> Schedules:
        """billing_subscription_schedule."""
        return Schedules(self._db)

    @property
    def payment_methods(self) -> PaymentMethods:
        """billing_payment_method."""
        return PaymentMethods(self._db)

    @property
    def stripe_customers(self) -> StripeCustomers:
        """billing_stripe_customer."""
        return StripeCustomers(self._db)

    @property
    def host_columns(self) -> HostColumns:
        """The host's own tables."""
        return HostColumns(self._db)

    @property
    def seats(self) -> Seats:
        """billing_seat_count."""
        return Seats(self._db)

    @property
    def leases(self) -> Leases:
        """billing_lease."""
        return Leases(self._db)

    @property
    def syncs(self) -> Syncs:
        """billing_sync_state."""
        return Syncs(self._db)

    @property
    def audit(self) -> Audit:
        """billing_audit."""
        return Audit(self._db)

    @property
    def inspection(self) -> Inspection:
        """All tables."""
        return Inspection(self._db)

    @property
    def meter_events(self) -> MeterEvents:
        """billing_meter_event."""
        return MeterEvents(self._db)
