"""Stripe's failures as ours.

    402, or a card error                     CardDeclined (PaymentFailed)
    code resource_missing                    MissingResource (NotFound, RESOURCE_MISSING)
    429, lock_timeout, key in use            Unavailable, STRIPE_BUSY
    409 otherwise                            StripeConflict (Conflict, STRIPE_CONFLICT)
    idempotency_error                        StripeConflict (Conflict, STRIPE_IDEMPOTENCY)
    a meter event's identifier, used before  StripeConflict (Conflict, STRIPE_DUPLICATE)
    401, 403                                 StripeAuthentication (503, STRIPE_AUTHENTICATION)
    any other 4xx                            StripeRefused
    5xx, redirects, no answer, no JSON       Unavailable

What has no type of error in it was not said by Stripe, whatever its status, but by something on the way: Unavailable.

Every one has `request_id`. No text of Stripe's is kept: it may quote what must not reach a client.
"""

from __future__ import annotations

from ..errors import BillingError, Conflict, NotFound, PaymentFailed, StripeRefused, Unavailable
from .retry import is_busy
from .wire import NoReply, Reply

_LONGEST_ADVICE = 3600


class CardDeclined(PaymentFailed):
    """Stripe could not collect the money. `stripe_code` and `decline_code` are Stripe's names for the reason."""

    def __init__(self, *, stripe_code: str | None, decline_code: str | None, request_id: str | None) -> None:
        super().__init__()
        self.stripe_code = stripe_code
        self.decline_code = decline_code
        self.request_id = request_id


class MissingResource(NotFound):
    """Stripe has no such object. `param` names the parameter that named it, if it was one."""

    code = "RESOURCE_MISSING"

    def __init__(self, *, param: str | None, request_id: str | None) -> None:
        super().__init__("Stripe has no such object")
        self.param = param
        self.request_id = request_id


class StripeConflict(Conflict):
    """The request contradicts another one, or the first use of its idempotency key."""

    code = "STRIPE_CONFLICT"

    def __init__(self, *, stripe_code: str | None, request_id: str | None, code: str | None = None) -> None:
        super().__init__("Stripe holds a conflicting request", code=code)
        self.stripe_code = stripe_code
        self.request_id = request_id


class StripeAuthentication(BillingError):
    """Stripe does not accept the configured key, or the key lacks a permission: nothing the caller can mend."""

    code = "STRIPE_AUTHENTICATION"
    status = 503

    def __init__(self, *, http_status: int, request_id: str | None) -> None:
        super().__init__("Stripe does not accept the configured key for this request")
        self.http_status = http_status
        self.request_id = request_id


def error_of(outcome: Reply | NoReply, *, outcome_unknown: bool, retry_after: int | None) -> BillingError:
    """The error that stands for the last attempt of a request.

    `outcome_unknown` says that one of the attempts may have been carried out; `retry_after` is Stripe's advice in
    seconds.
    """
    advice = min(max(retry_after or 1, 1), _LONGEST_ADVICE)
    if isinstance(outcome, NoReply):
        return Unavailable("Stripe did not answer", retry_after=advice, outcome_unknown=outcome_unknown)
    refused = None if is_busy(outcome) else _refusal(outcome)
    return refused or Unavailable(
        "Stripe is busy" if is_busy(outcome) else "Stripe failed to answer",
        code="STRIPE_BUSY" if is_busy(outcome) else None,
        retry_after=advice,
        outcome_unknown=outcome_unknown,
        request_id=outcome.request_id,
    )


def _refusal(reply: Reply) -> BillingError | None:
    """The error for a request that Stripe has judged, None if it has not."""
    if not reply.judged:
        return None
    kind, code, request_id = reply.error("type"), reply.error("code"), reply.request_id
    if reply.status == 402 or kind == "card_error":
        return CardDeclined(stripe_code=code, decline_code=reply.error("decline_code"), request_id=request_id)
    if kind == "idempotency_error":
        return StripeConflict(stripe_code=code, request_id=request_id, code="STRIPE_IDEMPOTENCY")
    if code == "resource_missing":
        return MissingResource(param=reply.param, request_id=request_id)
    if reply.status == 409:
        return StripeConflict(stripe_code=code, request_id=request_id)
    if reply.repeats_identifier:
        return StripeConflict(stripe_code=code, request_id=request_id, code="STRIPE_DUPLICATE")
    if reply.status in (401, 403):
        return StripeAuthentication(http_status=reply.status, request_id=request_id)
    return StripeRefused(stripe_code=code, param=reply.param, http_status=reply.status, request_id=request_id)
