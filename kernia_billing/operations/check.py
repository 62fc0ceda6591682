"""May this reference use so much more of a feature?"""

from __future__ import annotations

from attrs import evolve

from ..domain.answers import Decision
from ..domain.ids import entity_id, feature_key, quantity
from ..domain.references import Ref
from .balances import decide
from .core import Core
from .situation import looked_up
from .suggesting import offers


async def check(
    core: Core, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
) -> Decision:
    """Judge `required` more units (0 to 10^9) of a feature, by the planner that a use runs. Writes nothing.

    One indexed read; a second one where nothing is held, to say why, or where usage limits are found that no plan of
    the configuration has any more. Stripe is not asked. With `preview` a refusal names what would allow it.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    quantity(required, "required", minimum=0)
    where = entity_id(entity)
    now = core.now()
    customer, state = await core.store.read(lambda tx: looked_up(core, tx, who, spec, where, now))
    allocation = state.allocate(required, "require")
    if state.holdings or customer is None:
        decision = decide(who, state, required, allocation)
    else:
        customer_id = customer.id
        subscriptions = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer_id))
        decision = decide(who, state, required, allocation, subscriptions=subscriptions)
    if decision.allowed or not preview:
        return decision
    return evolve(decision, offers=await core.store.read(lambda tx: offers(core, tx, state, required)))
