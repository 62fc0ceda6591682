"""The webhook endpoint at Stripe: whether it sends us what we need."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ..domain.reading import entries, own_id, text
from ..domain.reports import Finding, Severity
from ..ports.stripe import StripeObject
from .core import Core
from .event_types import HANDLED

_CHECK = "webhooks.endpoint"
_MOST = 1_000


@frozen
class Wanted:
    """What the endpoint should be: at an `origin`, None for any, and of an API `version`."""

    origin: str | None
    version: str


async def look_at(core: Core, wanted: Wanted) -> Sequence[Finding]:
    """What is wrong with the endpoints at Stripe that send to our origin."""
    endpoints = [each for each in await all_endpoints(core) if _is_ours(each, wanted.origin)]
    if not endpoints:
        told = "Stripe sends events to no endpoint" + ("" if wanted.origin is None else f" at {wanted.origin}")
        return [_finding("events are sent to us", "error", told)]
    enabled = [each for each in endpoints if each.get("status") == "enabled"]
    if not enabled:
        told = "the endpoint is disabled: Stripe gave it up, or somebody did"
        return [_finding("events are sent to us", "error", told, *(own_id(each) for each in endpoints))]
    found: list[Finding] = []
    sent = {str(kind) for each in enabled for kind in entries(each.get("enabled_events"))}
    missing = [] if "*" in sent else sorted(set(HANDLED) - sent)
    if missing:
        told = f"it is not subscribed to {', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}"
        ids = [own_id(each) for each in enabled]
        found.append(_finding("the endpoint is subscribed to what is handled", "error", told, *ids))
    found += [_of_version(wanted.version, each) for each in enabled if _differs(wanted.version, each)]
    return found


def _is_ours(endpoint: StripeObject, origin: str | None) -> bool:
    return origin is None or (text(endpoint.get("url")) or "").startswith(origin + "/")


def _differs(version: str, endpoint: StripeObject) -> bool:
    # Without a version of its own it sends in the account's, which can be read as well.
    return text(endpoint.get("api_version")) not in (None, version)


def _of_version(version: str, endpoint: StripeObject) -> Finding:
    told = f"it sends in {text(endpoint.get('api_version'))}, and our calls use {version}"
    return _finding("the endpoint sends in our version", "warning", told, own_id(endpoint))


async def all_endpoints(core: Core) -> list[StripeObject]:
    """The endpoints that Stripe has of the mode of our key."""
    found: list[StripeObject] = []
    after: str | None = None
    while len(found) < _MOST:
        page = await core.provider().page("/v1/webhook_endpoints", {}, after=after)
        found += page.data
        if not page.has_more:
            break
        after = str(page.data[-1]["id"])
    return found


def _finding(title: str, severity: Severity, told: str, *ids: str) -> Finding:
    return Finding(_CHECK, title, severity, told, max(1, len(ids)), ids)
