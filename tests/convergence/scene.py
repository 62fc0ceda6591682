"""The application whose histories are recorded: a `Billing` in memory, and the account that it sells on."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from sqlalchemy import Engine

from kernia_billing import Billing, Metered, Plan, Quantity
from kernia_billing.storage.engines import blocking_engine
from kernia_billing.testing import StripeSimulator
from tests.simulator.shop import Shop as Account
from tests.webhooks.shop import hurry

PLANS = (
    Plan("free", features={"projects": Quantity(1), "messages": Metered(10)}),
    Plan("pro", price_id="price_pro", features={"projects": Quantity(5), "messages": Metered(100)}),
    Plan("team", price_id="price_team", features={"projects": Quantity(50), "messages": Metered(1_000)}),
    Plan("trial", price_id="price_trial", trial_days=14, features={"projects": Quantity(5)}),
)
VISA, DECLINING = "4242424242424242", "4000000000000341"
REFERENCE = "ann"


def new_billing(stripe: StripeSimulator, database: Any, **options: Any) -> Billing:
    """The application on a database; events go to it from now on."""
    given: dict[str, Any] = {
        "database": database,
        "stripe_client": stripe,
        "plans": PLANS,
        "default_plan": "free",
        "base_url": "https://shop.example",
    }
    billing = Billing(**{**given, **options})
    hurry(billing)
    return billing


@define(eq=False)
class Scene:
    """Where a history takes place. Nothing is delivered by itself."""

    stripe: StripeSimulator = field(init=False)
    account: Account = field(init=False)
    billing: Billing = field(init=False)
    engine: Engine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = blocking_engine("sqlite://")
        self.stripe = StripeSimulator(deliver="manual")
        self.account = Account(self.stripe)
        self.billing = new_billing(self.stripe, self.engine)
        self.billing.catalog.sync()

    def close(self) -> None:
        """Close everything."""
        self.billing.close()
        self.engine.dispose()
        self.account.http.close()

    # ── What happens ────────────────────────────────────────────────────────────────────────────────────────────────

    def open_page(self, plan: str = "pro") -> str:
        """Open a checkout page; answers its session."""
        opened = self.billing.subscriptions.upgrade(REFERENCE, plan, success_url="/welcome", cancel_url="/plans")
        return str(opened.session_id)

    def buy(self, plan: str = "pro") -> None:
        """Buy a plan, and hear of it."""
        self.stripe.pay(self.open_page(plan))
        self.stripe.deliver()

    def pay(self) -> None:
        """Pay on the page that is open."""
        (session,) = [row["id"] for row in self.rows("checkout.session") if row["status"] == "open"]
        self.stripe.pay(session)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """What Stripe has of a kind."""
        return list(self.stripe.state.world.table(kind).rows.values())

    @property
    def subscription(self) -> str:
        """The id of the only subscription."""
        (row,) = self.rows("subscription")
        return str(row["id"])

    @property
    def customer(self) -> str:
        """The id of the only customer."""
        (row,) = self.rows("customer")
        return str(row["id"])

    def change(self, **params: str) -> None:
        """Change the subscription, as in the dashboard."""
        self.account.post(f"/v1/subscriptions/{self.subscription}", params)

    def switch(self, price: str, quantity: int = 1) -> None:
        """Put the subscription on another price, and bill the difference at once."""
        (item,) = self.account.subscription(self.subscription)["items"]["data"]
        chosen = {"items[0][id]": str(item["id"]), "items[0][price]": price, "items[0][quantity]": str(quantity)}
        self.change(**chosen, proration_behavior="always_invoice")
