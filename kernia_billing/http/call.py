"""A judged request, as a handler gets it."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from attrs import frozen

from ..domain.references import Identity, Reference
from ..errors import GuardError
from .messages import Request
from .service import Service

W = TypeVar("W", bound=msgspec.Struct)


@frozen
class Call(Generic[W]):
    """A request that passed the judgement of its route: who asks, for whom, and what.

    `identity` is None on public and signed routes, `reference` on all that are not about one.
    """

    service: Service
    request: Request
    input: W
    identity: Identity | None
    reference: Reference | None

    @property
    def caller(self) -> Identity:
        """Who asks."""
        if self.identity is None:
            raise GuardError("A route without a session asked who the caller is")
        return self.identity

    @property
    def scope(self) -> Reference:
        """The authorised reference."""
        if self.reference is None:
            raise GuardError("A route that is not about a reference asked for it")
        return self.reference
