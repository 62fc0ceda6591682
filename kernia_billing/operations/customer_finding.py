"""Looking for a Stripe customer that a reference may take over.

A user gets one with the user's own address only if the host has verified that, and nobody owns it: whoever signs up
with another's address is given nothing of theirs. An organization gets the one that its metadata names. Search comes
first; it shows what is a minute old. Where Stripe has no search, the list of the address is read, never that of the
account.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.customers import NewCustomer
from ..domain.reading import own_id, texts
from ..domain.references import Reference
from ..domain.shapes import is_deleted
from ..errors import StripeRefused
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core


async def found(core: Core, new: NewCustomer, *, verified: bool) -> StripeObject | None:
    """The Stripe customer to take over, None where there is none.

    Raises:
        Unavailable: Stripe does not answer.
    """
    query = _query(core, new, verified=verified)
    if query is None:
        return None
    try:
        page = await core.provider().page("/v1/customers/search", {"query": query})
    except StripeRefused:
        if new.email is None:
            return None
        page = await core.provider().page("/v1/customers", {"email": new.email})
    candidates = [each for each in page.data if is_free(each, new.reference)]
    return await core.store.read(lambda tx: _first_unlinked(tx, candidates, new.reference))


def _query(core: Core, new: NewCustomer, *, verified: bool) -> str | None:
    if new.reference.type == "organization":
        own = escaped(new.reference.id)
        return f'metadata["organizationId"]:"{own}" AND metadata["customerType"]:"organization"'
    if new.email is None or verified is not True or not core.reuse_customers_by_email:
        return None
    return f'email:"{escaped(new.email)}" AND -metadata["customerType"]:"organization"'


def escaped(value: str) -> str:
    """A value as it stands between the quotes of a search (Stripe, "Search query language")."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


def is_free(theirs: StripeObject, reference: Reference) -> bool:
    """Whether the metadata of a Stripe customer leaves it to this reference; users and organizations never mix."""
    if is_deleted(theirs):
        return False
    known = texts(theirs.get("metadata"))
    own, other = ("userId", "organizationId") if reference.type == "user" else ("organizationId", "userId")
    if other in known or known.get("customerType", reference.type) != reference.type:
        return False
    if reference.type == "organization" and own not in known:
        return False
    return known.get(own, reference.id) == reference.id == known.get("referenceId", reference.id)


def _first_unlinked(tx: Transaction, candidates: Sequence[StripeObject], reference: Reference) -> StripeObject | None:
    owners = tx.customers.by_stripe_ids([own_id(each) for each in candidates])
    for each in candidates:
        owner = owners.get(own_id(each))
        if owner is None or owner.reference == reference:
            return each
    return None
