"""Every kind of object that is mirrored, and how."""

from __future__ import annotations

from collections.abc import Mapping

from ...domain.reports import Outcome
from ..core import Core
from .catalog import PRICE, PRODUCT
from .customer import CUSTOMER
from .invoice import INVOICE
from .payment_method import PAYMENT_METHOD
from .schedule import SCHEDULE
from .subscription import SUBSCRIPTION
from .tickets import Also, Projection, ProjectionKind, bring_in

PROJECTIONS: Mapping[ProjectionKind, Projection] = {
    each.kind: each for each in (SUBSCRIPTION, CUSTOMER, PRICE, PRODUCT, INVOICE, SCHEDULE, PAYMENT_METHOD)
}


async def sync_object(
    core: Core, kind: ProjectionKind, stripe_id: str, *, ticket: int | None = None, also: Also | None = None
) -> Outcome:
    """Make our copy of an object equal to Stripe's: the one way in, for webhooks, our own calls and healing alike.

    A `ticket` that is given was committed before; `also` is written in the same transaction as the object.

    Raises:
        InvalidInput: Stripe's object lacks what cannot be done without; nothing was written.
        Unavailable: Stripe or the database does not answer.
    """
    return await bring_in(core, PROJECTIONS[kind], stripe_id, ticket=ticket, also=also)
