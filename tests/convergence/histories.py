"""The histories that the tests of convergence play: what had happened, and six events of what happens then."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from tests.convergence.scene import DECLINING, REFERENCE, VISA, Scene

Act = Callable[[Scene], object]
UPDATED = "customer.subscription.updated"


@frozen
class Step:
    """Something that happens, and the types of those of its events that are delivered."""

    act: Act
    told: tuple[str, ...] = ()


@frozen
class History:
    """What had happened, of which everything was heard, and what happens then."""

    name: str
    before: Act
    steps: tuple[Step, ...]


def _buy(plan: str = "pro") -> Act:
    return lambda scene: scene.buy(plan)


def _change(**params: str) -> Act:
    return lambda scene: scene.change(**params)


def _switch(price: str, quantity: int = 1) -> Act:
    return lambda scene: scene.switch(price, quantity)


def _pass(*, months: int = 0, days: int = 0, hours: int = 0) -> Act:
    return lambda scene: scene.stripe.advance(months=months, days=days, hours=hours)


def _open_page(scene: Scene) -> None:
    scene.open_page()


def _buy_on_a_bad_card(scene: Scene) -> None:
    scene.buy()
    scene.stripe.use_card(REFERENCE, DECLINING)
    scene.stripe.deliver()


def _cancel(scene: Scene) -> None:
    scene.account.delete(f"/v1/subscriptions/{scene.subscription}")


def _subscribe_again(scene: Scene) -> None:
    card = scene.rows("payment_method")[-1]["id"]
    chosen = {"customer": scene.customer, "items[0][price]": "price_team", "default_payment_method": card}
    scene.account.post("/v1/subscriptions", chosen)


def _verb(verb: str) -> Act:
    return lambda scene: scene.account.post(f"/v1/subscriptions/{scene.subscription}/{verb}")


def _schedule(scene: Scene) -> None:
    scene.account.post("/v1/subscription_schedules", {"from_subscription": scene.subscription})


def _plan_a_change(scene: Scene) -> None:
    (schedule,) = scene.rows("subscription_schedule")
    (phase,) = schedule["phases"]
    scene.account.post(
        f"/v1/subscription_schedules/{schedule['id']}",
        {
            "phases[0][items][0][price]": "price_pro",
            "phases[0][start_date]": phase["start_date"],
            "phases[0][end_date]": phase["end_date"],
            "phases[1][items][0][price]": "price_team",
            "phases[1][items][0][quantity]": "2",
            "phases[1][duration][interval]": "month",
        },
    )


def _release(scene: Scene) -> None:
    (schedule,) = scene.rows("subscription_schedule")
    scene.account.post(f"/v1/subscription_schedules/{schedule['id']}/release")


def _product_of(scene: Scene, price: str) -> str:
    return str(scene.account.get(f"/v1/prices/{price}")["product"])


def _rename(name: str) -> Act:
    return lambda scene: scene.account.post(f"/v1/products/{_product_of(scene, 'price_pro')}", {"name": name})


def _new_price(scene: Scene) -> None:
    product = _product_of(scene, "price_pro")
    scene.account.post(
        "/v1/prices",
        {"product": product, "currency": "usd", "unit_amount": "700", "recurring[interval]": "month"},
    )


def _retire_price(scene: Scene) -> None:
    price = scene.rows("price")[-1]["id"]
    scene.account.post(f"/v1/prices/{price}", {"active": "false", "nickname": "old"})


def _new_product(scene: Scene) -> None:
    scene.account.post("/v1/products", {"name": "A book"})


def _delete_product(scene: Scene) -> None:
    scene.account.delete(f"/v1/products/{scene.rows('product')[-1]['id']}")


def _detach(scene: Scene) -> None:
    scene.account.post(f"/v1/payment_methods/{scene.rows('payment_method')[-1]['id']}/detach")


def _delete_customer(scene: Scene) -> None:
    scene.account.delete(f"/v1/customers/{scene.customer}")


def _use_card(number: str) -> Act:
    return lambda scene: scene.stripe.use_card(REFERENCE, number)


HISTORIES = (
    History(
        "a first purchase",
        _open_page,
        (
            Step(
                Scene.pay,
                (
                    "payment_method.attached",
                    "customer.updated",
                    "customer.subscription.created",
                    "checkout.session.completed",
                    "invoice.paid",
                ),
            ),
            Step(_change(cancel_at_period_end="true"), (UPDATED,)),
        ),
    ),
    History(
        "plans and quantities change",
        _buy(),
        (
            Step(_switch("price_team"), ("invoice.paid", UPDATED)),
            Step(_switch("price_team", 3), ("invoice.paid",)),
            Step(_switch("price_pro"), ("customer.updated", "invoice.paid", UPDATED)),
        ),
    ),
    History(
        "a renewal fails and recovers",
        _buy_on_a_bad_card,
        (
            Step(_pass(months=1), ("invoice.created",)),
            Step(_pass(hours=2), ("invoice.payment_failed", UPDATED)),
            Step(_use_card(VISA), ("payment_method.attached",)),
            Step(lambda scene: scene.stripe.collect(REFERENCE), ("invoice.paid", "customer.updated")),
        ),
    ),
    History(
        "it ends with its period, and there is a new one",
        _buy(),
        (
            Step(_change(cancel_at_period_end="true"), (UPDATED,)),
            Step(_change(cancel_at_period_end="false"), (UPDATED,)),
            Step(_change(cancel_at_period_end="true"), (UPDATED,)),
            Step(_pass(months=1), ("customer.subscription.deleted",)),
            Step(_subscribe_again, ("customer.subscription.created", "invoice.paid")),
        ),
    ),
    History(
        "a trial ends, is paid and cancelled",
        _buy("trial"),
        (
            Step(_pass(days=11), ("customer.subscription.trial_will_end",)),
            Step(_pass(days=4), ("invoice.created", UPDATED, "invoice.paid")),
            Step(_change(cancel_at_period_end="true"), (UPDATED,)),
            Step(_cancel, ("customer.subscription.deleted",)),
        ),
    ),
    History(
        "collection pauses and goes on",
        _buy(),
        (
            Step(_change(**{"pause_collection[behavior]": "void"}), (UPDATED,)),
            Step(_pass(months=1), ("invoice.created", UPDATED)),
            Step(_pass(hours=2), ("invoice.voided",)),
            Step(_change(pause_collection=""), (UPDATED,)),
            Step(_pass(months=1), ("invoice.paid",)),
        ),
    ),
    History(
        "a schedule changes the plan",
        _buy(),
        (
            Step(_schedule, ("subscription_schedule.created",)),
            Step(_plan_a_change, ("subscription_schedule.updated",)),
            Step(_pass(months=1), (UPDATED, "invoice.created")),
            Step(_pass(hours=2), ("invoice.paid",)),
            Step(_release, ("subscription_schedule.released",)),
        ),
    ),
    History(
        "the catalogue changes",
        _buy(),
        (
            Step(_rename("Professional"), ("product.updated",)),
            Step(_new_price, ("price.created",)),
            Step(_retire_price, ("price.updated",)),
            Step(_new_product, ("product.created",)),
            Step(_delete_product, ("product.deleted",)),
            Step(_rename("Pro"), ("product.updated",)),
        ),
    ),
    History(
        "the customer is deleted",
        _buy(),
        (
            Step(_change(cancel_at_period_end="true"), (UPDATED,)),
            Step(_use_card(VISA), ("payment_method.attached", "customer.updated")),
            Step(_detach, ("payment_method.detached",)),
            Step(_delete_customer, ("customer.subscription.deleted", "customer.deleted")),
        ),
    ),
    History(
        "it pauses and resumes",
        _buy(),
        (
            Step(_pass(days=15)),
            Step(_verb("pause"), ("customer.subscription.paused", UPDATED)),
            Step(_pass(days=15)),
            Step(_verb("resume"), ("invoice.created", UPDATED)),
            Step(lambda scene: scene.stripe.collect(REFERENCE), ("invoice.paid", "customer.subscription.resumed")),
        ),
    ),
)

A_YEAR = History(
    "a year",
    _buy_on_a_bad_card,
    (
        Step(_rename("Professional")),
        Step(_change(cancel_at_period_end="true")),
        Step(_change(cancel_at_period_end="false")),
        Step(_pass(months=1)),
        Step(_pass(hours=2)),
        Step(_use_card(VISA)),
        Step(lambda scene: scene.stripe.collect(REFERENCE)),
        Step(_switch("price_team", 3)),
        Step(_schedule),
        Step(_release),
        Step(_pass(months=1)),
        Step(_pass(hours=2)),
        Step(_change(**{"pause_collection[behavior]": "keep_as_draft"})),
        Step(_pass(months=1)),
        Step(_change(pause_collection="")),
        Step(_switch("price_pro")),
        Step(_pass(months=6)),
        Step(_cancel),
        Step(_subscribe_again),
    ),
)
"""More than six events: for streams."""
