"""What is sold: plans, the allowances in them, and the features they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, cast

from attrs import field, frozen

Reset = Literal["hour", "day", "week", "month", "quarter", "year", "never"]
Anchor = Literal["billing", "calendar", "grant"]
Overage = Literal["none", "free", "billed"]
PlanChangePolicy = Literal["carry_usage", "reset", "carry_remaining", "prorate"]
Aggregation = Literal["sum", "count", "max", "latest", "unique"]
ProrationBehavior = Literal["create_prorations", "always_invoice", "none"]
BillingInterval = Literal["month", "year"]
LimitWindow = Literal["hour", "day", "week", "month", "year"]
Debt = Literal["forgive", "carry"]
FeatureKind = Literal["boolean", "metered", "quantity", "seat", "credit"]

SEATS = "seats"
"""The feature that every plan with seats has: `check(org, "seats")` asks for one more member."""


def _empty() -> dict[str, int | str | Decimal]:
    return {}


@frozen
class Feature:
    """What is known of a feature beyond its key. Optional: a feature named only in a plan is declared by being named.

    Quantities are integers in units of `10**-scale`; `credit_cost` maps credit features, in the order in which they are
    asked to pay, to what one unit costs: never a float, and exact at the scale of the credits. `aggregation` says what
    reported values amount to; things that exist (`Quantity`) can only be a sum, a maximum or the latest value.
    What counts different values ("unique") is told each in the property `value` of the use.
    """

    key: str
    title: str | None = None
    unit: str | None = None
    scale: int = 0
    credit_cost: Mapping[str, int | str | Decimal] = field(factory=_empty)
    aggregation: Aggregation = "sum"


def _anything() -> dict[str, str | int | bool]:
    return {}


@frozen
class UsageLimit:
    """At most `maximum` units within every window of `count` times `per`, by the calendar of `timezone`.

    `per_entity` counts every entity by itself, and leaves use without one unlimited; `where` are properties that a use
    must have to be counted, all of them. The windows do not follow the plan: two plans whose limits differ in nothing
    but `maximum` count into the same ones, so that a change of plan refills none.

        "messages": Metered(10_000, limits=(UsageLimit(200, per="day"),))
    """

    maximum: int
    per: LimitWindow = "day"
    count: int = 1
    per_entity: bool = False
    where: Mapping[str, str | int | bool] = field(factory=_anything)
    timezone: str = "UTC"


@frozen
class Boolean:
    """The plan has the feature: `"sso": Boolean()`; with `trial=False` not before a trial has ended."""

    trial: bool = field(default=True, kw_only=True)


@frozen
class Quantity:
    """How many of a thing may exist: `"projects": Quantity(5)`. Never resets; `give_back` returns what was deleted.

    `limits` bound how many may be made in a time, `alerts` are percentages of what is included. While the subscription
    is trialing `trial` is included instead (None: the same), per seat where the rest is.
    """

    included: int = 0
    unlimited: bool = False
    per_seat: bool = False
    trial: int | None = field(default=None, kw_only=True)
    limits: Sequence[UsageLimit] = field(default=(), kw_only=True)
    alerts: Sequence[int] = field(default=(), kw_only=True)


@frozen(kw_only=True)
class _Metered:
    unlimited: bool = False
    per_seat: bool = False
    reset: Reset = "month"
    anchor: Anchor = "billing"
    overage: Overage = "none"
    overage_limit: int | None = None
    meter: str | None = None
    rollover: int | None = None
    rollover_periods: int | None = None
    on_plan_change: PlanChangePolicy = "carry_usage"
    debt: Debt = "forgive"
    trial: int | None = None
    limits: Sequence[UsageLimit] = ()
    alerts: Sequence[int] = ()


@frozen
class Metered(_Metered):
    """How much may be used in a period: `"messages": Metered(10_000, reset="month")`.

    The period is anchored to the subscription's billing day, also under a yearly bill; `anchor="calendar"` resets on
    calendar boundaries in UTC, `anchor="grant"` at the moment of the grant. `overage="free"` lets use go on beyond
    `included` (up to `overage_limit`); with `"billed"` what is beyond it is reported to the Stripe meter whose event
    name is `meter`. A `meter` without billed overage is told of everything that the plan covers.

    At most `rollover` unused units (no more than 1,000 times what is included) move into the next period, where they
    live for `rollover_periods` periods (None: until they are used). What a plan that is too small for the usage carried
    over forgives, `debt="carry"` takes from the next period, free overage too. `limits` hold within windows of their
    own; `alerts` are percentages of what is included, each told of once a period.

    While the subscription is trialing every period includes `trial` instead (None: the same), and there is no overage;
    periods that begin in a trial leave nothing to the next one.
    """

    included: int = 0


@frozen
class Credits(_Metered):
    """A pool that features with a `credit_cost` draw from: `"credits": Credits(500)`."""

    included: int = 0


Allowance = Boolean | Quantity | Metered | Credits


def _no_lines() -> dict[str, int | None]:
    return {}


def _lines(given: Any) -> Any:
    """Prices and how many of each, from each form that they may have; what is none of them is left to be judged."""
    if not isinstance(given, (list, tuple)):
        return given
    entries = cast("Sequence[object]", given)
    told: list[tuple[object, object]] = []
    for each in entries:
        if isinstance(each, str):
            told.append((each, None))
        elif isinstance(each, Mapping) and set(cast("Mapping[object, object]", each)) <= {"price", "quantity"}:
            line = cast("Mapping[str, object]", each)
            told.append((line.get("price"), line.get("quantity")))
        else:
            return entries
    return dict(told)


def _no_limits() -> dict[str, object]:
    return {}


def _no_features() -> dict[str, Allowance]:
    return {}


@frozen(kw_only=True)
class _Plan:
    price_id: str | None = None
    annual_price_id: str | None = None
    lookup_key: str | None = None
    annual_lookup_key: str | None = None
    seats: bool = False
    seat_price_id: str | None = None
    purchased_seats: bool = False
    min_seats: int = 1
    max_seats: int | None = None
    metered: bool = False
    proration_behavior: ProrationBehavior | None = None
    trial_days: int = 0
    title: str | None = None
    group: str = "default"
    rank: int | None = None
    line_items: Mapping[str, int | None] = field(factory=_no_lines, converter=_lines)
    limits: Mapping[str, object] = field(factory=_no_limits)
    features: Mapping[str, Allowance] = field(factory=_no_features)


@frozen
class Plan(_Plan):
    """A plan: what it is called, the Stripe prices that sell it, and what it allows.

    A plan with neither `price_id` nor `lookup_key` is free and never sent to Stripe. `group` holds one live
    subscription per reference; `rank` tells upgrade from downgrade (default: the position in the list); `limits` is
    echoed by lists and enforced by nobody.

    With `seats` an organization pays for its members, by `seat_price_id` beside the base price, else by the quantity of
    the base price: at least `min_seats`, and no more members than `max_seats` are taken. With `purchased_seats` a
    number of seats is bought ahead instead, which is how many members there may be; so it is for users always.

    `line_items` are further Stripe prices that are sold with the plan:
    `{"price_setup": 1}`, or `["price_metered"]` for prices without a quantity. `proration_behavior` is what Stripe does
    with the unused time when the plan is changed to at once; None leaves it to the option `plan_change`.
    """

    name: str

    @property
    def key(self) -> str:
        """The name as stored and compared: lower-case."""
        return self.name.lower()

    @property
    def is_free(self) -> bool:
        """No Stripe price sells it."""
        return not (self.price_id or self.lookup_key or self.annual_price_id or self.annual_lookup_key)

    def price_for(self, interval: BillingInterval) -> str | None:
        """The configured Stripe price id of an interval."""
        return self.annual_price_id if interval == "year" else self.price_id

    def lookup_key_for(self, interval: BillingInterval) -> str | None:
        """The configured lookup key of an interval."""
        return self.annual_lookup_key if interval == "year" else self.lookup_key


@frozen(kw_only=True)
class _TopUp:
    price_id: str
    grants: Mapping[str, int]
    expires_after: timedelta | None = None
    min_quantity: int = 1
    max_quantity: int | None = None
    adjustable: bool = False


@frozen
class TopUp(_TopUp):
    """A one-time Stripe price and what each unit of it grants, which lapses `expires_after` it was paid (None: never).

    With `adjustable` the buyer may change the quantity on the page, within the same bounds.

    TopUp("pack", price_id="price_1", grants={"credits": 1_000})
    """

    name: str
