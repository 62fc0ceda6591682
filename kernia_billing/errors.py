"""Everything this library raises on purpose: one base, one subclass per thing a caller can act on.

```
BillingError
├── ConfigError            the configuration is wrong; every mistake at once
├── InvalidInput           400  an argument or a request member is wrong; `field` names it
├── InvalidSignature       400  a webhook that Stripe did not sign
├── Unauthorized           401  nobody is signed in
├── FeatureDenied          402  the answer to a gate was no; `decision` says why
│   └── InsufficientBalance
├── PaymentFailed          402  Stripe could not collect the money
├── Forbidden              403  not this reference, not this origin
│   └── UntrustedUrl
├── NotFound               404  also a LookupError; `code` says what is missing
├── Conflict               409
│   ├── AlreadySubscribed
│   ├── PreviewStale            what a change would cost has changed
│   ├── IdempotencyMismatch
│   └── TransactionConflict     retry the whole host transaction
├── StripeRefused          400  Stripe will never accept this request
├── PortalNotConfigured    503  Stripe has no configuration of the billing portal, or it forbids this
├── Unavailable            503  Stripe or the database, for now; retryable
└── NotBound               500  a gate outside a request or `bind()`
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .domain.answers import ChangePreview, Decision

_DOCS = "https://kernia-billing.readthedocs.io/en/latest/reference/errors.html#"


class BillingError(Exception):
    """The base of every error of this library.

    `code` is stable and meant for programs, `message` is one sentence for people and holds no secret, `status` is
    the HTTP status it has on the wire, `retryable` says whether the same call may succeed later.
    """

    code = "BILLING_ERROR"
    status = 500
    retryable = False
    alias: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
        alias: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        if retryable is not None:
            self.retryable = retryable
        if alias is not None:
            self.alias = alias

    @property
    def docs_url(self) -> str:
        """Where this code is explained."""
        return _DOCS + self.code.lower().replace("_", "-")

    def details(self) -> Mapping[str, object]:
        """Members beyond `code` and `message` that an HTTP answer carries."""
        return {}


class ConfigError(BillingError):
    """The configuration is wrong. `problems` lists every mistake, each with the option's name and no secret."""

    code = "INVALID_CONFIGURATION"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["The billing configuration is wrong:", *(f"- {each}" for each in self.problems)]))


class GuardError(BillingError):
    """The library was wired or called in a way that would break one of its promises: a defect, never a state."""

    code = "GUARD_VIOLATED"


class InvalidInput(BillingError):
    """A value has the wrong type or is out of range. `field` names it; nothing was changed."""

    code = "VALIDATION_ERROR"
    status = 400

    def __init__(self, message: str, *, field: str, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field

    def details(self) -> Mapping[str, object]:
        """The name of the wrong member."""
        return {"field": self.field}


class InvalidSignature(BillingError):
    """A webhook request that Stripe did not sign, or not recently. It never says which part failed."""

    code = "INVALID_SIGNATURE"
    status = 400
    alias = "FAILED_TO_CONSTRUCT_STRIPE_EVENT"

    def __init__(self, message: str = "The webhook signature could not be verified") -> None:
        super().__init__(message)


class Unauthorized(BillingError):
    """Nobody is signed in, or the caller may not act for this reference."""

    code = "UNAUTHORIZED"
    status = 401

    def __init__(self, message: str = "Unauthorized access") -> None:
        super().__init__(message)


class FeatureDenied(BillingError):
    """A gate said no. `decision` is the answer that `check` would have given."""

    code = "FEATURE_DENIED"
    status = 402

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision

    def details(self) -> Mapping[str, object]:
        """What was asked for, and why it was refused."""
        return {
            "feature": self.decision.feature,
            "reason": self.decision.reason,
            "required": self.decision.required,
            "remaining": self.decision.remaining,
        }


class InsufficientBalance(FeatureDenied):
    """Entitled, but too little is left: reasons insufficient_balance, overage_limit and usage_limit."""

    code = "INSUFFICIENT_BALANCE"


class SubscriptionRequired(BillingError):
    """A view needs a live subscription and the reference has none."""

    code = "SUBSCRIPTION_REQUIRED"
    status = 402

    def __init__(self, message: str = "A subscription is required") -> None:
        super().__init__(message)


class PaymentFailed(BillingError):
    """Stripe could not collect the money. `hosted_url` is a page where the customer can pay, if there is one."""

    code = "CARD_DECLINED"
    status = 402

    def __init__(self, message: str = "The payment was declined", *, hosted_url: str | None = None) -> None:
        super().__init__(message)
        self.hosted_url = hosted_url

    def details(self) -> Mapping[str, object]:
        """The page on which the customer can pay, if there is one."""
        return {} if self.hosted_url is None else {"url": self.hosted_url}


class Forbidden(BillingError):
    """The caller may not do this."""

    code = "FORBIDDEN"
    status = 403

    def __init__(self, message: str = "Forbidden", *, code: str | None = None) -> None:
        super().__init__(message, code=code)


class UntrustedUrl(Forbidden):
    """A redirect target that is neither relative nor on a trusted origin. `field` names the member."""

    code = "INVALID_CALLBACK_URL"

    def __init__(self, field: str) -> None:
        super().__init__("Invalid callbackURL")
        self.field = field

    def details(self) -> Mapping[str, object]:
        """The name of the refused member."""
        return {"field": self.field}


class NotFound(BillingError, LookupError):
    """A name or an id that does not exist, or belongs to somebody else. `code` says what kind of thing it was."""

    code = "NOT_FOUND"
    status = 404


class Conflict(BillingError):
    """The request contradicts what is there already."""

    code = "CONFLICT"
    status = 409


class AlreadySubscribed(Conflict):
    """The reference is subscribed already."""

    code = "ALREADY_SUBSCRIBED_PLAN"

    def __init__(self, message: str = "You're already subscribed to this plan") -> None:
        super().__init__(message)


class PreviewStale(Conflict):
    """What was shown of a change of plan is not what it would cost now. `preview` is the current one, ready to show."""

    code = "PREVIEW_STALE"

    def __init__(self, preview: ChangePreview) -> None:
        super().__init__("The change would cost something else by now: look at it again")
        self.preview = preview


class IdempotencyMismatch(Conflict):
    """The idempotency key was used before, for another request."""

    code = "IDEMPOTENCY_MISMATCH"

    def __init__(self, message: str = "The idempotency key was used before with other parameters") -> None:
        super().__init__(message)


class TransactionConflict(Conflict):
    """The host's transaction met another one: run the whole of it again.

    `transaction_lost` says that the engine has ended the host's transaction already (a deadlock on MySQL/MariaDB, any
    error on PostgreSQL outside of a savepoint): everything written in it is gone.
    """

    code = "TRANSACTION_CONFLICT"
    retryable = True

    def __init__(self, message: str, *, transaction_lost: bool = False) -> None:
        super().__init__(message)
        self.transaction_lost = transaction_lost


class Unavailable(BillingError):
    """Stripe or the database cannot answer for now. The same call may be repeated with the same idempotency key.

    `retry_after` is in seconds; `outcome_unknown` says that Stripe may have carried the request out all the same.
    """

    code = "UNAVAILABLE"
    status = 503
    retryable = True

    def __init__(
        self,
        message: str = "The billing service is unavailable",
        *,
        code: str | None = None,
        retry_after: int = 1,
        outcome_unknown: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown
        self.request_id = request_id


class NotBound(BillingError):
    """A gate ran where no billing is set: outside of a request that the middleware handles, and outside `bind()`."""

    code = "NOT_BOUND"
    status = 500

    def __init__(
        self, message: str = "No billing is bound here: install BillingMiddleware, or use billing.bind(reference)"
    ) -> None:
        super().__init__(message)


class ProviderNotConfigured(BillingError):
    """An operation needs Stripe and no `stripe_key` is configured: the library is offline."""

    code = "PROVIDER_NOT_CONFIGURED"
    status = 503

    def __init__(self, message: str = "No stripe_key is configured: operations that need Stripe are off") -> None:
        super().__init__(message)


class PortalNotConfigured(BillingError):
    """The billing portal cannot be opened as Stripe's account is set up. `configure_portal` sets it up."""

    code = "PORTAL_NOT_CONFIGURED"
    status = 503

    def __init__(
        self, message: str = "The billing portal is not configured: call configure_portal, or save it in the Dashboard"
    ) -> None:
        super().__init__(message)


class StripeRefused(BillingError):
    """Stripe refused the request as it stands; repeating it cannot help.

    `stripe_code` and `param` are Stripe's own names for the reason, `request_id` is what Stripe's support asks for.
    Stripe's text is not kept: it may quote data that must not reach a client.
    """

    code = "STRIPE_REFUSED"
    status = 400

    def __init__(self, *, stripe_code: str | None, param: str | None, http_status: int, request_id: str | None) -> None:
        where = f" at {param}" if param else ""
        super().__init__(f"Stripe refused the request{where} ({stripe_code or http_status})")
        self.stripe_code = stripe_code
        self.param = param
        self.http_status = http_status
        self.request_id = request_id
