"""Where events go: the attached library, and the webhook endpoints and event destinations that somebody serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from ..world.errors import Json, SimulatorError

if TYPE_CHECKING:
    from ..world.world import World

ATTACHED = "attached"
"""The name of the library's own target, which is no object of the account."""


@define
class Secrets:
    """The secrets that an endpoint's webhooks are signed with: one, or two while it is being rolled."""

    current: str = field(repr=False)
    _old: list[tuple[str, int]] = field(factory=list[tuple[str, int]], init=False, repr=False)

    def roll(self, fresh: str, until: int) -> None:
        """Sign with a new secret, and until that UTC second with the one before too. Stripe allows up to 24 hours."""
        self._old.append((self.current, until))
        self.current = fresh

    def active(self, now: int) -> list[str]:
        """Those in force, the newest first."""
        return [self.current, *(secret for secret, until in reversed(self._old) if until > now)]


@frozen(eq=False)
class Target:
    """An endpoint that somebody serves."""

    name: str
    """An endpoint's or destination's id, or `ATTACHED`."""
    receiver: Any = field(repr=False)
    """Has `receive(body, signature)`, blocking or awaited."""
    secrets: Secrets
    version: str | None = None
    """The API version of what it gets; None is the account's own."""
    types: Sequence[str] = ("*",)
    thin: bool = False

    def wants(self, event: Json) -> bool:
        """Whether an event, of the v1 API or a thin one, is for this endpoint."""
        only_thin = event["object"] == "v2.core.event"
        type = f"v1.{event['type']}" if self.thin and not only_thin else event["type"]
        return (self.thin or not only_thin) and any(_matches(type, wanted) for wanted in self.types)


@define(eq=False)
class Targets:
    """Every endpoint of the account that somebody serves."""

    world: World
    attached: Secrets
    library: Any = field(default=None, repr=False)
    served: dict[str, Any] = field(factory=dict[str, Any], init=False, repr=False)
    """Receivers in Python, by the id of the endpoint that they serve."""
    post: Callable[[str], Any] | None = None
    """Makes the receiver of an endpoint from its URL, where no receiver in Python serves it."""
    _posting: dict[str, Any] = field(factory=dict[str, Any], init=False, repr=False)
    """What `post` made, by URL."""
    _secrets: dict[str, Secrets] = field(factory=dict[str, Secrets], init=False, repr=False)

    def all(self) -> list[Target]:
        """The library first, then the endpoints in the order of their creation."""
        found = [] if self.library is None else [Target(ATTACHED, self.library, self.attached)]
        for kind, read in (("webhook_endpoint", self._endpoint), ("v2.core.event_destination", self._destination)):
            found += [target for row in self.world.table(kind).rows.values() if (target := read(row)) is not None]
        return found

    def secrets_of(self, name: str) -> Secrets:
        """The secrets of a target.

        Raises:
            SimulatorError: the account has no such endpoint, or nobody serves it.
        """
        if name == ATTACHED:
            return self.attached
        found = next((target.secrets for target in self.all() if target.name == name), None)
        if found is None:
            raise SimulatorError(f"nobody serves {name}")
        return found

    def keep_secret(self, name: str, secret: str) -> Secrets:
        """The secrets of an endpoint, which begin with the one that it was made with."""
        return self._secrets.setdefault(name, Secrets(secret))

    def _endpoint(self, row: Json) -> Target | None:
        receiver = self._receiver(row["id"], row["url"])
        if receiver is None or row["status"] != "enabled":
            return None
        secrets = self.keep_secret(row["id"], row["_secret"])
        return Target(row["id"], receiver, secrets, row["api_version"], row["enabled_events"])

    def _destination(self, row: Json) -> Target | None:
        receiver = self._receiver(row["id"], row["_url"])
        if receiver is None or row["status"] != "enabled":
            return None
        thin = row["event_payload"] == "thin"
        secrets = self.keep_secret(row["id"], row["_secret"])
        return Target(row["id"], receiver, secrets, row["snapshot_api_version"], row["enabled_events"], thin)

    def _receiver(self, name: str, url: str) -> Any:
        if name in self.served or self.post is None:
            return self.served.get(name)
        if url not in self._posting:
            self._posting[url] = self.post(url)
        return self._posting[url]


def _matches(type: str, wanted: str) -> bool:
    return type == wanted or (wanted.endswith("*") and type.startswith(wanted[:-1]))
