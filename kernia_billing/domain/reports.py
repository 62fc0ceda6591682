"""What healing answers: how imports went, what differs from Stripe, and what is wrong with the books."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from attrs import frozen

from .references import Ref, Reference

Progress = Callable[[str, int], object]
"""Called after every page of an import with the kind of its objects, and how many of that kind were seen so far."""
Outcome = Literal["applied", "stale", "unmatched", "gone"]
"""What became of news: written; older than what is stored; of a customer that is none of ours; of an object that
Stripe does not have (any more)."""


@frozen
class Count:
    """How many objects of a kind were `seen` in Stripe's lists, and what became of them.

    `gone` are those that we had and Stripe has not (any more), `unmatched` those of customers that are none of ours.
    """

    seen: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    gone: int = 0
    unmatched: int = 0
    failed: int = 0


@frozen
class Failure:
    """An object that could not be brought up to date, and the `code` of the error."""

    kind: str
    id: str
    code: str


@frozen
class SyncReport:
    """How an import went: counts by kind of object, and what failed. Whatever failed kept the state that it had.

    `resumed` says that it went on where an earlier run was cut short; the counts are of both then, the failures of the
    last one.
    """

    kinds: Mapping[str, Count]
    failures: Sequence[Failure] = ()
    resumed: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(each.failed for each in self.kinds.values())


WhoseIs = Mapping[str, Ref] | Callable[[Mapping[str, Any]], Ref | None]
"""Whose Stripe customers are: by their ids, or a function of Stripe's customer object, which may say None."""
LeftReason = Literal[
    "no_metadata",
    "contradictory_metadata",
    "invalid_reference",
    "duplicate_reference",
    "reference_linked",
    "not_found",
    "failed",
]
"""Why a Stripe customer was not adopted: nothing in its metadata says whose it is; it says two things; what it says is
no reference; several customers say the same; the reference has another Stripe customer; Stripe has no such customer;
Stripe or the database failed."""


@frozen
class Adoption:
    """A Stripe customer and the reference that it belongs to.

    `subscriptions` says how many it has that have not ended; `unmapped_prices` are those prices of them that no plan
    sells: what they give is nothing until `catalog.map_price` or the configuration names them.
    """

    stripe_customer_id: str
    reference: Reference
    subscriptions: int
    unmapped_prices: tuple[str, ...] = ()


@frozen
class LeftAlone:
    """A Stripe customer that was not adopted, and why."""

    stripe_customer_id: str
    reason: LeftReason
    reference: str | None = None


@frozen
class AdoptionReport(SyncReport):
    """How an import of customers went: who was `adopted` (in a dry run: would be), and who was `left` alone."""

    adopted: Sequence[Adoption] = ()
    left: Sequence[LeftAlone] = ()
    dry_run: bool = False


@frozen
class Difference:
    """A field in which our copy differs from Stripe's object.

    `field` is "" where a whole object is missing on one side: `theirs` or `ours` then says so by None. Values that may
    tell of a person are shown as "(hidden)".
    """

    kind: str
    id: str
    field: str
    theirs: object
    ours: object


@frozen
class DriftReport:
    """What differs between Stripe and our copies. `events_missed` are Stripe's events that never reached us."""

    differences: Sequence[Difference]
    compared: Mapping[str, int]
    events_missed: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.events_missed


@frozen
class Reconciliation:
    """What a run of `reconcile` did.

    `status` is "done", "held" (another replica is at it, nothing was done) or "lost" (another replica took over).
    `events` were missed and are taken in now. `subscriptions`, `checkouts` and `intents` were overdue and looked at.
    `sweep` is the part of a comparison of everything that was due, None where none was. `drift` is the report of a dry
    run, which does nothing else.
    """

    status: Literal["done", "held", "lost", "dry_run"]
    events: int = 0
    subscriptions: int = 0
    checkouts: int = 0
    intents: Mapping[str, int] | None = None
    sweep: SyncReport | None = None
    failures: Sequence[Failure] = ()
    drift: DriftReport | None = None
    next_at: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and in a dry run nothing differs."""
        swept = self.sweep is None or self.sweep.ok
        return not self.failures and swept and (self.drift is None or self.drift.ok)


Severity = Literal["error", "warning"]


@frozen
class Finding:
    """Something wrong: the id of the check, what it is about, what was found, and up to 20 ids of where."""

    check: str
    title: str
    severity: Severity
    found: str
    count: int
    ids: tuple[str, ...] = ()


@frozen
class Diagnosis:
    """What `doctor` found. `checks` are the ids of all that was looked at."""

    findings: Sequence[Finding]
    checks: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return not any(each.severity == "error" for each in self.findings)
