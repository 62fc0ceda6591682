"""Tax ids: kept by Stripe alone, which checks them and prints them on invoices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from ..domain.answers import TaxId
from ..domain.reading import members, own_id, text
from ..domain.references import Ref
from ..errors import InvalidInput, NotFound
from .core import Core
from .customers import check_text

Told = tuple[str, str | None]
"""Stripe's name of a kind of tax id, and its value; None where a customer has none (any more)."""
_MAX_VALUE = 100


async def tax_ids(core: Core, reference: Ref) -> Sequence[TaxId]:
    """The tax ids that Stripe has for a reference, read now; none where Stripe does not know it.

    Raises:
        Unavailable: Stripe or the database does not answer.
        ProviderNotConfigured: the library is offline.
    """
    who = core.reference(reference)
    row = await core.store.read(lambda tx: tx.customers.get(who))
    if row is None or row.stripe_customer_id is None:
        return ()
    try:
        return await _read(core, row.stripe_customer_id)
    except NotFound:
        return ()  # Deleted at Stripe; the news of it may still be under way.


async def _read(core: Core, stripe_customer_id: str) -> list[TaxId]:
    found: list[TaxId] = []
    after: str | None = None
    while True:
        page = await core.provider().page(_path(stripe_customer_id), {}, after=after)
        for each in page.data:
            verdict = text(members(each.get("verification")).get("status"))
            found.append(TaxId(own_id(each), text(each.get("type")) or "", text(each.get("value")) or "", verdict))
        if not page.has_more:
            return found
        after = str(page.data[-1]["id"])


def check_tax_id(told: object) -> None:
    """Refuse what is no pair of a kind and a value.

    Raises:
        InvalidInput: naming the field.
    """
    if told is None:
        return
    pair = cast("tuple[object, ...]", told) if isinstance(told, (tuple, list)) else ()
    if len(pair) != 2 or not isinstance(pair[0], str) or not pair[0].isidentifier() or not pair[0].isascii():
        raise InvalidInput("must be a kind and a value, such as ('eu_vat', 'DE123456789')", field="tax_id")
    check_text(pair[1], "tax_id", _MAX_VALUE)


async def send_tax_id(core: Core, stripe_customer_id: str, told: Told) -> None:
    """Make the customer's tax id of a kind this one: added before others go, so that a refused value loses nothing.

    One process does this for a customer at a time: two that find nothing would each add one.
    """
    kind, value = told
    own = [each for each in await _read(core, stripe_customer_id) if each.type == kind]
    path = _path(stripe_customer_id)
    kept = next((each for each in own if each.value == value), None)
    # The same value may come back after another: every change is one of its own, and what is there is looked at first.
    if value is not None and kept is None:
        params = {"type": kind, "value": value}
        await core.provider().request("POST", path, params, idempotency_key=core.ids.new("tax_id"))
    for each in own:
        if each is not kept:
            await _remove(core, f"{path}/{each.id}")


async def _remove(core: Core, path: str) -> None:
    # Somebody may have taken it away in the Dashboard meanwhile.
    with suppress(NotFound):
        await core.provider().request("DELETE", path, {}, idempotency_key=core.ids.new("tax_id"))


def _path(stripe_customer_id: str) -> str:
    return f"/v1/customers/{stripe_customer_id}/tax_ids"
