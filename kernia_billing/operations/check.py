"""May this reference use so much more of a feature?"""

from __future__ import annotations

from attrs import evolve

from ..domain.answers import Decision
from ..domain.ids import entity_id, quantity
from ..domain.instants import FOREVER, Instant
from ..domain.references import Ref, Reference
from ..ports.store import Transaction
from .balances import decide
from .core import Core
from .lasting import lasts_until
from .situation import Look, looked_up, needs_of
from .suggesting import offers


async def check(
    core: Core, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
) -> Decision:
    """Judge `required` more units (0 to 10^9) of a feature, by the planner that a use runs. Writes nothing.

    One indexed read; a second one where nothing is held, to say why, and more where a grant has usage limits, rollover
    or debt that no plan of the configuration has any more. None where there are snapshots, and one of the same question
    that still holds; it takes one more to make one while anything is held or limited. Stripe is not asked. With
    `preview` a refusal names what would allow it, and everything is read.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range.
        Unavailable: the database does not answer.
    """
    snapshots = None if preview else core.snapshots
    known = None if snapshots is None else snapshots.find(reference, feature, required, entity)
    if known is not None:
        return known
    who = core.reference(reference)
    spec = core.feature(feature)
    quantity(required, "required", minimum=0)
    where = entity_id(entity)
    version = None if snapshots is None else snapshots.version(who)
    now = core.now()

    def read(tx: Transaction) -> tuple[Look, Instant]:
        look = looked_up(core, tx, who, spec, where, now)
        return look, FOREVER if version is None else lasts_until(tx, look)

    needs = None if version is not None else needs_of(core, who, spec, now)
    look, until = await core.store.read(read, needs=needs)
    decision = await _judged(core, who, look, required)
    if snapshots is not None and version is not None:
        snapshots.keep(version, (reference, feature, required, entity), decision, now, until)
    if decision.allowed or not preview:
        return decision
    return evolve(decision, offers=await core.store.read(lambda tx: offers(core, tx, look.situation, required)))


async def _judged(core: Core, who: Reference, look: Look, required: int) -> Decision:
    customer, state = look.customer, look.situation
    allocation = state.allocate(required, "require")
    if state.holdings or customer is None:
        return decide(who, state, required, allocation)
    customer_id = customer.id
    subscriptions = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer_id))
    return decide(who, state, required, allocation, subscriptions=subscriptions, plan=customer.plan)
