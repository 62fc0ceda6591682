"""What happens at Stripe, and the story of the webhook that tells of it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from kernia_billing import Billing
from tests.crashes.deaths import LEASE, Story
from tests.crashes.stage import Stage
from tests.harness.house import open_billing

Happens = Callable[[Stage, Billing], None]


def _bought(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=False)


def _changed(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=True)
    stage.account.post(f"/v1/subscriptions/{_subscription(stage)}", {"cancel_at_period_end": "true"})


def _ended(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=True)
    stage.account.delete(f"/v1/subscriptions/{_subscription(stage)}")


def _planned(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=True)
    stage.account.post("/v1/subscription_schedules", {"from_subscription": _subscription(stage)})


def _deleted(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=True)
    stage.account.delete(f"/v1/customers/{stage.newest('customer')['id']}")


def _pays_otherwise(stage: Stage, billing: Billing) -> None:
    stage.sell(billing, "ann", told=True)
    stage.stripe.use_card("ann", "5555555555554444")


def _renamed(stage: Stage, billing: Billing) -> None:
    stage.account.post(f"/v1/products/{stage.newest('product')['id']}", {"name": "Professional"})


def _subscription(stage: Stage) -> str:
    return str(stage.newest("subscription")["id"])


HAPPENINGS: dict[str, tuple[str, Happens]] = {
    "a session that was paid": ("checkout.session.completed", _bought),
    "a new subscription": ("customer.subscription.created", _bought),
    "a changed subscription": ("customer.subscription.updated", _changed),
    "the end of a subscription": ("customer.subscription.deleted", _ended),
    "an invoice that was paid": ("invoice.paid", _bought),
    "a schedule": ("subscription_schedule.created", _planned),
    "a deleted customer": ("customer.deleted", _deleted),
    "another card": ("payment_method.attached", _pays_otherwise),
    "a renamed product": ("product.updated", _renamed),
}
"""The type of the event, and how it comes about."""


def story(what: str) -> Story:
    """One event is taken in and worked on; after a restart it is sent again only where it was not stored."""
    kind, happens = HAPPENINGS[what]

    def prepare(stage: Stage) -> None:
        stage.open()
        with open_billing(stage.url, stage.stripe) as billing:
            happens(stage, billing)

    def receive(billing: Billing, stage: Stage) -> None:
        billing.webhooks.receive(*stage.webhook(kind))

    def receive_again(billing: Billing, stage: Stage) -> None:
        if not is_stored(billing, stage, kind):
            receive(billing, stage)
        billing.jobs.run()

    return Story(prepare, receive, receive_again, pause=LEASE)


def in_the_queue(what: str) -> Story:
    """The same in the mode "worker": the event is taken in, and then the jobs are run."""
    inline = story(what)

    def receive(billing: Billing, stage: Stage) -> None:
        inline.act(billing, stage)
        billing.jobs.run()

    return evolve(inline, act=receive, options={"webhook_mode": "worker"})


def is_stored(billing: Billing, stage: Stage, kind: str) -> bool:
    """Whether the newest event of a type was taken in."""
    return any(each.id == stage.event(kind)["id"] for each in billing.webhooks.list(type=kind))
