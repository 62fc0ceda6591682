"""`/auth/stripe/…`: the routes of kavachOS, for front ends that were written for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from ...domain.kavach import NO_SIGNATURE, SIGNATURE_FAULTS, SubscriptionInfo
from ...domain.metadata import client_metadata
from ...domain.references import Reference
from ...domain.urls import SESSION_ID
from ...errors import BillingError, InvalidSignature, NotFound
from .. import answers
from ..call import Call
from ..decoding import members_of
from ..kavach import BAD_JSON, NO_BODY, NO_CUSTOMER
from ..messages import BODY_LIMIT, WEBHOOK_LIMIT, PayloadTooLarge
from ..refusals import RequestError
from ..views import date
from ..wire import KavachCheckout, KavachPortal, Nothing
from .subscription import SUCCESS_PATH

_MAX_PRICE_ID = 255


async def checkout(call: Call[KavachCheckout]) -> answers.KavachCheckoutView:
    """Open a page on which the plan of a price is bought. A price that sells no plan here buys nothing."""
    members = await _members(call)
    price_id = _needed(members, "priceId").strip()
    trusted = call.service.settings.trusted
    if not price_id or len(price_id) > _MAX_PRICE_ID:
        raise _missing("priceId")
    who = _caller(call)
    opened = await call.service.kavach_checkout(
        who,
        price_id,
        success_url=_success_url(call, trusted.resolve(_text(members, "successUrl"), "successUrl")),
        cancel_url=trusted.resolve(_text(members, "cancelUrl"), "cancelUrl"),
        metadata=client_metadata(_metadata(members)),
        identity=call.caller,
    )
    return answers.KavachCheckoutView(opened.url, opened.session_id)


async def portal(call: Call[KavachPortal]) -> answers.KavachPortalView:
    """Open Stripe's billing portal for the caller."""
    members = await _members(call)
    wanted = _needed(members, "returnUrl")
    return_url = call.service.settings.trusted.resolve(wanted, "returnUrl")
    who = _caller(call)
    try:
        opened = await call.service.portal(who, return_url=return_url, flow=None, locale=None, subscription_id=None)
    except NotFound as missing:
        raise RequestError(NO_CUSTOMER.format(user=who.id), code="NO_CUSTOMER", status=404) from missing
    return answers.KavachPortalView(opened.url)


async def subscription(call: Call[Nothing]) -> answers.KavachSubscriptionView:
    """What the caller is subscribed to."""
    return answers.KavachSubscriptionView(_view(await call.service.kavach_subscription(_caller(call))))


async def webhook(call: Call[Nothing]) -> answers.ReceivedView:
    """Take in a webhook, and say as kavachOS does what is wrong with its signature."""
    signature = call.request.headers.get("stripe-signature", "")
    if not signature:
        raise _refused(NO_SIGNATURE)
    try:
        body = await call.request.read_body(WEBHOOK_LIMIT)
    except PayloadTooLarge:
        raise
    except BillingError as broken:
        raise _refused(NO_BODY) from broken
    try:
        await call.service.receive_webhook(body, signature)
    except InvalidSignature:
        raise _refused(SIGNATURE_FAULTS[call.service.signature_fault(signature)]) from None
    return answers.ReceivedView()


def _caller(call: Call[Any]) -> Reference:
    return Reference(call.caller.user_id, "user")


async def _members(call: Call[Any]) -> Mapping[str, Any]:
    body = await call.request.read_body(BODY_LIMIT)
    if not body:
        raise _refused(BAD_JSON)
    try:
        return members_of(call.request, body)
    except RequestError as refused:
        if refused.status != 400 or refused.code == "VALIDATION_ERROR":
            # JSON that is no object has no members; 415 stays what it is.
            if refused.status == 400:
                return {}
            raise
        raise _refused(BAD_JSON) from None


def _needed(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise _missing(name)
    return value


def _missing(name: str) -> RequestError:
    return _refused(f"Missing required field: {name}")


def _refused(text: str) -> RequestError:
    return RequestError(text, code="BAD_REQUEST")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) and value else "/"


def _metadata(members: Mapping[str, Any]) -> dict[str, Any]:
    value = members.get("metadata")
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _success_url(call: Call[Any], callback: str) -> str:
    """Our own route, which brings the purchase in before the buyer arrives."""
    settings = call.service.settings
    scope = "" if settings.subscription_for == "user" else "&customerType=user"
    target = f"callbackURL={quote(callback, safe='')}{scope}&checkoutSessionId={SESSION_ID}"
    return f"{settings.mount}{SUCCESS_PATH}?{target}"


def _view(info: SubscriptionInfo | None) -> answers.KavachInfoView | None:
    if info is None or info.price_id is None or info.current_period_end is None:
        return None
    return answers.KavachInfoView(
        info.id, info.status, info.price_id, date(info.current_period_end), info.cancel_at_period_end
    )
