"""The transaction that a reader sees whose answer was read together with those of others."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..domain.references import Reference
from ..ports.store import Held, Needs
from .drafts import Alone

Answer = tuple[CustomerRow | None, Sequence[Held]]
"""What `Entitlements.of_reference` answers."""


class Foreseen:
    """Knows what was asked for. A reader that asks for anything else is `Alone`."""

    __slots__ = ("entitlements",)

    def __init__(self, needs: Needs, answer: Answer) -> None:
        self.entitlements = _Entitlements(needs, answer)

    def __getattr__(self, name: str) -> object:
        raise Alone


class _Entitlements:
    __slots__ = ("_answer", "_needs")

    def __init__(self, needs: Needs, answer: Answer) -> None:
        self._needs = needs
        self._answer = answer

    def of_reference(self, reference: Reference, features: Sequence[str], now: Instant) -> Answer:
        """What was read."""
        needs = self._needs
        if now != needs.now or reference != needs.reference or features != needs.features:
            raise Alone
        return self._answer

    def __getattr__(self, name: str) -> object:
        raise Alone
