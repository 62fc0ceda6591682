"""Invoices and invoice items that are made by hand, and previews."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import DAY, Shop, at
from tests.simulator.test_prorations import DECLINES, GOOD, item_of, subscribe, waiting


def _customer(shop: Shop, card: str = GOOD) -> str:
    customer = shop.customer()
    shop.stripe.use_card(customer, card)
    return customer


def _draft(shop: Shop, customer: str, *amounts: int, **params: str) -> dict[str, Any]:
    for amount in amounts:
        shop.post("/v1/invoiceitems", {"customer": customer, "amount": str(amount), "currency": "usd"})
    return shop.post(
        "/v1/invoices",
        {"customer": customer, "currency": "usd", "pending_invoice_items_behavior": "include", **params},
    )


def test_an_invoice_by_hand(shop: Shop) -> None:
    """Items wait, the draft takes them, finalising freezes it, paying settles it."""
    customer = _customer(shop)
    before = len(shop.stripe.events)
    draft = _draft(shop, customer, 500, -100)
    path = f"/v1/invoices/{draft['id']}"
    shop.post("/v1/invoiceitems", {"customer": customer, "amount": "50", "currency": "usd", "invoice": draft["id"]})
    final = shop.post(f"{path}/finalize")
    paid = shop.post(f"{path}/pay")

    assert (400, None, "manual", None, False) == (
        draft["total"],
        draft["number"],
        draft["billing_reason"],
        draft["parent"],
        draft["auto_advance"],
    )
    assert [500, -100, 50] == [line["amount"] for line in final["lines"]["data"]]
    assert ("open", 450, "paid", 450) == (final["status"], final["amount_due"], paid["status"], paid["amount_paid"])
    assert [
        "invoiceitem.created",
        "invoiceitem.created",
        "invoice.created",
        "invoiceitem.created",
        "invoice.finalized",
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ] == [type for type in shop.types(before) if type != "customer.updated"]
    late = {"customer": customer, "amount": "1", "currency": "usd", "invoice": draft["id"]}
    assert "invoice_not_editable" == shop.refused("POST", "/v1/invoiceitems", late).code


def test_invoice_items_by_price_and_quantity(shop: Shop) -> None:
    """A one-time price, or an amount per unit, times a quantity; only what waits can be deleted."""
    customer = _customer(shop)
    priced = shop.post(
        "/v1/invoiceitems",
        {"customer": customer, "pricing[price]": shop.price(300, interval=None), "quantity": "2"},
    )
    each = shop.post(
        "/v1/invoiceitems",
        {"customer": customer, "unit_amount_decimal": "1.5", "quantity": "3", "currency": "usd", "description": "x"},
    )
    kept = shop.get(f"/v1/invoiceitems/{each['id']}")
    shop.delete(f"/v1/invoiceitems/{priced['id']}")

    assert (600, 5, "x", [5]) == (priced["amount"], each["amount"], kept["description"], waiting(shop))
    assert 404 == shop.refused("GET", f"/v1/invoiceitems/{priced['id']}").status
    assert ["invoiceitem.created", "invoiceitem.created", "invoiceitem.deleted"] == [
        type for type in shop.types() if type.startswith("invoiceitem")
    ]
    on_draft = _draft(shop, customer)
    assert 5 == on_draft["total"]
    shop.delete(f"/v1/invoiceitems/{each['id']}")
    assert 0 == shop.get(f"/v1/invoices/{on_draft['id']}")["total"]


@pytest.mark.parametrize(
    "params",
    [
        {"amount": "1", "currency": "usd"},
        {"customer": "own"},
        {"customer": "own", "amount": "1", "quantity": "2", "currency": "usd"},
        {"customer": "own", "amount": "1", "unit_amount_decimal": "1", "currency": "usd"},
        {"customer": "own", "pricing[price]": "monthly"},
        {"customer": "own", "amount": "1", "currency": "usd", "period[start]": "20", "period[end]": "10"},
        {"customer": "own", "amount": "1", "currency": "usd", "subscription": "foreign"},
        {"customer": "own", "amount": "1", "currency": "usd", "invoice": "in_0"},
        {"customer": "own", "amount": "1"},
    ],
)
def test_bad_invoice_items_are_refused(shop: Shop, params: dict[str, str]) -> None:
    """Nobody's, nothing's, of two amounts, of a recurring price, or for somebody else's subscription."""
    names = {
        "own": shop.customer(),
        "monthly": shop.price(100),
        "foreign": subscribe(shop, shop.price(100))["id"],
    }
    given = {name: names.get(value, value) for name, value in params.items()}

    assert 400 == shop.refused("POST", "/v1/invoiceitems", given).status
    assert [] == waiting(shop)


def test_items_of_a_subscription_wait_for_it_alone(shop: Shop) -> None:
    """Another subscription's renewal leaves them, their own takes them; what names none goes with the first."""
    customer = _customer(shop)
    one, two = (
        shop.post("/v1/subscriptions", {"customer": customer, "items[0][price]": shop.price(amount)})["id"]
        for amount in (1_000, 2_000)
    )
    shop.post("/v1/invoiceitems", {"customer": customer, "amount": "7", "currency": "usd", "subscription": two})
    shop.stripe.advance(months=1)

    assert (1_000, 2_007) == (shop.invoices(one)[0]["total"], shop.invoices(two)[0]["total"])


def test_prorations_can_be_billed_by_hand(shop: Shop) -> None:
    """An invoice of a subscription takes what waits for it, and is refused when nothing does."""
    subscription = subscribe(shop, shop.price(1_000))
    assert "Nothing to invoice" in shop.refused("POST", "/v1/invoices", {"subscription": subscription["id"]}).message
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"items[0][id]": item_of(subscription), "items[0][quantity]": "3"})
    made = shop.post("/v1/invoices", {"subscription": subscription["id"], "auto_advance": "true"})
    shop.stripe.advance(hours=1)

    assert (2_000, subscription["id"], made["id"]) == (
        made["total"],
        made["parent"]["subscription_details"]["subscription"],
        shop.subscription(subscription["id"])["latest_invoice"],
    )
    assert "paid" == shop.get(f"/v1/invoices/{made['id']}")["status"]
    assert 400 == shop.refused("DELETE", f"/v1/invoices/{made['id']}").status


def test_drafts_can_be_changed_and_deleted(shop: Shop) -> None:
    """A deleted draft leaves its items waiting; what is no draft keeps all but metadata and collection."""
    customer = _customer(shop)
    draft = _draft(shop, customer, 500)
    path = f"/v1/invoices/{draft['id']}"
    changed = shop.post(path, {"description": "March", "metadata[a]": "1"})
    assert {"object": "invoice", "id": draft["id"], "deleted": True} == shop.delete(path)
    assert ("March", {"a": "1"}, [500], 404) == (
        changed["description"],
        changed["metadata"],
        waiting(shop),
        shop.refused("GET", path).status,
    )
    other = f"/v1/invoices/{_draft(shop, customer)['id']}"
    shop.post(f"{other}/finalize")
    assert "invoice_not_editable" == shop.refused("POST", other, {"description": "x"}).code
    assert {"b": "2"} == shop.post(other, {"metadata[b]": "2"})["metadata"]
    assert 400 == shop.refused("DELETE", other).status
    assert {"invoice.updated", "invoice.deleted"} <= set(shop.types())


def test_invoices_are_sent_and_paid_elsewhere(shop: Shop) -> None:
    """`send` finalises and sends; money that came another way counts as paid and cancels the payment."""
    customer = shop.customer()
    draft = _draft(shop, customer, 900, collection_method="send_invoice", days_until_due="14")
    path = f"/v1/invoices/{draft['id']}"
    sent = shop.post(f"{path}/send")
    paid = shop.post(f"{path}/pay", {"paid_out_of_band": "true"})

    assert (shop.now + 14 * DAY, "open", "invoice.sent" in shop.types()) == (sent["due_date"], sent["status"], True)
    assert ("paid", 900, 0, 0) == (
        paid["status"],
        paid["amount_paid"],
        paid["amount_remaining"],
        paid["attempt_count"],
    )
    assert "payment_intent.canceled" in shop.types()
    assert 400 == shop.refused("POST", f"/v1/invoices/{_draft(shop, customer)['id']}/send").status


def test_states_of_invoices(shop: Shop) -> None:
    """Open ones are voided or given up, those that are given up can still be paid or voided, the rest is refused."""
    customer = _customer(shop, DECLINES)
    paths = [f"/v1/invoices/{_draft(shop, customer, 100)['id']}" for _ in range(2)]
    for path in paths:
        assert 400 == shop.refused("POST", f"{path}/void").status
        shop.post(f"{path}/finalize", {"auto_advance": "false"})
        assert 402 == shop.refused("POST", f"{path}/pay").status
        lost = shop.post(f"{path}/mark_uncollectible")
        assert ("uncollectible", {"uncollectible": {"reason": "user_forgiven"}}) == (
            lost["status"],
            lost["status_details"],
        )
    shop.stripe.use_card(customer, GOOD)

    assert "void" == shop.post(f"{paths[0]}/void")["status"]
    assert "paid" == shop.post(f"{paths[1]}/pay")["status"]
    for path in paths:
        for action in ("void", "mark_uncollectible", "finalize", "pay"):
            assert 400 == shop.refused("POST", f"{path}/{action}").status


def test_invoices_advance_by_themselves_if_told(shop: Shop) -> None:
    """`auto_advance` finalises and charges after an hour, and tries again by the plan."""
    customer = _customer(shop, DECLINES)
    path = f"/v1/invoices/{_draft(shop, customer, 100, auto_advance='true')['id']}"
    shop.stripe.advance(hours=1)
    tried = shop.get(path)
    shop.stripe.use_card(customer, GOOD)
    shop.stripe.advance(days=1)

    assert ("open", 1, "paid") == (tried["status"], tried["attempt_count"], shop.get(path)["status"])
    later = f"/v1/invoices/{_draft(shop, customer, 100)['id']}"
    shop.post(f"{later}/finalize", {"auto_advance": "true"})
    shop.stripe.advance(hours=1)
    assert "paid" == shop.get(later)["status"]


def test_long_invoices_are_read_by_pages(shop: Shop) -> None:
    """An invoice carries ten lines, and says that there are more."""
    draft = _draft(shop, _customer(shop), *range(1, 13))
    rest = shop.get(f"/v1/invoices/{draft['id']}/lines", {"limit": "100"})

    assert (10, True, 12) == (len(draft["lines"]["data"]), draft["lines"]["has_more"], len(rest["data"]))
    assert sum(range(1, 13)) == draft["total"]


def _preview(shop: Shop, **params: str) -> dict[str, Any]:
    return shop.post("/v1/invoices/create_preview", params)


def test_a_preview_of_the_next_renewal(shop: Shop) -> None:
    """It shows what will be billed and when, and changes nothing."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"items[0][id]": item_of(subscription), "items[0][quantity]": "2"})
    state, events = shop.get(path), len(shop.stripe.events)
    preview = _preview(shop, subscription=subscription["id"])

    assert preview["id"].startswith("upcoming_in_")
    assert ("draft", "upcoming", at(2026, 2, 15, 12), 3_000) == (
        preview["status"],
        preview["billing_reason"],
        preview["created"],
        preview["total"],
    )
    assert (state, events, 1) == (shop.get(path), len(shop.stripe.events), len(shop.invoices(subscription["id"])))
    shop.stripe.advance(months=1)
    assert preview["total"] == shop.invoices(subscription["id"])[0]["total"]


def test_previews_of_changes_are_what_the_changes_cost(shop: Shop) -> None:
    """Each kind of change previews to the cent what making it bills."""
    large, yearly = shop.price(7_777), shop.price(50_000, interval="year")
    for change, trial in (
        ({"items[0][price]": large, "proration_behavior": "always_invoice"}, None),
        ({"items[0][price]": yearly}, None),
        ({"items[0][price]": yearly, "proration_behavior": "none"}, None),
        ({"billing_cycle_anchor[type]": "now"}, None),
        ({"trial_end": "now"}, "14"),
    ):
        params = {"trial_period_days": trial} if trial else {}
        subscription = subscribe(shop, shop.price(1_000), **params)
        shop.stripe.advance(days=3, hours=3)
        given = dict(change)
        if "items[0][price]" in given:
            given["items[0][id]"] = item_of(subscription)
        details = {_nested("subscription_details", name): value for name, value in given.items()}
        preview = _preview(shop, subscription=subscription["id"], **details)
        shop.post(f"/v1/subscriptions/{subscription['id']}", given)
        made = shop.invoices(subscription["id"])[0]

        amounts = [[line["amount"] for line in row["lines"]["data"]] for row in (preview, made)]
        assert amounts[0] == amounts[1]
        assert (preview["total"], preview["amount_due"]) == (made["total"], made["amount_due"])


def _nested(name: str, path: str) -> str:
    head, bracket, tail = path.partition("[")
    return f"{name}[{head}]{bracket}{tail}"


def test_previews_of_pauses_ends_and_beginnings(shop: Shop) -> None:
    """A pause, its resumption, a cancellation now, and a subscription that does not exist yet."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    of = {"subscription": subscription["id"]}
    pause = _preview(shop, **of, **{"subscription_details[pause][invoicing_behavior]": "invoice"})
    cancel = _preview(shop, **of, **{"subscription_details[cancel_now]": "true"})
    none = shop.refused(
        "POST", "/v1/invoices/create_preview", {**of, "subscription_details[cancel_at_period_end]": "true"}
    )
    shop.post(f"/v1/subscriptions/{subscription['id']}/pause", {"bill_for[unused_time_from][type]": "none"})
    resume = _preview(shop, **of, **{"subscription_details[resume_at]": "now"})
    fresh = _preview(
        shop, customer=subscription["customer"], **{"subscription_details[items][0][price]": shop.price(450)}
    )

    assert (-1_550, -1_550, 3_100, 450) == (pause["total"], cancel["total"], resume["total"], fresh["total"])
    assert (404, "invoice_upcoming_none") == (none.status, none.code)
    assert "paused" == shop.subscription(subscription["id"])["status"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"customer": "cus_0"},
        {"subscription": "own", "preview_mode": "recurring"},
        {"subscription": "own", "schedule": "sub_sched_0"},
        {"subscription": "own", "subscription_details[resume_at]": "now"},
        {"subscription": "own", "subscription_details[cancel_now]": "true", "subscription_details[resume_at]": "now"},
        {"subscription": "own", "subscription_details[items][0][price]": "price_0"},
        {"subscription": "own", "invoice_items[0][description]": "nothing"},
    ],
)
def test_bad_previews_are_refused(shop: Shop, params: dict[str, str]) -> None:
    """Of nothing, of what is not there, of what cannot be, and of what is not modelled."""
    own = subscribe(shop, shop.price(1_000))["id"]
    given = {name: own if value == "own" else value for name, value in params.items()}

    assert 400 == shop.refused("POST", "/v1/invoices/create_preview", given).status


def test_invoice_items_can_be_tried_in_a_preview(shop: Shop) -> None:
    """They count with what really waits, and are gone afterwards."""
    subscription = subscribe(shop, shop.price(1_000))
    preview = _preview(
        shop,
        subscription=subscription["id"],
        **{
            "invoice_items[0][amount]": "25",
            "invoice_items[1][price]": shop.price(10, interval=None),
            "invoice_items[1][quantity]": "3",
        },
    )

    assert (1_055, []) == (preview["total"], waiting(shop))


def test_renewals_are_announced(shop: Shop) -> None:
    """Seven days before, once, with the preview; never for what ends, nor where the setting is off."""
    renewing, ending = subscribe(shop, shop.price(1_000)), subscribe(shop, shop.price(1_000))
    shop.post(f"/v1/subscriptions/{ending['id']}", {"cancel_at_period_end": "true"})
    before = len(shop.stripe.events)
    shop.stripe.advance(days=24)
    told = list(shop.stripe.events[before:])

    assert ["invoice.upcoming"] == [event["type"] for event in told]
    shown = told[0]["data"]["object"]
    assert (renewing["id"], 1_000) == (shown["parent"]["subscription_details"]["subscription"], shown["total"])
    shop.stripe.settings.upcoming_days = None
    subscribe(shop, shop.price(1_000))
    shop.stripe.advance(days=26)
    assert 1 == shop.types().count("invoice.upcoming")


def test_a_sent_invoice_is_not_tried(shop: Shop) -> None:
    """A draft that is to be sent has no next attempt, no more than what is foreseen of a subscription that is sent."""
    charged = subscribe(shop, shop.price(1_000))
    sent = subscribe(shop, shop.price(1_000), collection_method="send_invoice", days_until_due="5")
    shop.stripe.advance(months=1)
    draft = shop.invoices(charged["id"])[0]
    path, change = f"/v1/invoices/{draft['id']}", {"collection_method": "send_invoice", "days_until_due": "3"}

    assert ("draft", shop.now + 3_600) == (draft["status"], draft["next_payment_attempt"])
    assert shop.post(path, change)["next_payment_attempt"] is None
    assert shop.post("/v1/invoices/create_preview", {"subscription": sent["id"]})["next_payment_attempt"] is None


def test_an_invoice_that_was_given_up_is_paid(shop: Shop) -> None:
    """Why it was uncollectible is not said of it any more."""
    subscription = subscribe(shop, shop.price(1_000), collection_method="send_invoice", days_until_due="5")
    path = f"/v1/invoices/{subscription['latest_invoice']}"
    given_up = shop.post(f"{path}/mark_uncollectible")
    paid = shop.post(f"{path}/pay", {"paid_out_of_band": "true"})

    assert {"uncollectible": {"reason": "user_forgiven"}} == given_up["status_details"]
    assert ("paid", None) == (paid["status"], paid["status_details"])
