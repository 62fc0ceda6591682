"""What Stripe says that it does not have, although it deletes no such object."""

from __future__ import annotations

from ...domain.customers import CustomerRow
from ...ports.store import Transaction
from ..core import Core
from ..outbox import event
from .tickets import Fetched


def is_kept(core: Core, fetched: Fetched) -> bool:
    """Whether our copy of a subscription or a customer stays as it is.

    In test mode all data can be deleted at once, in live mode nothing of this can: a canceled subscription and a
    deleted customer are still shown. So it is more likely that the key is one of another account, and nobody may lose
    what he pays for because of a wrong key.
    """
    return fetched.missing and bool(core.livemode)


def tell(core: Core, tx: Transaction, fetched: Fetched, customer: CustomerRow) -> None:
    """Tell the log, and in live mode hooks too, that something is missing; once until Stripe has it again."""
    tickets = tx.objects.tickets(fetched.kind, [fetched.id])
    if fetched.id in tickets and tickets[fetched.id][2]:
        return
    topic = f"{fetched.kind}.missing"
    core.telemetry.log("error" if core.livemode else "warning", topic, {"id": fetched.id})
    if core.livemode:
        tx.outbox.add([event(core, customer, topic, core.now(), data={"kind": fetched.kind, "id": fetched.id})])
