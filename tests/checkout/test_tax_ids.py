"""Tax ids: told to Stripe as a difference, kept there alone, and read back."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Billing, InvalidInput, NotFound, ProviderNotConfigured, StripeRefused
from kernia_billing.testing import Fault
from tests.webhooks.shop import Shop

ROME, TURIN = ("eu_vat", "IT12345678901"), ("eu_vat", "IT10987654321")


def known(shop: Shop) -> list[tuple[str, str]]:
    """What Stripe has."""
    return sorted((each.type, each.value) for each in shop.billing.customers.tax_ids("ann"))


def writes(shop: Shop) -> list[str]:
    """The methods of the requests that changed a tax id."""
    return [each.method for each in shop.stripe.requests if "/tax_ids" in each.path and each.method != "GET"]


def test_differences_go_to_stripe(shop: Shop) -> None:
    """One of a kind: added where it is new, in the place of the old one, and taken away; nothing is sent twice."""
    shop.billing.customers.ensure("ann", email="ann@shop.example")
    assert known(shop) == []
    for _ in range(2):
        shop.billing.customers.update("ann", tax_id=ROME, name="Ann")
    shop.billing.customers.update("ann", tax_id=("ch_vat", "CHE-123.456.789 MWST"))
    shop.billing.customers.update("ann", tax_id=TURIN)
    assert known(shop) == [("ch_vat", "CHE-123.456.789 MWST"), TURIN]
    shop.billing.customers.update("ann", tax_id=("ch_vat", None))
    shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]
    assert writes(shop) == ["POST", "POST", "POST", "DELETE", "DELETE", "POST", "DELETE"]
    (found,) = shop.billing.customers.tax_ids("ann")
    assert (found.id[:4], found.verification) == ("txi_", "pending")
    assert not any(ROME[1] in str(rows) for name, rows in shop.rows().items() if name != "webhook_event")


def test_what_is_refused_loses_nothing(shop: Shop) -> None:
    """A value that Stripe does not take leaves the old one; what is no pair of texts never reaches it."""
    shop.billing.customers.ensure("ann")
    shop.billing.customers.update("ann", tax_id=ROME)
    with pytest.raises(StripeRefused):
        shop.billing.customers.update("ann", tax_id=("eu_vat", "nonsense"))
    wrong: list[Any] = ["eu_vat", ("eu_vat",), ("eu_vat", 5), (5, "x"), ("", "x"), ("a b", "x"), ("eu_vat", "")]
    for each in wrong:
        with pytest.raises(InvalidInput):
            shop.billing.customers.update("ann", tax_id=each)
    assert known(shop) == [ROME]


def test_a_lost_answer_is_made_good(shop: Shop) -> None:
    """The call is repeated by the client, or again by the host: there is one tax id."""
    shop.billing.customers.ensure("ann")
    shop.stripe.faults.append(Fault("reset_after", method="POST", path="/v1/customers/*/tax_ids", times=1))
    shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]


def test_it_needs_a_customer_at_stripe(shop: Shop) -> None:
    """Nowhere else it could be kept."""
    with pytest.raises(NotFound):
        shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.track("ann", "messages", 1)
    with pytest.raises(NotFound):
        shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == []
    shop.billing.customers.ensure("ann")
    with Billing(database=shop.url) as offline, pytest.raises(ProviderNotConfigured):
        offline.customers.update("ann", tax_id=ROME)


def test_news_of_tax_ids_is_news_of_the_customer(shop: Shop) -> None:
    """Every event about one is worked on and done with."""
    shop.billing.customers.ensure("ann")
    shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.customers.update("ann", tax_id=("eu_vat", None))
    shop.stripe.flush()
    inbox = shop.inbox()
    ids = shop.event_ids("customer.tax_id.created", "customer.tax_id.deleted")
    assert len(ids) == 2
    assert {inbox[each]["status"] for each in ids} == {"processed"}
