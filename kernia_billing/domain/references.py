"""Who is billed and who asks."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from attrs import field, frozen, validators

from ..errors import InvalidInput
from .ids import reference_id

CustomerType = Literal["user", "organization"]
Action = Literal[
    "upgrade-subscription",
    "list-subscription",
    "cancel-subscription",
    "restore-subscription",
    "billing-portal",
    "check-feature",
    "track-usage",
    "read-customer",
    "read-usage",
]


@frozen(cache_hash=True)
class Reference:
    """Who is billed: a user or an organization of the host application.

    Wherever a reference is asked for, a plain text means `Reference(text, config.subscription_for)`.
    """

    id: str
    type: CustomerType

    def __attrs_post_init__(self) -> None:
        reference_id(self.id, field="reference")
        if self.type not in ("user", "organization"):
            raise InvalidInput("must be 'user' or 'organization'", field="customer_type")


Ref = str | Reference


def as_reference(value: Ref, default_type: CustomerType) -> Reference:
    """The reference that `value` means.

    Raises:
        InvalidInput: it is neither a text nor a `Reference`, or not a valid id.
    """
    if type(value) is str:
        return _of_text(value, default_type)
    return value if isinstance(value, Reference) else Reference(value, default_type)


@lru_cache(maxsize=10_000)
def _of_text(text: str, type_: CustomerType) -> Reference:
    """The same few ask again and again; checking and building takes longer than remembering."""
    return Reference(text, type_)


@frozen
class Identity:
    """Who asks. Built by the host's own authentication, never by this library.

    `organization_id` is the active organization: the default reference where organizations are billed.
    """

    user_id: str = field(validator=validators.instance_of(str))
    email: str | None = None
    email_verified: bool = False
    organization_id: str | None = None
    is_admin: bool = False
