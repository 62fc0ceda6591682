"""What the tests of healing tell of, and how they look at what came of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text

from kernia_billing.domain.reports import Finding
from tests.webhooks.shop import Shop


def untold_story(shop: Shop) -> None:
    """Purchases, a change, a cancellation, a trial, and nothing of it is heard of here."""
    for reference, plan in (("ann", "pro"), ("bob", "team"), ("cat", "trial"), ("dan", "crew")):
        shop.stripe.pay(shop.upgrade(reference, plan))
    for each in shop.objects("subscription")[:1]:
        shop.change_price(each["id"], "price_team")
    shop.account.post(f"/v1/subscriptions/{shop.objects('subscription')[1]['id']}", {"cancel_at_period_end": "true"})
    page = shop.upgrade("eve")
    shop.account.post(f"/v1/checkout/sessions/{page.session_id}/expire", {})


def errors(shop: Shop, *, with_stripe: bool = False) -> list[Finding]:
    """What is wrong, but for the webhook endpoint, which a simulator that delivers in the process needs not."""
    found = shop.billing.doctor(with_stripe=with_stripe).findings
    return [each for each in found if each.severity == "error" and each.check != "webhooks.endpoint"]


def differences(shop: Shop) -> list[Any]:
    """What differs between Stripe and here."""
    drift = shop.billing.reconcile(dry_run=True).drift
    assert drift is not None
    return list(drift.differences)


def execute(shop: Shop, *statements: str, **values: Any) -> None:
    """Change rows behind the library's back, against the constraints of SQLite's tables too."""
    engine = create_engine(shop.url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                connection.execute(text(statement), values)
            connection.commit()
    finally:
        engine.dispose()


class Cut(BaseException):
    """What a killed process does not survive: no `except Exception` sees it."""


@contextmanager
def cut_at(shop: Shop, call: int) -> Generator[list[str]]:
    """Let the process die at its n-th call for a page of a list; gives the paths that were asked for."""
    stripe: Any = shop.billing._wiring.core.stripe
    real, asked = stripe.page, list[str]()

    async def page(path: str, *rest: Any, **options: Any) -> Any:
        if len(asked) == call:
            raise Cut
        asked.append(path)
        return await real(path, *rest, **options)

    background = stripe.in_background
    stripe.page, stripe.in_background = page, lambda: stripe
    try:
        yield asked
    finally:
        del stripe.page, stripe.in_background
        assert background is not None
