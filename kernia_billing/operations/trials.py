"""Trials: claimed before Stripe is asked, had once they began, and given back where nobody paid for the page."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..domain.plans import Plan
from ..domain.references import Identity, Ref, Reference
from ..domain.subscriptions import SubscriptionRow
from ..domain.trials import TrialRow, TrialScope, own_keys, person_keys
from ..ports.store import Transaction
from .core import Core

_SECRET = "trial_key"  # noqa: S105 - the name of a setting


def secret_of(core: Core, tx: Transaction) -> bytes:
    """What scopes are hashed with: made up once for a database and kept in it, since keys of Stripe's change."""
    known = tx.settings.get(_SECRET)
    return (known or tx.settings.add(_SECRET, core.ids.new("key") + core.ids.new("key"))).encode()


async def claim(core: Core, customer: CustomerRow, holder: str, plan: Plan, identity: Identity | None) -> bool:
    """Take the trial of every scope of the policy for a checkout, all or none; says whether it has them.

    What an expired checkout claimed is free again. Two checkouts that claim the same at the same instant are told
    apart by the unique key of the scope.
    """
    if not core.selling.trials.once_per:
        return True

    def unit(tx: Transaction) -> bool:
        tx.customers.lock(customer.id)
        if tx.trials.of_holder(holder):
            return True
        if claim_at_once(core, tx, customer, holder, plan, identity, None):
            return True
        tx.trials.release(holder)
        return False

    return await core.store.transaction(unit)


def claim_at_once(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    holder: str,
    plan: Plan,
    identity: Identity | None,
    started_at: Instant | None,
) -> bool:
    """Take the trial of every scope of the policy; where it says no, some may be taken. The customer is locked."""
    once_per = core.selling.trials.once_per
    if _has_had(tx.subscriptions.of_customer(customer.id), plan, once_per):
        return False
    wanted = _wanted(core, tx, customer, holder, plan, identity) if once_per else []
    return all(_take(tx, evolve(row, started_at=started_at)) for row in wanted)


def _has_had(rows: Sequence[SubscriptionRow], plan: Plan, scopes: Sequence[TrialScope]) -> bool:
    """Whether a subscription of the reference had the trial already: also one from before claims were written."""
    tried = [row for row in rows if row.trial_start is not None]
    if "reference" in scopes and tried:
        return True
    return any(
        ("group" in scopes and row.group == plan.group) or ("plan" in scopes and row.plan == plan.key) for row in tried
    )


def _wanted(
    core: Core, tx: Transaction, customer: CustomerRow, holder: str, plan: Plan, identity: Identity | None
) -> list[TrialRow]:
    secret, now = secret_of(core, tx), core.now()
    keys: dict[TrialScope, str] = {
        **own_keys(secret, customer.reference, plan.group, plan.key),
        **person_keys(secret, customer.reference, identity),
    }
    # In one order everywhere, so that two claims never wait for each other.
    return [
        TrialRow(key, scope, customer.id, plan.key, holder, now, None)
        for scope, key in sorted(keys.items())
        if scope in core.selling.trials.once_per
    ]


def _take(tx: Transaction, row: TrialRow) -> bool:
    if tx.trials.add(row):
        return True
    known = tx.trials.get(row.scope_key)
    if known is None or known.started_at is not None or not _is_over(tx, known.holder):
        return False
    tx.trials.release(known.holder)
    return tx.trials.add(row)


def _is_over(tx: Transaction, holder: str) -> bool:
    """Whether the checkout that claimed a trial can not lead to one any more."""
    checkout = tx.checkouts.by_id(holder)
    return checkout is None or checkout.status == "expired"


def note_trial(core: Core, tx: Transaction, customer: CustomerRow, row: SubscriptionRow) -> None:
    """Write down that a subscription has had its trial, whatever sold it. The customer is locked."""
    if row.trial_start is None:
        return
    checkout = tx.checkouts.by_subscription(row.id)
    claimed = () if checkout is None else tx.trials.of_holder(checkout.id)
    for each in claimed:
        tx.trials.put(evolve(each, holder=row.id, started_at=row.trial_start))
    secret, now = secret_of(core, tx), core.now()
    keys: dict[TrialScope, str] = {
        **own_keys(secret, customer.reference, row.group, row.plan or ""),
        **person_keys(secret, customer.reference, None),
    }
    for scope, key in sorted(keys.items()):
        _begin(tx, TrialRow(key, scope, customer.id, row.plan or "", row.id, now, row.trial_start))


def _begin(tx: Transaction, row: TrialRow) -> None:
    if not tx.trials.add(row):
        known = tx.trials.get(row.scope_key)
        if known is not None and known.started_at is None:
            # Somebody else's page claims what Stripe has given already.
            tx.trials.put(evolve(row, claimed_at=known.claimed_at))


async def has_trialed(core: Core, reference: Ref, plan: str | None = None) -> bool:
    """Whether a trial of this plan (None: of any) ever began for the reference.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND).
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    wanted = None if plan is None else core.offer.plan(plan)

    def unit(tx: Transaction) -> bool:
        customer = tx.customers.get(who)
        rows = () if customer is None else tx.subscriptions.of_customer(customer.id)
        if any(row.trial_start is not None and (wanted is None or row.plan == wanted.key) for row in rows):
            return True
        return _is_noted(core, tx, who, wanted)

    return await core.store.read(unit)


def _is_noted(core: Core, tx: Transaction, who: Reference, plan: Plan | None) -> bool:
    secret = tx.settings.get(_SECRET)
    if secret is None:
        return False
    keys = own_keys(secret.encode(), who, "", "" if plan is None else plan.key)
    known = tx.trials.get(keys["reference" if plan is None else "plan"])
    return known is not None and known.started_at is not None
