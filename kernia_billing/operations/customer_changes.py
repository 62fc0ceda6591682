"""What the host knows of a customer goes to Stripe: the difference, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..domain.answers import Customer
from ..domain.customers import CustomerRow
from ..domain.instants import MINUTE
from ..domain.reading import members
from ..domain.references import Ref
from ..domain.shapes import is_deleted
from ..errors import Conflict, InvalidInput, NotFound
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .core import Core
from .customers import MAX_EMAIL, MAX_NAME, check_text, get
from .fencing import one_at_a_time
from .projections import sync_object
from .tax_ids import Told, check_tax_id, send_tax_id

_TERM = 2 * MINUTE
_MAX_PHONE = 20
_MAX_LINE = 500
_ADDRESS = frozenset({"city", "country", "line1", "line2", "postal_code", "state"})


async def update(
    core: Core,
    reference: Ref,
    *,
    email: str | None = None,
    name: str | None = None,
    phone: str | None = None,
    address: Mapping[str, str | None] | None = None,
    tax_id: Told | None = None,
) -> Customer:
    """Tell Stripe what changed of a customer; None leaves what is there.

    Of an `address` (city, country, line1, line2, postal_code, state) the members that are given change, None empties
    one. A customer that Stripe does not know yet is changed here only, and cannot have a `tax_id`: a kind and a
    value, in the place of what there was of this kind; a value of None takes it away.

    Raises:
        InvalidInput: a value is not a text, or too long.
        NotFound: the reference was never billed, or Stripe does not know it and has to (CUSTOMER_NOT_FOUND).
        StripeRefused: the tax id is none of its kind.
        Conflict: a `tax_id`, and another call for one is under way (CHANGE_IN_PROGRESS, retryable); nothing was sent.
        Unavailable: Stripe does not answer; nothing was changed here.
        ProviderNotConfigured: a `tax_id`, and the library is offline.
    """
    who = core.reference(reference)
    check_text(email, "email", MAX_EMAIL)
    check_text(name, "name", MAX_NAME)
    check_text(phone, "phone", _MAX_PHONE)
    _check_address(address)
    check_tax_id(tax_id)
    row = await core.store.read(lambda tx: tx.customers.get(who))
    if row is None:
        raise NotFound("Stripe customer not found for this user", code="CUSTOMER_NOT_FOUND")
    if tax_id is not None:
        core.provider()
        if row.stripe_customer_id is None:
            raise NotFound("Stripe has no customer that could have a tax id", code="CUSTOMER_NOT_FOUND")
    told = {"email": email, "name": name, "phone": phone, "address": address}
    if row.stripe_customer_id is not None and core.stripe is not None:
        await _tell(core, row, {key: value for key, value in told.items() if value is not None}, tax_id)

    def unit(tx: Transaction) -> None:
        tx.customers.lock(row.id)
        tx.customers.describe(row.id, email=email, name=name)
        # What is told of a person is not for the audit log: which of it changed is.
        changed = {**told, "tax_id": tax_id}
        fields = ",".join(sorted(key for key, value in changed.items() if value is not None))
        record(tx, core, "customer.updated", row.id, row.id, None, {"fields": fields} if fields else None)

    await core.store.transaction(unit)
    return cast("Customer", await get(core, who))


def _check_address(address: object) -> None:
    if address is None:
        return
    if not isinstance(address, Mapping):
        raise InvalidInput("must be a mapping of an address's members", field="address")
    for name, value in cast("Mapping[object, object]", address).items():
        if name not in _ADDRESS:
            raise InvalidInput(f"has no members but {', '.join(sorted(_ADDRESS))}", field="address")
        check_text(value, f"address.{name}", _MAX_LINE)


async def _tell(core: Core, row: CustomerRow, told: Mapping[str, Any], tax_id: Told | None) -> None:
    stripe_id = row.stripe_customer_id or ""

    async def work(core: Core) -> None:
        await _send(core, stripe_id, told)
        if tax_id is not None:
            await send_tax_id(core, stripe_id, tax_id)

    if tax_id is None:
        await work(core)
    else:
        text = "Another change of the customer's tax ids takes place: try again"
        taken = Conflict(text, code="CHANGE_IN_PROGRESS", retryable=True)
        await one_at_a_time(core, f"tax_ids:{row.id}", work, taken, term=_TERM)


async def _send(core: Core, stripe_id: str, told: Mapping[str, Any]) -> None:
    theirs = await core.provider().request("GET", f"/v1/customers/{stripe_id}")
    if is_deleted(theirs):
        await sync_object(core, "customer", stripe_id)
        return
    changed = _difference(theirs, told)
    if changed:
        # The same values may be told again after others: every change is one of its own.
        key = core.ids.new("customer")
        await core.provider().request("POST", f"/v1/customers/{stripe_id}", changed, idempotency_key=key)
        await sync_object(core, "customer", stripe_id)


def _difference(theirs: StripeObject, told: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in told.items() if name != "address" and theirs.get(name) != value}
    if "address" in told:
        known = members(theirs.get("address"))
        whole = {**{name: known.get(name) for name in _ADDRESS}, **told["address"]}
        if any(known.get(name) != value for name, value in whole.items()):
            changed["address"] = {name: value for name, value in whole.items() if value is not None} or ""
    return changed
