"""May this reference use so much more of a feature?"""

from __future__ import annotations

from ..domain.answers import Decision
from ..domain.ids import entity_id, feature_key, quantity
from ..domain.references import Ref
from .balances import decide
from .core import Core
from .situation import features_of, seen


async def check(
    core: Core, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
) -> Decision:
    """Judge `required` more units (0 to 10^9) of a feature, by the planner that a use runs. Writes nothing.

    One indexed read; a second one where nothing is held, to say why. Stripe is not asked.

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
    features = features_of(spec)
    customer, held = await core.store.read(lambda tx: tx.entitlements.of_reference(who, features, now))
    state = seen(core, customer, held, spec, where, now)
    allocation = state.allocate(required, "require")
    if state.holdings or customer is None:
        return decide(who, state, required, allocation)
    customer_id = customer.id
    subscriptions = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer_id))
    return decide(who, state, required, allocation, subscriptions=subscriptions)
