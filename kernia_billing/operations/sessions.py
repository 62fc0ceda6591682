"""What became of the checkout sessions that we opened, and of what was bought in them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from ..domain.answers import Checkout
from ..domain.checkouts import CheckoutRow, CheckoutStatus
from ..domain.customers import CustomerRow
from ..domain.ids import stripe_id
from ..domain.purchases import PurchaseRow
from ..domain.reading import id_of
from ..domain.references import Ref
from ..errors import NotFound
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .fulfilling import sync_purchase
from .outbox import dispatch, event
from .projections import Also, Fetched, Outcome, fetch, store_fetched, sync_object
from .settling import settle_trial
from .subscriptions import answer


async def sync_session(core: Core, session_id: str, *, ticket: int | None = None, also: Also | None = None) -> Outcome:
    """Bring in what became of a checkout session that we opened, and the subscription that was bought in it.

    Sessions that we did not open (payment links, other software on the account) are left alone: whoever opens them
    chooses their `client_reference_id`.
    """
    row, purchase = await core.store.read(
        lambda tx: (tx.checkouts.by_session(session_id), tx.purchases.by_session(session_id))
    )
    if purchase is not None:
        return await sync_purchase(core, purchase, session_id, ticket=ticket, also=also)
    if row is None:
        return "unmatched"
    fetched = await fetch(core, "checkout.session", session_id, ticket)
    status = _status(fetched.body)
    subscription_id = None if fetched.body is None else id_of(fetched.body.get("subscription"))
    topic = _TOPICS.get(status)
    theirs: StripeObject = {}
    if status in ("complete", "processing") and subscription_id is not None:
        theirs = await _bring_in(core, subscription_id)
        if status == "processing" and await _has_failed(core, subscription_id):
            status, topic = "expired", "checkout.failed"
        if status == "complete" and row.status != "complete":
            await settle_trial(core, subscription_id)

    def write(tx: Transaction) -> Outcome:
        return _close(core, tx, session_id, status, topic, subscription_id, theirs)

    return await store_fetched(core, fetched, write, also)


async def _bring_in(core: Core, subscription_id: str) -> StripeObject:
    """Bring in what was bought, and give it as Stripe shows it."""
    seen: list[StripeObject] = []

    def see(_tx: Transaction, fetched: Fetched, _outcome: Outcome) -> None:
        seen.append(fetched.body or {})

    await sync_object(core, "subscription", subscription_id, also=see)
    return seen[-1]


async def _has_failed(core: Core, subscription_id: str) -> bool:
    """Whether a first payment that took days did not come: the subscription has ended, or is chased for it."""
    row = await core.store.read(lambda tx: tx.subscriptions.by_stripe_id(subscription_id))
    return row is not None and row.status not in ("active", "trialing", "incomplete")


_TOPICS: Mapping[CheckoutStatus, str] = {"complete": "checkout.completed", "expired": "checkout.expired"}


def is_ours(tx: Transaction, session_id: str) -> bool:
    """Whether we opened this session."""
    return tx.checkouts.by_session(session_id) is not None or tx.purchases.by_session(session_id) is not None


def _status(session: StripeObject | None) -> CheckoutStatus:
    if session is None or session.get("status") == "expired":
        return "expired"
    if session.get("status") != "complete":
        return "open"
    return "processing" if session.get("payment_status") == "unpaid" else "complete"


def _close(
    core: Core,
    tx: Transaction,
    session_id: str,
    status: CheckoutStatus,
    topic: str | None,
    subscription_id: str | None,
    theirs: StripeObject,
) -> Outcome:
    row = tx.checkouts.by_session(session_id)
    if row is None or row.status == status:
        return "applied"
    customer = tx.customers.lock(row.customer_id)
    if status == "open" and tx.checkouts.open(row.customer_id, row.group) is not None:
        return "applied"  # It was given up here for the page that took its place: there is one open page at a time.
    tx.checkouts.put(evolve(row, status=status))
    if status == "expired":
        tx.trials.release(row.id)
    if customer is not None and topic is not None:
        data = {"session_id": session_id, "mode": "subscription", "plan": row.plan}
        tx.outbox.add([event(core, customer, topic, core.now(), data=data)])
    bought = None if subscription_id is None else tx.subscriptions.by_stripe_id(subscription_id)
    if status == "complete" and customer is not None and bought is not None:
        now = core.now()
        current = answer(core, customer, bought, now, tx)
        tx.outbox.add(
            [event(core, customer, "subscription.completed", now, subscription=current, stripe_object=theirs)]
        )
    return "applied"


async def sync_checkout(core: Core, session_id: str, reference: Ref | None = None) -> Checkout:
    """What became of a checkout, asked of Stripe now: for the page that the buyer returns to.

    `subscription` is the one that was bought in it, None as long as none was.

    Raises:
        NotFound: we did not open this session, or not for this reference (CHECKOUT_NOT_FOUND).
        Unavailable: Stripe or the database does not answer.
    """
    stripe_id(session_id, "cs", field="session_id")
    who = None if reference is None else core.reference(reference)

    def read(tx: Transaction) -> tuple[CheckoutRow | PurchaseRow, CustomerRow] | None:
        row = tx.checkouts.by_session(session_id) or tx.purchases.by_session(session_id)
        customer = None if row is None else tx.customers.by_id(row.customer_id)
        return None if row is None or customer is None else (row, customer)

    found = await core.store.read(read)
    if found is None or (who is not None and found[1].reference != who):
        raise NotFound("Checkout not found", code="CHECKOUT_NOT_FOUND")
    await sync_session(core, session_id)
    await dispatch(core)
    again = await core.store.read(read)
    row, customer = again or found
    # A payment that failed in the end leaves a page that sold nothing, like one that expired.
    status = "expired" if row.status == "failed" else row.status
    url = row.url if status == "open" else None
    subscription_id = row.subscription_id if isinstance(row, CheckoutRow) else None
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id))
    bought = next((each for each in rows if each.id == subscription_id), None)
    now = core.now()
    subscription = None if bought is None else await core.store.read(lambda tx: answer(core, customer, bought, now, tx))
    return Checkout(url, session_id, status, subscription)
