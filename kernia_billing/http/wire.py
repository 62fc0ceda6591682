"""What a client may send, one type a route: names in camelCase, every member with its type and range.

Members that no type names are ignored and never passed on: a client cannot set an amount, a discount, a trial or a
customer by sending one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ..domain.answers import InvoiceStatus, Mode
from ..domain.bins import Bin
from ..domain.ids import MAX_QUANTITY
from ..domain.references import CustomerType
from .service import PortalFlow

# `$` alone would let a line break pass at the end.
_END = r"(?!\n)$"

ReferenceId = Annotated[
    str, Meta(min_length=1, max_length=255, description="Who is billed. Absent: the caller, by `customerType`.")
]
FeatureKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,100}" + _END, description="The key of a feature.")]
PlanName = Annotated[str, Meta(min_length=1, max_length=100, description="The name of a plan, in any case.")]
Url = Annotated[
    str,
    Meta(min_length=1, max_length=2048, description="A path on this application, or a URL on a trusted origin."),
]
ObjectId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,255}" + _END, description="An id from an earlier answer.")]
EntityId = Annotated[str, Meta(min_length=1, max_length=255, description="An entity within the reference.")]
IdempotencyKey = Annotated[
    str, Meta(pattern=r"^[!-~]{1,255}" + _END, description="The same key again gives the first answer again.")
]
Locale = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{2,8}){0,2}" + _END, description="As in `en-GB`.")]
Cursor = Annotated[str, Meta(min_length=1, max_length=500, description="`nextCursor` of the page before.")]
Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]
Count = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
CountOrNone = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
Lifetime = Annotated[int, Meta(ge=1, le=604_800, description="Seconds until what is set aside is free again.")]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="A name of the IANA database.")]
PropertyKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}" + _END, description="The name of a property.")]
ListedStatus = Literal["open", "paid", "uncollectible", "void"]
PageSize = Annotated[int, Meta(ge=1, le=200)]
Metadata = Annotated[dict[str, str], Meta(max_length=20, description="Copied to Stripe's objects.")]
Properties = Annotated[dict[str, str | int | bool], Meta(max_length=50, description="Kept with the event.")]


class Nothing(Struct, rename="camel", kw_only=True, frozen=True):
    """No members."""


class Scope(Struct, rename="camel", kw_only=True, frozen=True):
    """For whom: the members that every route about a reference takes, in the body or in the query."""

    reference_id: ReferenceId | None = None
    customer_type: CustomerType | None = None


class Upgrade(Scope, rename="camel", kw_only=True, frozen=True):
    """Buy a plan, or change to it."""

    plan: PlanName
    annual: bool = False
    seats: Count | None = None
    subscription_id: ObjectId | None = None
    metadata: Metadata = {}
    locale: Locale | None = None
    success_url: Url = "/"
    cancel_url: Url = "/"
    return_url: Url | None = None
    schedule_at_period_end: bool = False
    disable_redirect: bool = False


class ListSubscriptions(Scope, rename="camel", kw_only=True, frozen=True):
    """Which subscriptions to list."""

    status: Annotated[
        Literal["active", "live", "all"],
        Meta(description="`active`: active and trialing. `live`: all that have not ended. `all`: those too."),
    ] = "active"


class Cancel(Scope, rename="camel", kw_only=True, frozen=True):
    """Cancel a subscription."""

    return_url: Url
    subscription_id: ObjectId | None = None
    disable_redirect: bool = False


class Restore(Scope, rename="camel", kw_only=True, frozen=True):
    """Undo what is pending."""

    subscription_id: ObjectId | None = None


class OpenPortal(Scope, rename="camel", kw_only=True, frozen=True):
    """Open the billing portal."""

    return_url: Url = "/"
    flow: PortalFlow | None = None
    subscription_id: ObjectId | None = None
    locale: Locale | None = None
    disable_redirect: bool = False


class Check(Scope, rename="camel", kw_only=True, frozen=True):
    """Ask whether so much more of a feature may be used."""

    feature: FeatureKey
    required: CountOrNone = 1
    entity_id: EntityId | None = None
    preview: bool = False


class Track(Scope, rename="camel", kw_only=True, frozen=True):
    """Record a use of a feature."""

    feature: FeatureKey
    quantity: Count = 1
    mode: Mode = "record"
    properties: Properties = {}
    entity_id: EntityId | None = None
    occurred_at: Instant | None = None
    idempotency_key: IdempotencyKey | None = None


class Reserve(Scope, rename="camel", kw_only=True, frozen=True):
    """Set units of a feature aside."""

    feature: FeatureKey
    quantity: Count = 1
    ttl: Lifetime = 60
    entity_id: EntityId | None = None
    idempotency_key: IdempotencyKey | None = None


class Release(Scope, rename="camel", kw_only=True, frozen=True):
    """End a reservation of which nothing was used."""

    reservation_id: ObjectId


class Settle(Scope, rename="camel", kw_only=True, frozen=True):
    """End a reservation with what was used. Without a `quantity` that is everything."""

    reservation_id: ObjectId
    quantity: CountOrNone | None = None


class ListUsage(Scope, rename="camel", kw_only=True, frozen=True):
    """Which recorded uses to list."""

    feature: FeatureKey | None = None
    start: Instant | None = msgspec.field(name="from", default=None)
    end: Instant | None = msgspec.field(name="to", default=None)
    limit: PageSize = 50
    cursor: Cursor | None = None


class UsageSeries(Scope, rename="camel", kw_only=True, frozen=True):
    """Which use to add up, and in which pieces of time."""

    feature: FeatureKey
    bin: Bin = "day"
    start: Instant | None = msgspec.field(name="from", default=None)
    end: Instant | None = msgspec.field(name="to", default=None)
    tz: TimeZone = "UTC"
    group_by: PropertyKey | None = None


class ListInvoices(Scope, rename="camel", kw_only=True, frozen=True):
    """Which invoices to list."""

    status: ListedStatus | None = None
    charged: bool | None = None
    start: Instant | None = msgspec.field(name="from", default=None)
    end: Instant | None = msgspec.field(name="to", default=None)
    limit: PageSize = 20
    cursor: Cursor | None = None


class SearchInvoices(Struct, rename="camel", kw_only=True, frozen=True):
    """Which invoices of all references to list."""

    status: InvoiceStatus | None = None
    charged: bool | None = None
    start: Instant | None = msgspec.field(name="from", default=None)
    end: Instant | None = msgspec.field(name="to", default=None)
    limit: PageSize = 20
    cursor: Cursor | None = None


class OneInvoice(Scope, rename="camel", kw_only=True, frozen=True):
    """Which invoice: `invoiceId` stands in the path."""

    invoice_id: ObjectId


class ListProducts(Struct, rename="camel", kw_only=True, frozen=True):
    """Which products to list."""

    active: bool | None = None
    limit: PageSize = 100
    cursor: Cursor | None = None


class ListPrices(ListProducts, rename="camel", kw_only=True, frozen=True):
    """Which prices to list."""

    product_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class Success(Struct, rename="camel", kw_only=True, frozen=True):
    """The browser's return from Checkout. Judged by its own rules: it ends in a redirect or in a 403, whatever is sent.

    `callbackURL` is a path on this application, or a URL on a trusted origin.
    """

    callback_url: str = msgspec.field(name="callbackURL", default="/")
    checkout_session_id: str | None = None
    reference_id: str | None = None
    customer_type: str | None = None


class KavachCheckout(Struct, rename="camel", kw_only=True, frozen=True):
    """kavachOS: buy the plan that a price belongs to. Judged by its own rules; `trialDays` is the plan's to say."""

    price_id: Annotated[str, Meta(min_length=1, max_length=255, description="A Stripe price that sells a plan here.")]
    success_url: Annotated[object, Meta(description="Where the buyer goes; ignored unless it is a text.")] = None
    cancel_url: Annotated[object, Meta(description="Where who gives up goes; ignored unless it is a text.")] = None
    metadata: Annotated[object, Meta(description="Copied to Stripe's objects; ignored unless it is an object.")] = None


class KavachPortal(Struct, rename="camel", kw_only=True, frozen=True):
    """kavachOS: open the billing portal."""

    return_url: Url


W = TypeVar("W", bound=Struct)
