"""`/subscription/…`: buy a plan, list what is subscribed to, open the portal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ...domain.answers import Subscription
from ...domain.metadata import client_metadata
from ...domain.subscriptions import is_live
from ...domain.urls import SESSION_ID
from ...errors import NotFound
from .. import answers, views
from ..authorize import default_reference
from ..call import Call
from ..refusals import TEXTS, RequestError
from ..service import Service
from ..wire import Cancel, ListSubscriptions, OpenPortal, Restore, Upgrade

SUCCESS_PATH = "/subscription/success"

_LISTED = ("active", "trialing")


async def upgrade(call: Call[Upgrade]) -> answers.RedirectView:
    """Open a checkout page, or whatever page the change of plan needs."""
    asked, settings = call.input, call.service.settings
    callback = settings.trusted.resolve(asked.success_url, "successUrl")
    cancel_url = settings.trusted.resolve(asked.cancel_url, "cancelUrl")
    return_url = callback if asked.return_url is None else settings.trusted.resolve(asked.return_url, "returnUrl")
    if settings.require_email_verification and not call.caller.email_verified:
        code = "EMAIL_VERIFICATION_REQUIRED"
        raise RequestError(TEXTS[code], code=code)
    try:
        checkout = await call.service.upgrade(
            call.scope,
            asked.plan,
            success_url=success_url(call, callback),
            cancel_url=cancel_url,
            annual=asked.annual,
            seats=asked.seats,
            locale=asked.locale,
            metadata=client_metadata(asked.metadata),
            subscription_id=asked.subscription_id,
            schedule_at_period_end=asked.schedule_at_period_end,
            return_url=return_url,
            identity=call.caller,
        )
    except NotFound as missing:
        # A plan, a price or a subscription that does not exist is a wrong member of this request: Better Auth's 400.
        missing.status = 404 if missing.code == "CUSTOMER_NOT_FOUND" else 400
        raise
    return views.redirect_view(
        checkout.url, disabled=asked.disable_redirect, session_id=checkout.session_id, status=checkout.status
    )


def success_url(call: Call[Upgrade], callback: str) -> str:
    """Where Checkout sends the buyer: our own route, which brings the purchase in and goes on to `callback`.

    It names the reference where that is not the caller's own, because only then the route cannot know it. The
    placeholder stays as it is: Stripe replaces it only where it is not encoded.
    """
    settings = call.service.settings
    members = [f"callbackURL={quote(callback, safe='')}"]
    if call.scope != default_reference(call.caller, settings.subscription_for):
        members += [f"referenceId={quote(call.scope.id, safe='')}", f"customerType={call.scope.type}"]
    return f"{settings.mount}{SUCCESS_PATH}?{'&'.join(members)}&checkoutSessionId={SESSION_ID}"


async def list_rows(call: Call[ListSubscriptions]) -> list[answers.SubscriptionView]:
    """The active and trialing subscriptions, unless more are asked for."""
    found = await call.service.subscriptions(call.scope)
    return rows_view(call.service, [each for each in found if _is_listed(each, call.input.status)])


async def restore(call: Call[Restore]) -> Mapping[str, Any]:
    """Undo a pending cancellation or change; answers Stripe's own object, as Better Auth does."""
    try:
        return await call.service.restore(call.scope, subscription_id=call.input.subscription_id)
    except NotFound as missing:
        missing.status = 400
        raise


def _is_listed(subscription: Subscription, wanted: str) -> bool:
    if wanted == "live":
        return is_live(subscription.status)
    return wanted == "all" or subscription.status in _LISTED


async def cancel(call: Call[Cancel]) -> answers.RedirectView:
    """Cancel, or open the page for it; what ends already is no error."""
    asked = call.input
    return_url = call.service.settings.trusted.resolve(asked.return_url, "returnUrl")
    try:
        left = await call.service.leave(call.scope, return_url=return_url, subscription_id=asked.subscription_id)
    except NotFound as missing:
        missing.status = 400  # A wrong member of this request, as Better Auth has it.
        raise
    (shown,) = rows_view(call.service, [left.subscription])
    return views.redirect_view(left.url or return_url, disabled=asked.disable_redirect, subscription=shown)


async def portal(call: Call[OpenPortal]) -> answers.RedirectView:
    """Open Stripe's billing portal for the reference's own customer."""
    asked = call.input
    return_url = call.service.settings.trusted.resolve(asked.return_url, "returnUrl")
    opened = await call.service.portal(
        call.scope,
        return_url=return_url,
        flow=asked.flow,
        locale=asked.locale,
        subscription_id=asked.subscription_id,
    )
    return views.redirect_view(opened.url, disabled=asked.disable_redirect)


def rows_view(service: Service, subscriptions: Sequence[Subscription]) -> list[answers.SubscriptionView]:
    """Subscriptions with the limits of their plans and their prices."""
    return [
        views.subscription_view(
            each, None if each.plan is None else service.plan_limits(each.plan), service.price_id_of(each)
        )
        for each in subscriptions
    ]
