"""What is included instead of what plans include: in a trial of one of them, and by an override.

An override may also say what a usage limit of the plans allows instead. All of them are rows among the grants of a
customer, which come with every read, and count by time alone. They change how much there is of a running period and
never where its uses are counted, so nothing is moved when they begin or end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.grants import Grant, Holding, Instead, Source, holding
from ..domain.instants import Instant
from ..domain.limits import Limit
from ..domain.offer import Offer
from ..domain.period import Rhythm
from ..domain.plans import FeatureKind
from ..domain.rollover import Most
from ..domain.terms import limits_of
from ..ports.store import Held

RULES: frozenset[Source] = frozenset(("trial", "override"))
_FROM_PLANS: frozenset[Source] = frozenset(("plan", "default", "carry", "rollover"))
_THINGS: tuple[FeatureKind, ...] = ("quantity", "seat")


def limit_of(rule: Grant) -> Limit | None:
    """The usage limit that an override sets, None where it sets an amount."""
    found = limits_of(rule.terms, rule.feature)
    return found[0] if found else None


def rules_in(rows: Iterable[Held], now: Instant) -> list[Held]:
    """The trials and overrides of amounts that count at `now`, overrides last: they win."""
    found = [row for row in _live(rows, now) if limit_of(row[0]) is None]
    return found if len(found) < 2 else sorted(found, key=lambda row: (row[0].source_type != "trial", row[0].id))


def _live(rows: Iterable[Held], now: Instant) -> list[Held]:
    return [row for row in rows if row[0].source_type in RULES and row[0].is_live(now)]


def replaced(
    offer: Offer, customer: CustomerRow | None, holdings: Sequence[Holding], rows: Iterable[Held], now: Instant
) -> list[Holding]:
    """The holdings as trials and overrides want them."""
    live = _live(rows, now)
    found = _included(offer, customer, holdings, live, now) if live else list(holdings)
    limits = [rule for rule, _ in live if limit_of(rule) is not None]
    return [_limited(each, limits) for each in found] if limits else found


def _limited(each: Holding, limits: Iterable[Grant]) -> Holding:
    mine = tuple(rule for rule in limits if _concerns(rule, each.grant))
    return evolve(each, limited=mine) if mine else each


def _included(
    offer: Offer, customer: CustomerRow | None, holdings: Sequence[Holding], rows: Iterable[Held], now: Instant
) -> list[Holding]:
    found = list(holdings)
    for rule, bucket in rules_in(rows, now):
        spec = offer.features.get(rule.feature)
        kind: FeatureKind = "metered" if spec is None else spec.kind
        if rule.source_type == "trial":
            found = _tried(found, rule, kind)
            continue
        found = _overridden(found, rule, kind)
        given = any(_is_first(each, rule) for each in found)
        is_taken = rule.amount == 0 and kind == "boolean"
        if not given and not is_taken and customer is not None:
            # A plan that does not name the feature includes nothing of it. Where there is no plan, nothing is replaced.
            if customer.has_plan(now) or offer.default_plan is not None:
                found.append(_shared(holding(rule, bucket, now), rule, _taken(_concerned(found, rule))))
        elif bucket is not None and kind in _THINGS and bucket.used + bucket.held:
            # Things that were made while no plan named the feature exist still.
            found.append(Holding(rule, bucket, True, Instead(rule, 0)))
            found = _overridden(found, rule, kind)
    return found


def room(grant: Grant, rows: Iterable[Held], now: Instant) -> Instead | None:
    """What there is room for under a plan's grant instead of its amount, None where nothing says otherwise."""
    rules = [rule for rule, _ in rules_in(rows, now) if _concerns(rule, grant)]
    return Instead(rules[-1], rules[-1].amount) if rules else None


def widest(amount: int | None, instead: Instead | None) -> int | None:
    """The larger of an amount and what is included instead of it; None where one of them has no limit."""
    if instead is None or amount is None:
        return amount
    return None if instead.amount is None else max(amount, instead.amount)


def most_of(grant: Grant, rhythm: Rhythm, rows: Iterable[Held], since: Instant) -> Most | None:
    """What the periods of a grant that end at `since` or later may leave at most, None where nothing limits them.

    That is what a trial or an override included when a period ended: of a trial nothing moves on.
    """
    rules = [
        rule
        for rule, _ in rows
        if rule.source_type in RULES and rule.expires_at >= since and rule.amount is not None and _concerns(rule, grant)
    ]
    if not rules:
        return None

    def most(number: int) -> int | None:
        end = rhythm.start(number + 1)
        amounts = [
            0 if rule.source_type == "trial" else rule.amount or 0
            for rule in rules
            if rule.effective_at < end <= rule.expires_at
        ]
        return min(amounts, default=None)

    return most


def _concerns(rule: Grant, grant: Grant) -> bool:
    if rule.feature != grant.feature or grant.entity:
        return False
    if rule.source_type == "trial":
        return grant.source_type == "plan" and grant.source_id == rule.source_id
    return grant.source_type in _FROM_PLANS


def _tried(holdings: Sequence[Holding], rule: Grant, kind: FeatureKind) -> list[Holding]:
    """Nothing goes beyond what a trial includes, and a boolean feature that it does not is not there."""
    found: list[Holding] = []
    for each in holdings:
        if not _concerns(rule, each.grant):
            found.append(each)
        elif each.grant.kind != "overage" and kind != "boolean":
            found.append(evolve(each, instead=Instead(rule, rule.amount)))
    return found


def _overridden(holdings: Sequence[Holding], rule: Grant, kind: FeatureKind) -> list[Holding]:
    """All that plans give is the override's amount together; an override of nothing leaves no overage either."""
    none = rule.amount == 0
    first = min(
        (each for each in holdings if _is_first(each, rule)),
        key=lambda each: (each.grant.created_seq, each.grant.id),
        default=None,
    )
    concerned = _concerned(holdings, rule)
    rest = _taken([each for each in concerned if each is not first])
    found: list[Holding] = []
    for each in holdings:
        if each not in concerned:
            found.append(each)
        elif each.grant.kind == "overage":
            found += [] if none else [each]
        elif kind == "boolean":
            found += [] if none else [evolve(each, instead=Instead(rule, None))]
        else:
            found.append(_shared(each, rule, rest) if each is first else evolve(each, instead=Instead(rule, 0)))
    return found


def _is_first(each: Holding, rule: Grant) -> bool:
    """Whether a holding is one that can have what an override gives: the allowance of a plan."""
    grant = each.grant
    return _concerns(rule, grant) and grant.kind == "grant" and grant.source_type in ("plan", "default")


def _concerned(holdings: Sequence[Holding], rule: Grant) -> list[Holding]:
    """The holdings that plans give, with what their earlier periods left, and what the override gave itself."""
    plans = {each.grant.id for each in holdings if _is_first(each, rule)}
    return [
        each
        for each in holdings
        if each.grant is rule
        or (_concerns(rule, each.grant) and (each.grant.source_type != "rollover" or each.grant.parent in plans))
    ]


def _taken(holdings: Iterable[Holding]) -> int:
    """What is used and held of what is included."""
    return sum(each.bucket.used + each.bucket.held for each in holdings if each.grant.kind != "overage")


def _shared(each: Holding, rule: Grant, taken: int) -> Holding:
    amount = rule.amount
    return evolve(each, instead=Instead(rule, None if amount is None else max(0, amount - taken)))
