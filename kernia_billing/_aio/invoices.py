"""`billing.invoices`."""

from __future__ import annotations

from datetime import datetime

from ..compose import Wiring
from ..domain.answers import (
    Invoice,
    InvoiceStatus,
    Page,
)
from ..domain.references import Ref
from ..operations import (
    invoices,
)


class Invoices:
    """What references were billed."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def list(
        self,
        reference: Ref,
        *,
        status: InvoiceStatus | None = None,
        charged: bool | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Invoice]:
        """One page (`limit` 1 to 200) of the invoices created at start ≤ time < end, newest first. No call to Stripe.

        Drafts are left out unless `status` asks for them. With `charged=True` those whose total is not 0.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return await invoices.page(
            self._wiring.core,
            reference,
            status=status,
            charged=charged,
            start=start,
            end=end,
            limit=limit,
            cursor=cursor,
        )

    async def search(
        self,
        *,
        status: InvoiceStatus | None = None,
        charged: bool | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Invoice]:
        """The same of all references, for administrators: one read by an index, however many invoices there are.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return await invoices.search(
            self._wiring.core, status=status, charged=charged, start=start, end=end, limit=limit, cursor=cursor
        )

    async def get(self, reference: Ref, invoice_id: str) -> Invoice:
        """One invoice by Stripe's id, as Stripe has it now, with the page on which it can be looked at and paid.

        Raises:
            NotFound: it is not this reference's, or Stripe has it no more (INVOICE_NOT_FOUND).
            Unavailable: Stripe or the database does not answer.
        """
        return await invoices.get(self._wiring.core, reference, invoice_id)

    async def upcoming(self, reference: Ref) -> Invoice | None:
        """The invoice that comes next if nothing changes, None where nothing is going to be billed.

        It is a preview of Stripe's and stored nowhere: its id leads to nothing, and it has no page.

        Raises:
            Unavailable: Stripe or the database does not answer.
        """
        return await invoices.upcoming(self._wiring.core, reference)

    async def pdf_url(self, reference: Ref, invoice_id: str) -> str:
        """Where the invoice lies as a PDF, for a while: read from Stripe each time, so send the browser there now.

        Raises:
            NotFound: it is not this reference's, is a draft, or Stripe has it no more (INVOICE_NOT_FOUND).
            Unavailable: Stripe or the database does not answer.
        """
        return await invoices.pdf_url(self._wiring.core, reference, invoice_id)
