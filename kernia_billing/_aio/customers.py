"""`billing.customers`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from .._walk import Walk
from ..compose import Wiring
from ..domain.answers import (
    Customer,
    DeletionBlocker,
    Page,
    TaxId,
)
from ..domain.references import Identity, Ref
from ..operations import (
    customer_changes,
    customers,
    forgetting,
    tax_ids,
)


class Customers:
    """Who is billed."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def get(self, reference: Ref) -> Customer | None:
        """The customer of a reference, None where it was never billed. No call to Stripe."""
        return await customers.get(self._wiring.core, reference)

    async def ensure(
        self,
        reference: Ref,
        *,
        email: str | None = None,
        name: str | None = None,
        email_verified: bool = False,
        context: object = None,
    ) -> Customer:
        """The customer of a reference, with a Stripe customer; both are made where they are missing.

        One row and one Stripe customer, whatever the number of concurrent first calls and lost replies. With
        `email_verified` a Stripe customer with this address that nobody owns is taken over. `context` is handed to
        `get_customer_create_params`.

        Raises:
            InvalidInput: a value is not a text, or too long.
            NotFound: there is no such organization (ORGANIZATION_NOT_FOUND).
            StripeRefused: Stripe will not make it, or a function of yours raised (UNABLE_TO_CREATE_CUSTOMER).
            Unavailable: Stripe does not answer (UNABLE_TO_CREATE_CUSTOMER); the next call goes on.
        """
        return await customers.ensure(
            self._wiring.core, reference, email=email, name=name, email_verified=email_verified, context=context
        )

    async def signed_up(
        self, identity: Identity, *, name: str | None = None, context: object = None
    ) -> Customer | None:
        """Call it when somebody has signed up: it makes a customer, unless `create_customer_on_sign_up` is off.

        It raises nothing because Stripe is down or refuses: the first purchase makes the customer then, and the answer
        is None.
        """
        return await customers.signed_up(self._wiring.core, identity, name=name, context=context)

    async def update(
        self,
        reference: Ref,
        *,
        email: str | None = None,
        name: str | None = None,
        phone: str | None = None,
        address: Mapping[str, str | None] | None = None,
        tax_id: tuple[str, str | None] | None = None,
    ) -> Customer:
        """Tell Stripe what changed of a customer, if anything did; None leaves what is there.

        Of an `address` (city, country, line1, line2, postal_code, state) the members that are given change, None
        empties one. A `tax_id` is Stripe's name of its kind and a value, such as `("eu_vat", "DE123456789")`: it takes
        the place of what there was of this kind, and a value of None takes that away. Stripe alone keeps it.

        Raises:
            InvalidInput: a value is not a text, or too long.
            NotFound: the reference was never billed, or has a `tax_id` but no Stripe customer (CUSTOMER_NOT_FOUND).
            StripeRefused: the tax id is none of its kind; what else was told is at Stripe already.
            Conflict: another call with a `tax_id` is under way (CHANGE_IN_PROGRESS, retryable); nothing was sent.
            Unavailable: Stripe does not answer; nothing was changed.
        """
        core = self._wiring.core
        return await customer_changes.update(
            core, reference, email=email, name=name, phone=phone, address=address, tax_id=tax_id
        )

    async def tax_ids(self, reference: Ref) -> Sequence[TaxId]:
        """The tax ids that Stripe has for a reference, read now; none where Stripe does not know it.

        Raises:
            Unavailable: Stripe or the database does not answer.
            ProviderNotConfigured: the library is offline.
        """
        return await tax_ids.tax_ids(self._wiring.core, reference)

    async def deletion_blockers(self, reference: Ref) -> Sequence[DeletionBlocker]:
        """Everything that stands against deleting a user or an organization, with warnings of what would be lost.

        Raises:
            Unavailable: Stripe or the database does not answer.
        """
        return await forgetting.deletion_blockers(self._wiring.core, reference)

    async def delete(self, reference: Ref, *, policy: Literal["refuse", "cancel"] = "refuse") -> bool:
        """Forget who a reference is; False where it was never billed. Its financial records stay, without a name.

        With "refuse" nothing is done while something stands against it, "cancel" ends every subscription at once. Call
        it again after a failure: it goes on.

        Raises:
            Conflict: something stands against it (ORGANIZATION_HAS_ACTIVE_SUBSCRIPTION, USER_HAS_ACTIVE_SUBSCRIPTION,
                CUSTOMER_HAS_OPEN_INVOICES).
            Unavailable: Stripe or the database does not answer; the same call goes on.
        """
        return await forgetting.delete(self._wiring.core, reference, policy=policy)

    async def link(self, reference: Ref, stripe_customer_id: str) -> Customer:
        """Adopt an existing Stripe customer, with its subscriptions.

        Raises:
            NotFound: Stripe has no such customer (CUSTOMER_NOT_FOUND).
            Conflict: the reference, or the Stripe customer, is linked elsewhere (CUSTOMER_ALREADY_LINKED).
        """
        return await customers.link(self._wiring.core, reference, stripe_customer_id)

    async def list(self, *, plan: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[Customer]:
        """One page of the customers, in the order in which they were first seen; `plan` keeps those who have it now."""
        return await customers.page(self._wiring.core, plan=plan, limit=limit, cursor=cursor)

    def iter(self, *, plan: str | None = None) -> AsyncIterator[Customer]:
        """Every customer, page by page."""
        return Walk(lambda cursor: customers.page(self._wiring.core, plan=plan, cursor=cursor))
