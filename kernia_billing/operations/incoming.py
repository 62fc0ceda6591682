"""What the host tells us of: its users, its organizations, and their members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from attrs import frozen

from ..domain.messages import Message
from ..domain.references import CustomerType, Reference, as_reference
from ..errors import Conflict, InvalidInput, NotFound
from . import customer_changes, customers, forgetting, seats
from .core import Core

GROUP = "kernia-billing"
"""The group in which this library receives what the host publishes on a bus."""
Facts = Mapping[str, Any]


@frozen
class Topic:
    """A topic of the host: the member of its data that names the customer, the type of that, and what is done."""

    of: str
    type: CustomerType
    work: Callable[[Core, Reference, Facts], Awaitable[None]]
    also: tuple[str, ...] = ()

    def read(self, data: object) -> tuple[Reference, Facts]:
        """Whom the data is about, and what it says.

        Raises:
            InvalidInput: the data has not the documented shape; `field` names the member.
        """
        if not isinstance(data, Mapping):
            raise InvalidInput("must be an object", field="data")
        facts = cast("Facts", data)
        for name in (self.of, *self.also):
            value: object = facts.get(name)
            if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
                raise InvalidInput("must be a text of 1 to 255 printable characters", field=f"data.{name}")
        for name in ("email", "name"):
            if not isinstance(facts.get(name), str | None):
                raise InvalidInput("must be a text", field=f"data.{name}")
        members = facts.get("members")
        if members is not None and (type(members) is not int or not 0 <= members <= 1_000_000):
            raise InvalidInput("must be a whole number from 0 to 1000000", field="data.members")
        return as_reference(facts[self.of], self.type), facts


async def _came(core: Core, reference: Reference, facts: Facts) -> None:
    if core.stripe is not None and core.create_on_sign_up:
        verified = facts.get("emailVerified") is True
        await customers.ensure(
            core, reference, email=facts.get("email"), name=facts.get("name"), email_verified=verified
        )


async def _changed(core: Core, reference: Reference, facts: Facts) -> None:
    if core.stripe is not None:
        await customer_changes.update(core, reference, email=facts.get("email"), name=facts.get("name"))


async def _left(core: Core, reference: Reference, facts: Facts) -> None:
    await forgetting.delete(core, reference, policy="cancel" if facts.get("policy") == "cancel" else "refuse")


async def _moved(core: Core, reference: Reference, facts: Facts) -> None:
    await seats.member_changed(core, reference.id, facts.get("members"))


async def _heard(core: Core, reference: Reference, facts: Facts) -> None:
    """An organization becomes a customer when it buys something."""


TOPICS: Mapping[str, Topic] = {
    "user.created": Topic("id", "user", _came),
    "user.updated": Topic("id", "user", _changed),
    "user.deleted": Topic("id", "user", _left),
    "organization.created": Topic("id", "organization", _heard),
    "organization.updated": Topic("id", "organization", _changed),
    "organization.deleted": Topic("id", "organization", _left),
    "organization.member.added": Topic("organizationId", "organization", _moved, also=("userId",)),
    "organization.member.removed": Topic("organizationId", "organization", _moved, also=("userId",)),
}
"""What the host may tell us of, by topic."""


async def receive(core: Core) -> int:
    """Do what the host asks for over the bus; says how many messages that were."""
    if core.bus is None or core.stopping():
        return 0

    async def take(message: Message) -> None:
        await handle(core, message.topic, message.body.get("data"))

    return await core.bus.receive(GROUP, take, topics=tuple(TOPICS))


async def handle(core: Core, topic: str, data: object) -> None:
    """Do what one topic of the host asks for; nothing for any other.

    Raises:
        InvalidInput: the data has not the documented shape.
        Unavailable: Stripe or the database does not answer; it is to be handed over again.
    """
    known = TOPICS.get(topic)
    if known is None:
        return
    reference, facts = known.read(data)
    try:
        await known.work(core, reference, facts)
    except (Conflict, NotFound) as refused:
        if refused.retryable:
            raise
        # Whoever is not billed has nothing that could follow; what is refused now is refused every time.
        core.telemetry.log("warning", "host.refused", {"topic": topic, "code": refused.code})
