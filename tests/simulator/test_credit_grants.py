"""Credit grants: what they pay for, which goes first, and where every cent of them went."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.metering import DAY, buy_metered, grant, use
from tests.simulator.shop import Shop

_SCOPE = "applicability_config[scope]"
_METERED = {"filter[type]": "applicability_scope", "filter[applicability_scope][price_type]": "metered"}


def _balance(shop: Shop, customer: str, **scope: str) -> int:
    """What a customer has left, by default for all metered prices."""
    summary = shop.get("/v1/billing/credit_balance_summary", {"customer": customer, **(scope or _METERED)})
    return sum(row["available_balance"]["monetary"]["value"] for row in summary["balances"])


def _moves(shop: Shop, of: str) -> list[tuple[str, int]]:
    """What happened to a grant, oldest first: the type of each transaction, and its amount."""
    rows = shop.get("/v1/billing/credit_balance_transactions", {"credit_grant": of, "limit": "100"})["data"]
    sides = [row["credit"] or row["debit"] for row in reversed(rows)]
    return [(side["type"], side["amount"]["monetary"]["value"]) for side in sides]


def _bill(shop: Shop, customer: str, amount: int, **more: Any) -> dict[str, Any]:
    """The paid invoice for a month's usage of that amount, with the price of one cent."""
    bought = buy_metered(shop, customer, shop.price(1, metered=True, meter="tokens"), **more)
    use(shop, customer, amount)
    shop.stripe.advance(months=1, hours=2)
    return shop.invoices(bought)[0]


def test_a_grant_pays_for_usage(shop: Shop) -> None:
    """Credits reduce the metered line before tax as the invoice is finalised, and the rest stays for the next."""
    customer = shop.customer()
    made = grant(shop, customer, 500, name="Welcome", category="promotional")
    seen = len(shop.stripe.events)
    invoice = _bill(shop, customer, 300)

    (line,) = invoice["lines"]["data"]
    (credit,) = line["pretax_credit_amounts"]
    taken = shop.get(f"/v1/billing/credit_balance_transactions/{credit['credit_balance_transaction']}")
    assert (300, 0, "paid", 0) == (invoice["subtotal"], invoice["total"], invoice["status"], invoice["amount_due"])
    assert ("credit_balance_transaction", 300) == (credit["type"], credit["amount"])
    assert [(credit["credit_balance_transaction"], 300)] == [
        (row["credit_balance_transaction"], row["amount"]) for row in invoice["total_pretax_credit_amounts"]
    ]
    assert {"invoice": invoice["id"], "invoice_line_item": line["id"]} == taken["debit"]["credits_applied"]
    assert [("credits_granted", 500), ("credits_applied", 300)] == _moves(shop, made)
    assert 200 == _balance(shop, customer)
    assert 1 == shop.types(seen).count("billing.credit_balance_transaction.created")
    shown = shop.get(f"/v1/billing/credit_grants/{made}", {"expand[0]": "customer"})
    assert ("promotional", 50, customer) == (shown["category"], shown["priority"], shown["customer"]["id"])


def test_drafts_use_nothing(shop: Shop) -> None:
    """Until the invoice is final its credits are not used, and what is granted in the draft hour still counts."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(1, metered=True, meter="tokens"))
    use(shop, customer, 300)
    shop.stripe.advance(months=1)
    made = grant(shop, customer, 100)
    draft = shop.invoices(bought)[0]
    assert ("draft", 300, []) == (draft["status"], draft["total"], draft["total_pretax_credit_amounts"])
    shop.stripe.advance(hours=2)

    assert 200 == shop.invoices(bought)[0]["amount_paid"]
    assert ("credits_applied", 100) == _moves(shop, made)[-1]


def test_licensed_prices_get_nothing(shop: Shop) -> None:
    """Credits pay for usage only."""
    customer = shop.customer()
    made = grant(shop, customer, 5_000)
    shop.buy(shop.price(1_000), customer=customer)
    shop.stripe.advance(months=1, hours=2)

    assert [("credits_granted", 5_000)] == _moves(shop, made)


def test_which_grant_goes_first(shop: Shop) -> None:
    """Priority, then what expires first, then promotional before paid, then what has been effective the longest."""
    customer = shop.customer()
    soon = str(shop.now + 90 * DAY)
    late_paid = grant(shop, customer, 10)
    promotional = grant(shop, customer, 10, category="promotional")
    expiring = grant(shop, customer, 10, expires_at=soon)
    urgent = grant(shop, customer, 10, priority="1")
    early_paid = grant(shop, customer, 10, effective_at=str(shop.now - DAY))
    expected = [urgent, expiring, promotional, early_paid, late_paid]

    invoice = _bill(shop, customer, 45)
    ids = [row["credit_balance_transaction"] for row in invoice["lines"]["data"][0]["pretax_credit_amounts"]]
    used = [shop.get(f"/v1/billing/credit_balance_transactions/{id}")["credit_grant"] for id in ids]
    assert expected == used
    assert ("credits_applied", 5) == _moves(shop, late_paid)[-1]


def test_a_grant_for_some_prices_pays_for_those(shop: Shop) -> None:
    """A grant with prices pays only for them, and its balance is seen where they are asked for."""
    customer = shop.customer()
    mine, other = shop.price(1, metered=True, meter="tokens"), shop.price(1, metered=True, meter="tokens")
    scope = {f"{_SCOPE}[price_type]": None, f"{_SCOPE}[prices][0][id]": mine}
    made = grant(shop, customer, 100, **scope)
    buy_metered(shop, customer, other)
    use(shop, customer, 30)
    shop.stripe.advance(months=1, hours=2)
    assert [("credits_granted", 100)] == _moves(shop, made)
    bought = buy_metered(shop, customer, mine)
    use(shop, customer, 30)
    shop.stripe.advance(months=1, hours=2)

    by_price = {"filter[type]": "applicability_scope", "filter[applicability_scope][prices][0][id]": mine}
    by_grant = {"filter[type]": "credit_grant", "filter[credit_grant]": made}
    assert 0 == shop.invoices(bought)[0]["total"]
    assert (0, 70, 70) == (
        _balance(shop, customer),
        _balance(shop, customer, **by_price),
        _balance(shop, customer, **by_grant),
    )


def test_grants_wait_and_expire(shop: Shop) -> None:
    """A grant counts from `effective_at` until `expires_at`; what is left then is debited, once."""
    customer = shop.customer()
    made = grant(shop, customer, 100, effective_at=str(shop.now + 10 * DAY), expires_at=str(shop.now + 20 * DAY))
    balances: list[int] = []
    for _ in range(3):
        balances.append(_balance(shop, customer))
        shop.stripe.advance(days=10, hours=1)

    assert [0, 100, 0] == balances
    assert [("credits_granted", 100), ("credits_expired", 100)] == _moves(shop, made)
    assert 0 == _balance(shop, customer)


def test_expiry_can_be_moved(shop: Shop) -> None:
    """Only expiry and metadata change; a later expiry, or none, keeps the credits."""
    customer = shop.customer()
    made = grant(shop, customer, 100, expires_at=str(shop.now + DAY))
    changed = shop.post(f"/v1/billing/credit_grants/{made}", {"expires_at": "", "metadata[why]": "late"})
    shop.stripe.advance(days=30)
    assert (None, {"why": "late"}, 100) == (changed["expires_at"], changed["metadata"], _balance(shop, customer))
    shop.post(f"/v1/billing/credit_grants/{made}", {"expires_at": str(shop.now + DAY)})
    shop.stripe.advance(days=2)

    assert 0 == _balance(shop, customer)
    assert 2 == shop.types().count("billing.credit_grant.updated")
    refusal = shop.refused("POST", f"/v1/billing/credit_grants/{made}", {"metadata[a]": "b"})
    assert "expired" in refusal.message


def test_ending_a_grant(shop: Shop) -> None:
    """Expiring takes what is left; voiding is for grants that nothing was used of; both are for good."""
    customer = shop.customer()
    used, unused = grant(shop, customer, 100, priority="1"), grant(shop, customer, 50)
    _bill(shop, customer, 30)
    refusal = shop.refused("POST", f"/v1/billing/credit_grants/{used}/void")
    expired = shop.post(f"/v1/billing/credit_grants/{used}/expire")
    voided = shop.post(f"/v1/billing/credit_grants/{unused}/void")

    assert (400, shop.now, shop.now) == (refusal.status, expired["expires_at"], voided["voided_at"])
    assert [("credits_granted", 100), ("credits_applied", 30), ("credits_expired", 70)] == _moves(shop, used)
    assert [("credits_granted", 50), ("credits_voided", 50)] == _moves(shop, unused)
    assert 0 == _balance(shop, customer)
    for gone in (used, unused):
        for what in ("expire", "void"):
            assert 400 == shop.refused("POST", f"/v1/billing/credit_grants/{gone}/{what}").status


def test_a_voided_invoice_gives_its_credits_back(shop: Shop) -> None:
    """What a voided invoice used is granted again by a transaction of its own."""
    customer = shop.customer()
    made = grant(shop, customer, 100)
    invoice = _bill(shop, customer, 300, card="4000000000000341")
    assert ("open", 200) == (invoice["status"], invoice["amount_due"])
    shop.post(f"/v1/invoices/{invoice['id']}/void")

    assert ("credits_application_invoice_voided", 100) == _moves(shop, made)[-1]
    assert 100 == _balance(shop, customer)


def test_credits_that_expired_do_not_come_back(shop: Shop) -> None:
    """What a voided invoice used of a grant that has expired since is granted again and gone at once."""
    customer = shop.customer()
    made = grant(shop, customer, 100, expires_at=str(shop.now + 32 * DAY))
    invoice = _bill(shop, customer, 300, card="4000000000000341")
    shop.stripe.advance(days=3)
    shop.post(f"/v1/invoices/{invoice['id']}/void")

    assert [("credits_application_invoice_voided", 100), ("credits_expired", 100)] == _moves(shop, made)[-2:]
    assert 0 == _balance(shop, customer)


def test_taxes_come_after_credits(shop: Shop) -> None:
    """Credits are taken before tax: only what they leave is taxed."""
    customer = shop.customer()
    grant(shop, customer, 100)
    rate = shop.post("/v1/tax_rates", {"display_name": "VAT", "percentage": "20", "inclusive": "false"})["id"]
    invoice = _bill(shop, customer, 300, **{"subscription_data[default_tax_rates][0]": rate})

    assert (300, 40, 240) == (invoice["subtotal"], invoice["total_taxes"][0]["amount"], invoice["total"])


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"amount[monetary][value]": "0"}, "amount[monetary][value]"),
        ({"amount[monetary][value]": None, "amount[monetary][currency]": None}, "amount[monetary]"),
        ({f"{_SCOPE}[price_type]": None, f"{_SCOPE}[prices][0][id]": "price_none"}, f"{_SCOPE}[prices][0][id]"),
        ({f"{_SCOPE}[prices][0][id]": "price_none"}, _SCOPE),
        ({"customer": None}, "customer"),
        ({"customer": "cus_none"}, "customer"),
        ({"priority": "101"}, "priority"),
        ({"expires_at": "1"}, "expires_at"),
        ({"effective_at": "9000000000", "expires_at": "8000000000"}, "expires_at"),
        ({"name": "n" * 101}, "name"),
        ({"category": "gift"}, "category"),
    ],
)
def test_wrong_grants_are_refused(shop: Shop, changes: dict[str, Any], param: str) -> None:
    """A grant has a positive amount, one scope of metered prices, a customer, and an end after its beginning."""
    good = {
        "customer": shop.customer(),
        "amount[type]": "monetary",
        "amount[monetary][currency]": "usd",
        "amount[monetary][value]": "100",
        f"{_SCOPE}[price_type]": "metered",
    }
    params = {name: value for name, value in {**good, **changes}.items() if value is not None}
    refusal = shop.refused("POST", "/v1/billing/credit_grants", params)

    assert (400, param) == (refusal.status, refusal.param)


def test_a_licensed_price_is_no_scope(shop: Shop) -> None:
    """Only prices with a meter can be named."""
    licensed = shop.price(1_000)
    params = {
        "customer": shop.customer(),
        "amount[type]": "monetary",
        "amount[monetary][currency]": "usd",
        "amount[monetary][value]": "100",
        f"{_SCOPE}[prices][0][id]": licensed,
    }
    refusal = shop.refused("POST", "/v1/billing/credit_grants", params)

    assert f"{_SCOPE}[prices][0][id]" == refusal.param


@settings(max_examples=12, deadline=None)
@given(
    grants=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 100), st.booleans()), max_size=5),
    months=st.lists(st.integers(0, 500), min_size=1, max_size=3),
)
def test_no_cent_is_lost(grants: list[tuple[int, int, bool]], months: list[int]) -> None:
    """What was granted is left, applied or expired; usage is paid by credits, and by the card for the rest."""
    shop = Shop()
    customer = shop.customer()
    soon = str(shop.now + 45 * DAY)
    for value, priority, expires in grants:
        grant(shop, customer, value, priority=str(priority), **({"expires_at": soon} if expires else {}))
    bought = buy_metered(shop, customer, shop.price(1, metered=True, meter="tokens"))
    for amount in months:
        use(shop, customer, amount)
        shop.stripe.advance(months=1, hours=2)

    rows = shop.get("/v1/billing/credit_balance_transactions", {"customer": customer, "limit": "100"})["data"]
    debits: dict[str, int] = {}
    for row in rows:
        if row["debit"]:
            kind = row["debit"]["type"]
            debits[kind] = debits.get(kind, 0) + row["debit"]["amount"]["monetary"]["value"]
    bills = shop.invoices(bought)
    applied = debits.get("credits_applied", 0)
    assert sum(value for value, _, _ in grants) == _balance(shop, customer) + sum(debits.values())
    assert sum(months) == applied + sum(invoice["amount_paid"] for invoice in bills)
    assert all(invoice["total"] >= 0 for invoice in bills)
    assert not shop.stripe.violations
    shop.http.close()
