"""For whom a request acts: the one place where a reference is resolved and authorised.

What it returns is what operations get: nothing resolves a reference a second time.
"""

from __future__ import annotations

from ..domain.references import Action, CustomerType, Identity, Reference
from ..errors import Unauthorized
from .refusals import ReferenceRefused
from .service import Service


def default_reference(identity: Identity, subscription_for: CustomerType) -> Reference | None:
    """Who is billed for what this person does unless somebody else is named: the person, or the active organization."""
    if subscription_for == "user":
        return Reference(identity.user_id, "user")
    return Reference(identity.organization_id, "organization") if identity.organization_id is not None else None


async def resolve(
    service: Service,
    identity: Identity,
    action: Action,
    customer_type: CustomerType | None = None,
    reference_id: str | None = None,
) -> Reference:
    """The reference that a request may act for. Default deny.

    The caller's own user id needs nobody's leave. Any other user id, and every organization, needs the host's
    `authorize_reference` to answer exactly True; a falsy answer, a text, an exception and a missing callback refuse.

    Raises:
        ReferenceRefused: 400, REFERENCE_ID_NOT_ALLOWED, ORGANIZATION_SUBSCRIPTION_NOT_ENABLED,
            AUTHORIZE_REFERENCE_REQUIRED or REFERENCE_REQUIRED.
        Unauthorized: the host said no. When its callback raised, that is the cause.
        InvalidInput: the id is not of the form of a reference's id.
    """
    kind = customer_type or service.settings.subscription_for
    if kind == "user":
        if reference_id is None or reference_id == identity.user_id:
            return Reference(identity.user_id, "user")
        if not service.has_authorize:
            raise ReferenceRefused("REFERENCE_ID_NOT_ALLOWED")
    elif not service.settings.organizations_enabled:
        raise ReferenceRefused("ORGANIZATION_SUBSCRIPTION_NOT_ENABLED")
    elif not service.has_authorize:
        raise ReferenceRefused("AUTHORIZE_REFERENCE_REQUIRED")
    target = reference_id if reference_id is not None else identity.organization_id
    if target is None:
        raise ReferenceRefused("REFERENCE_REQUIRED")
    reference = Reference(target, kind)
    await _ask(service, identity, reference, action)
    return reference


async def _ask(service: Service, identity: Identity, reference: Reference, action: Action) -> None:
    try:
        allowed: object = await service.authorize(identity, reference.id, action)
    except Exception as error:
        raise Unauthorized from error
    if allowed is not True:
        raise Unauthorized
