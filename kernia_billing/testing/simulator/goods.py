"""What a test puts into an account before anybody buys: products, prices, coupons and meters, as in the Dashboard."""

from __future__ import annotations

from typing import Literal

from .catalog import coupons, prices, products, promotion_codes
from .metering import meters
from .state import State
from .world.errors import ApiError, Json, SimulatorError

Interval = Literal["month", "year"]


class Goods:
    """The part of a simulator that adds what is sold."""

    _state: State

    def add_product(self, name: str, *, id: str | None = None) -> str:
        """Add a product and answer its id."""
        with self._state.world.lock:
            return str(products.new(self._state.world, name, id=id)["id"])

    def add_price(
        self,
        id: str,
        amount: int,
        currency: str = "usd",
        *,
        interval: Interval | None = "month",
        metered: bool = False,
        meter: str | None = None,
        product: str | None = None,
    ) -> None:
        """Add a price of `amount` minor units; `interval` None makes it one-time. Replaces a made-up one.

        A `metered` price bills the usage of the meter whose event name is `meter`, by default the price's id without
        `price_`; the meter is made if there is none.

        Raises:
            SimulatorError: the price exists and has an amount of its own.
        """
        with self._state.world.lock:
            existing = self._state.world.table("price").rows.get(id)
            if existing is not None and not existing.get("_made_up"):
                raise SimulatorError(f"price {id} exists already; prices cannot be changed")
            owner = product or (existing["product"] if existing else self.add_product(_title(id)))
            prices.new(
                self._state.world,
                owner,
                amount,
                currency.lower(),
                id=id,
                interval=interval,
                metered=metered,
                meter=meter,
            )

    def add_coupon(
        self,
        id: str,
        *,
        percent_off: float | None = None,
        amount_off: int | None = None,
        currency: str = "usd",
        duration: Literal["once", "repeating", "forever"] = "once",
        months: int | None = None,
        code: str | None = None,
    ) -> None:
        """Add a coupon of either `percent_off` or `amount_off` minor units; `months` go with the duration "repeating".

        With a `code` people can type it where promotion codes are allowed.

        Raises:
            SimulatorError: the coupon exists, or what it takes off is not clear.
        """
        amounts = {"percent_off": percent_off, "amount_off": amount_off, "duration_in_months": months}
        params: Json = {name: value for name, value in amounts.items() if value is not None}
        if amount_off is not None:
            params["currency"] = currency
        with self._state.world.lock:
            try:
                coupons.new(self._state.world, {"id": id, "duration": duration, **params})
                if code is not None:
                    promotion = {"type": "coupon", "coupon": id}
                    promotion_codes.new(self._state.world, {"code": code, "promotion": promotion})
            except ApiError as refusal:
                raise SimulatorError(f"coupon {id}: {refusal}") from refusal

    def add_meter(self, event_name: str, *, formula: Literal["count", "last", "sum"] = "sum") -> str:
        """Add a meter for usage events of that name and answer its id.

        Raises:
            SimulatorError: an active meter has that event name.
        """
        with self._state.world.lock:
            existing = meters.of_event(self._state.world, event_name)
            if existing is not None and existing["status"] == "active":
                raise SimulatorError(f"meter {existing['id']} has the event name {event_name}")
            return str(meters.new(self._state.world, event_name, formula=formula)["id"])

    def ensure_meter(self, event_name: str) -> None:
        """See that a meter exists that a configuration names: it adds up. Emits no events."""
        world = self._state.world
        with world.lock:
            world.events.muted = True
            try:
                meters.ensure(world, event_name)
            finally:
                world.events.muted = False

    def ensure_price(self, id: str, *, interval: Interval | None = "month", metered: bool = False) -> None:
        """See that a price exists that a configuration names: 10.00 USD, 100.00 a year. Emits no events.

        A metered one bills the meter that `add_price` would give it.
        """
        world = self._state.world
        with world.lock:
            if id in world.table("price").rows:
                return
            world.events.muted = True
            try:
                product = products.new(world, _title(id))
                amount = 10_000 if interval == "year" else 1_000
                made = prices.new(world, product["id"], amount, "usd", id=id, interval=interval, metered=metered)
                made["_made_up"] = True
            finally:
                world.events.muted = False


def _title(price_id: str) -> str:
    return price_id.removeprefix("price_").replace("_", " ").capitalize() or price_id
