"""What the tests of usage do over and over: tell usage, buy a metered price, read what was counted."""

from __future__ import annotations

from typing import Any

from tests.simulator.shop import Shop

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def use(shop: Shop, customer: str, value: object, *, event: str = "tokens", **more: Any) -> dict[str, Any]:
    """Tell usage of a customer; it is counted a minute later."""
    return shop.post("/v1/billing/meter_events", usage(customer, value, event=event, **more))


def usage(customer: str, value: object, *, event: str = "tokens", **more: Any) -> dict[str, Any]:
    """The parameters of a good meter event."""
    return {
        "event_name": event,
        "payload[stripe_customer_id]": customer,
        "payload[value]": str(value),
        **more,
    }


def buy_metered(shop: Shop, customer: str, price: str, **params: Any) -> str:
    """The id of a new subscription to a metered price."""
    wanted: dict[str, Any] = {"customer": customer, "line_items[0][quantity]": None, **params}
    return str(shop.buy(price, **wanted)["id"])


def counted(shop: Shop, customer: str, *, event: str = "tokens") -> int:
    """What a meter has counted for a customer, over all time."""
    return shop.stripe.usage(customer, event)


def meter(shop: Shop, *, event: str = "tokens", formula: str = "sum", **more: Any) -> str:
    """A new meter's id."""
    params = {"display_name": "Tokens", "event_name": event, "default_aggregation[formula]": formula, **more}
    return str(shop.post("/v1/billing/meters", params)["id"])


def summaries(shop: Shop, meter_id: str, customer: str, start: int, end: int, **more: Any) -> list[tuple[int, float]]:
    """Start and value of each event summary of a span, as listed."""
    params = {"customer": customer, "start_time": start, "end_time": end, "limit": "100", **more}
    rows = shop.get(f"/v1/billing/meters/{meter_id}/event_summaries", params)["data"]
    return [(row["start_time"], row["aggregated_value"]) for row in rows]


def grant(shop: Shop, customer: str, value: int, **more: Any) -> str:
    """The id of a new credit grant for all metered prices."""
    params: dict[str, Any] = {
        "customer": customer,
        "amount[type]": "monetary",
        "amount[monetary][currency]": "usd",
        "amount[monetary][value]": str(value),
        "applicability_config[scope][price_type]": "metered",
        **more,
    }
    kept = {name: given for name, given in params.items() if given is not None}
    return str(shop.post("/v1/billing/credit_grants", kept)["id"])
