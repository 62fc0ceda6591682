"""Taking over the customers that an application has at Stripe already, with their subscriptions.

Whose a Stripe customer is is said by the caller's `mapping`, or else by the metadata that Better Auth, Kernia and this
library write. Its e-mail address says nothing: whoever signed up with it need not own it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

from attrs import define, field, frozen

from ..domain.ids import stripe_id as checked_id
from ..domain.reading import Json, own_id, texts
from ..domain.references import CustomerType, Ref, Reference
from ..domain.reports import Adoption, AdoptionReport, Failure, LeftAlone, LeftReason, Progress, SyncReport, WhoseIs
from ..domain.subscriptions import TERMINAL, read_subscription
from ..errors import BillingError, InvalidInput
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from . import inbox, resync, traces
from .core import Core
from .customers import link
from .fencing import LeaseLost
from .listing import not_foreign
from .outbox import dispatch
from .plans import publish_all, sold_by

Ask = Callable[[Json], Ref | None]
_TYPES: tuple[CustomerType, ...] = ("user", "organization")
_NAMED: Mapping[str, CustomerType] = {each: each for each in _TYPES}


class _Undecided(Exception):
    """Why it cannot be said whose a customer is."""

    def __init__(self, reason: LeftReason, told: str | None = None) -> None:
        super().__init__(reason)
        self.reason: LeftReason = reason
        self.told = told


@frozen
class _Sold:
    """What the customers of the account are subscribed to: how often, and which prices no plan sells."""

    live: Mapping[str, int]
    unmapped: Mapping[str, tuple[str, ...]]


async def customers(
    core: Core, *, mapping: WhoseIs | None = None, dry_run: bool = False, progress: Progress | None = None
) -> AdoptionReport:
    """Link every Stripe customer of which it is known whose it is, then compare all customers with Stripe.

    With `dry_run` nothing is written: the report says who would be adopted, and who not and why.

    Raises:
        InvalidInput: `mapping` names something that is no Stripe customer or no reference; nothing was written.
        Unavailable: Stripe or the database does not answer; who was adopted so far stays so.
    """
    by_id, ask = _split(core, mapping)
    background = core.in_background()
    with traces.job(core, "adopt customers"):
        plan = await _Census(background, by_id, ask).take(progress if dry_run else None)
        if dry_run:
            return AdoptionReport({}, adopted=tuple(plan.adopted), left=tuple(plan.left), dry_run=True)
        adopted, left, failures = await _link_all(background, plan)
        await _replay(background)
        report = await resync.run(core, "customers", progress=progress)
        return _merged(report, adopted, left, failures)


def _split(core: Core, mapping: WhoseIs | None) -> tuple[Mapping[str, Ref], Ask]:
    """What the caller says: by ids, and when asked."""
    if mapping is None:
        return {}, _says_nothing
    if not isinstance(mapping, Mapping):
        return {}, mapping
    by_id = cast("Mapping[str, Ref]", mapping)
    for stripe_customer_id, reference in by_id.items():
        checked_id(stripe_customer_id, "cus", field="mapping")
        core.reference(reference)
    return by_id, _says_nothing


def _says_nothing(_customer: Json) -> Ref | None:
    return None


def _merged(
    report: SyncReport, adopted: Sequence[Adoption], left: Sequence[LeftAlone], failures: Sequence[Failure]
) -> AdoptionReport:
    return AdoptionReport(
        report.kinds, (*failures, *report.failures), report.resumed, adopted=tuple(adopted), left=tuple(left)
    )


@define
class _Census:
    """One look at all of Stripe's customers: who is whose."""

    core: Core
    by_id: Mapping[str, Ref]
    ask: Ask
    adopted: list[Adoption] = field(factory=list[Adoption])
    left: list[LeftAlone] = field(factory=list[LeftAlone])
    _claims: dict[Reference, list[str]] = field(factory=dict[Reference, list[str]])

    async def take(self, progress: Progress | None) -> _Census:
        listed: set[str] = set()
        pages = _Pages(self.core, "/v1/customers", {})
        while (page := await pages.next()) is not None:
            listed.update(own_id(each) for each in page)
            for each in await self.core.store.read(partial(_foreign, page=page)):
                self._judge(each)
            if progress is not None:
                progress("customer", len(listed))
        for lost in sorted(set(self.by_id) - listed):
            self.left.append(LeftAlone(lost, "not_found", self.core.reference(self.by_id[lost]).id))
        if self._claims:
            await self._settle(await _sold(self.core, {each for ids in self._claims.values() for each in ids}))
        return self

    def _judge(self, theirs: StripeObject) -> None:
        stripe_customer_id = own_id(theirs)
        try:
            reference = self._whose(theirs)
        except _Undecided as undecided:
            self.left.append(LeftAlone(stripe_customer_id, undecided.reason, undecided.told))
        else:
            self._claims.setdefault(reference, []).append(stripe_customer_id)

    def _whose(self, theirs: StripeObject) -> Reference:
        told = self.by_id.get(own_id(theirs)) or self.ask(theirs)
        if told is None:
            return reference_of(theirs, self.core.subscription_for)
        try:
            return self.core.reference(told)
        except InvalidInput as wrong:
            raise _Undecided("invalid_reference") from wrong

    async def _settle(self, sold: _Sold) -> None:
        """Adopt whoever is claimed once, and whose reference has no other Stripe customer."""
        taken = await self.core.store.read(partial(_linked, references=list(self._claims)))
        for reference, ids in self._claims.items():
            if reference in taken or len(ids) > 1:
                reason: LeftReason = "reference_linked" if reference in taken else "duplicate_reference"
                self.left += [LeftAlone(each, reason, reference.id) for each in ids]
            else:
                (only,) = ids
                self.adopted.append(Adoption(only, reference, sold.live.get(only, 0), sold.unmapped.get(only, ())))


def reference_of(theirs: StripeObject, default: CustomerType) -> Reference:
    """Whose a Stripe customer is by its metadata: that of this library, Better Auth's, or Kernia's.

    `customerType` says which of `userId`, `organizationId` and `referenceId` counts; without it they must agree.

    Raises:
        _Undecided: they say nothing, or two things, or what is no reference.
    """
    told = _told(theirs)
    wanted = told.get("customertype")
    kind = None if wanted is None else _NAMED.get(wanted)
    if kind is None and wanted is not None:
        raise _Undecided("contradictory_metadata", wanted)
    claims = list(dict.fromkeys(_claims(told, kind, default)))
    if not claims:
        raise _Undecided("no_metadata")
    if len(claims) > 1:
        raise _Undecided("contradictory_metadata", " or ".join(sorted({name for name, _ in claims})))
    ((name, of),) = claims
    try:
        return Reference(name, of)
    except InvalidInput as wrong:
        raise _Undecided("invalid_reference") from wrong


def _told(theirs: StripeObject) -> Mapping[str, str]:
    """The metadata, by names without case and underscores: Python writes `reference_id`, JavaScript `referenceId`."""
    told = texts(theirs.get("metadata"))
    return {name.replace("_", "").lower(): value for name, value in told.items() if value}


def _claims(
    told: Mapping[str, str], kind: CustomerType | None, default: CustomerType
) -> Iterator[tuple[str, CustomerType]]:
    for each in _TYPES:
        if f"{each}id" in told and kind in (None, each):
            yield told[f"{each}id"], each
    if "referenceid" in told:
        named = [each for each in _TYPES if told.get(f"{each}id") == told["referenceid"]]
        likely: CustomerType = "organization" if "organization" in named else "user" if "user" in named else default
        yield told["referenceid"], likely if kind is None else kind


def _foreign(tx: Transaction, page: Sequence[StripeObject]) -> Sequence[StripeObject]:
    """Those of Stripe's customers that are none of ours."""
    ours = {own_id(each) for each in not_foreign(tx, "customer", page)}
    return [each for each in page if own_id(each) not in ours]


def _linked(tx: Transaction, references: Sequence[Reference]) -> set[Reference]:
    rows = (tx.customers.get(each) for each in references)
    return {row.reference for row in rows if row is not None and row.stripe_customer_id is not None}


async def _sold(core: Core, wanted: set[str]) -> _Sold:
    """What these customers are subscribed to and has not ended, from the list of the whole account."""
    live: dict[str, int] = {}
    unmapped: dict[str, tuple[str, ...]] = {}
    pages = _Pages(core, "/v1/subscriptions", {})
    while (page := await pages.next()) is not None:
        for owner, prices in await core.store.read(partial(_prices, core, page=page)):
            if owner in wanted:
                live[owner] = live.get(owner, 0) + 1
                unmapped[owner] = (*unmapped.get(owner, ()), *prices)
    return _Sold(live, unmapped)


def _prices(core: Core, tx: Transaction, page: Sequence[StripeObject]) -> list[tuple[str, tuple[str, ...]]]:
    """The customer of each subscription, and its prices where no plan sells any of them."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for each in page:
        theirs = read_subscription(each)
        if theirs.status not in TERMINAL:
            sold = sold_by(core, tx, theirs)
            found.append((theirs.customer_id, () if sold else tuple(item.price_id for item in theirs.items)))
    return found


async def _link_all(core: Core, plan: _Census) -> tuple[Sequence[Adoption], Sequence[LeftAlone], Sequence[Failure]]:
    adopted: list[Adoption] = []
    left, failures = list(plan.left), list[Failure]()
    await publish_all(core)
    for each in plan.adopted:
        try:
            await link(core, each.reference, each.stripe_customer_id)
        except LeaseLost:
            raise
        except BillingError as failure:
            if failure.retryable:
                raise
            left.append(LeftAlone(each.stripe_customer_id, "failed", each.reference.id))
            failures.append(Failure("customer", each.stripe_customer_id, failure.code))
        else:
            adopted.append(each)
    return adopted, left, failures


async def _replay(core: Core) -> None:
    """Work on the events that came while their customers were nobody's."""
    while await inbox.retry_due(core):
        pass
    await dispatch(core)


@define
class _Pages:
    """A list of Stripe's, page by page."""

    core: Core
    path: str
    params: Mapping[str, str]
    _after: str | None = None
    _ended: bool = False

    async def next(self) -> Sequence[StripeObject] | None:
        """The next page, None after the last."""
        if self._ended:
            return None
        page = await self.core.provider().page(self.path, self.params, after=self._after)
        self._ended = not page.has_more
        self._after = str(page.data[-1]["id"]) if page.data else None
        return page.data
