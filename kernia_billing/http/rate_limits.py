"""What answers say in headers about quotas, for programs that pace themselves: all of it from one decision.

`RateLimit-Policy` and `RateLimit` are those of "RateLimit header fields for HTTP", version 11 of the draft
(draft-ietf-httpapi-ratelimit-headers-11): every usage limit is a policy, and so is a balance that starts anew each
period, where nothing else would pay after it. The unit is the feature's own. `Retry-After` says when a refusal will
have healed by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from ..domain.answers import Decision, Usage

POLICY, LIMIT, RETRY_AFTER = "ratelimit-policy", "ratelimit", "retry-after"
_SECOND = timedelta(seconds=1)
_TOO_LITTLE = ("insufficient_balance", "overage_limit")


@frozen
class _Quota:
    """One policy: `size` units in every `window` seconds (None: not told), of which `left` are left until `resets`."""

    name: str
    size: int
    window: int | None
    left: int
    resets: datetime
    is_short: bool

    def policy(self) -> str:
        """Its member of `RateLimit-Policy`."""
        return f'"{self.name}";q={self.size}' + ("" if self.window is None else f";w={self.window}")

    def state(self, now: datetime) -> str:
        """Its member of `RateLimit`."""
        return f'"{self.name}";r={self.left};t={_seconds(self.resets - now)}'


def decision_headers(decision: Decision) -> dict[str, str]:
    """The headers of an answer about a decision; with `Retry-After` where it is a no that time heals.

    Then `RateLimit` names only what has to be waited for, because nobody should be told to come back earlier than at
    the end of a window (section 6 of the draft).
    """
    quotas = _quotas(decision)
    heals = None if decision.allowed else _heals(decision)
    if heals is None:
        return _fields(quotas, quotas, decision.as_of)
    found = _fields(quotas, [each for each in quotas if each.is_short], decision.as_of)
    return {**found, RETRY_AFTER: str(max(1, _seconds(heals - decision.as_of)))}


def usage_headers(usage: Usage, now: datetime) -> dict[str, str]:
    """The headers of a receipt: its usage limits as they stand after the use. Nothing where it is an earlier answer."""
    quotas = [] if usage.replayed else [_of_limit(each, 0) for each in usage.limits]
    return _fields(quotas, quotas, now)


def gate_headers(decisions: Iterable[Decision], status: int, present: Iterable[str]) -> dict[str, str]:
    """The headers to add to the response of a view that passed its gates, which has the headers `present` already.

    None where the view itself, or a refusal, told of quotas, and none to a redirect: clients may hold it back until
    there is quota again.
    """
    if 300 <= status < 400 or any(name.lower() in (POLICY, LIMIT) for name in present):
        return {}
    found: dict[str, str] = {}
    for decision in decisions:
        for name, value in decision_headers(decision).items():
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _fields(policies: Sequence[_Quota], states: Sequence[_Quota], now: datetime) -> dict[str, str]:
    found: dict[str, str] = {}
    if policies:
        found[POLICY] = ", ".join(each.policy() for each in policies)
    if states:
        found[LIMIT] = ", ".join(each.state(now) for each in states)
    return found


def _seconds(time: timedelta) -> int:
    """Whole seconds, rounded up: after them it is over."""
    return max(0, -(-time // _SECOND))


def _quotas(decision: Decision) -> list[_Quota]:
    """Every usage limit of a decision, and the balance."""
    quotas = [_of_limit(each, _wanted(decision, each)) for each in decision.limits]
    balance = decision.balance
    only = all(_is_own(decision, line) and line.get("kind") != "overage" for line in decision.breakdown)
    if balance.resets_at is not None and balance.remaining is not None and decision.breakdown and only:
        is_short = decision.reason in _TOO_LITTLE and balance.remaining < decision.required
        left = max(0, balance.remaining)
        quotas.append(_Quota(decision.feature, balance.included, None, left, balance.resets_at, is_short))
    return quotas


def _wanted(decision: Decision, limit: Mapping[str, Any]) -> int:
    """How much of a limit the decision is about. Of credits that is not known: the last ones are too few."""
    if limit["feature"] == decision.feature:
        return decision.required
    least = min(each["remaining"] for each in _limits(decision) if each["feature"] != decision.feature)
    others = [each for each in _limits(decision) if each["feature"] == decision.feature]
    is_cause = decision.reason == "usage_limit" and all(each["remaining"] >= decision.required for each in others)
    return least + 1 if is_cause else 0


def _limits(decision: Decision) -> Sequence[Mapping[str, Any]]:
    return decision.limits


def _of_limit(limit: Mapping[str, Any], wanted: int) -> _Quota:
    window = _seconds(limit["resetsAt"] - limit["startedAt"])
    left: int = limit["remaining"]
    return _Quota(_name(limit), limit["maximum"], window, left, limit["resetsAt"], left < wanted)


def _name(limit: Mapping[str, Any]) -> str:
    """What a policy is called: the same in every answer, and different for limits that differ."""
    per = limit["per"] if limit["count"] == 1 else f"{limit['count']}-{limit['per']}s"
    name = f"{limit['feature']}-per-{per}" + ("-each" if limit["entityId"] is not None else "")
    return f"{name}-{limit['id'][-8:]}" if limit["where"] or limit["timezone"] != "UTC" else name


def _heals(decision: Decision) -> datetime | None:
    """When a no will be a yes if nothing is used until then; None if never, or if nobody can tell."""
    if decision.reason != "usage_limit" and decision.reason not in _TOO_LITTLE:
        return None
    waits: list[datetime] = []
    for limit, quota in zip(_limits(decision), _quotas(decision), strict=False):
        if quota.is_short:
            if limit["feature"] == decision.feature and quota.size < decision.required:
                return None
            waits.append(quota.resets)
    if decision.reason in _TOO_LITTLE:
        refilled = _refilled(decision)
        if refilled is None:
            return None
        waits.append(refilled)
    return max(waits, default=None)


def _refilled(decision: Decision) -> datetime | None:
    """When the allowances of the feature itself will have started anew that are needed for the whole quantity."""
    own: list[Mapping[str, Any]] = [line for line in decision.breakdown if _is_own(decision, line)]
    counted = [line for line in own if line.get("included") is not None]
    room = sum(line["included"] - line["used"] - line["held"] for line in counted)
    anew = [line for line in counted if line["resetsAt"] is not None]
    for line in sorted(anew, key=lambda line: line["resetsAt"]):
        room += line["used"] + line["held"]
        if room >= decision.required:
            resets: datetime = line["resetsAt"]
            return resets
    return None


def _is_own(decision: Decision, line: Mapping[str, Any]) -> bool:
    return bool(line.get("feature", decision.feature) == decision.feature)
