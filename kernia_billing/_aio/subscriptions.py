"""`billing.subscriptions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ..compose import Wiring
from ..domain.answers import (
    ChangePreview,
    Checkout,
    Page,
    Subscription,
    SubscriptionChange,
)
from ..domain.plan_change import Wanted, When
from ..domain.plans import ProrationBehavior
from ..domain.references import Identity, Ref
from ..domain.subscriptions import CancelFeedback, CancelWhen, PauseBehavior
from ..operations import (
    cancelling,
    change_previews,
    changing,
    chronicle,
    pausing,
    restoring,
    seats,
    subscriptions,
    trials,
    trying,
    upgrading,
)


class Subscriptions:
    """What references are subscribed to."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def get(self, reference: Ref, *, group: str = "default") -> Subscription | None:
        """The live subscription of a plan group, else the one that ended last, None where there never was one."""
        return await subscriptions.get(self._wiring.core, reference, group=group)

    async def list(self, reference: Ref) -> Sequence[Subscription]:
        """Every subscription that the reference has or had, oldest first."""
        return await subscriptions.every(self._wiring.core, reference)

    async def upgrade(
        self,
        reference: Ref,
        plan: str,
        *,
        success_url: str,
        cancel_url: str,
        return_url: str | None = None,
        annual: bool = False,
        seats: int | None = None,
        subscription_id: str | None = None,
        schedule_at_period_end: bool = False,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        identity: Identity | None = None,
        trial_days: int | None = None,
        skip_trial: bool = False,
    ) -> Checkout:
        """Open the page on which a plan is bought, or changed to: send the browser to `.url`.

        Relative URLs resolve against `base_url`; `{CHECKOUT_SESSION_ID}` in them is replaced by Stripe. The reference
        has at most one open checkout page per plan group: the same request gives the same page again.

        Who has a plan of the group already comes to Stripe's page on which the change is confirmed. What that page
        cannot do is done at once (several items, the option `plan_change.direct`), or when the period ends
        (`schedule_at_period_end`): then `status` is "complete" and `url` is `return_url`, by default `success_url`.

        `trial_days` (0 to 730) stands in for the plan's own, and `skip_trial` leaves the trial out; whether one is due
        is judged by the option `trial_once_per` all the same. A trial without Stripe is over once the plan is paid for,
        or goes on to its end where `trial_when_bought` says so, but not with `skip_trial`.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), no price of it for the interval (PRICE_NOT_FOUND), or no such
                subscription of the reference (SUBSCRIPTION_NOT_FOUND).
            AlreadySubscribed: the same plan, interval and number of seats is live, or was paid just now.
            Conflict: it cannot be changed now (SUBSCRIPTION_NOT_ACTIVE, CHANGE_IN_PROGRESS and others), or the
                account's portal does not offer the change (PORTAL_NOT_CONFIGURED).
            PaymentFailed: a change at once could not be paid; the old plan stays.
            InvalidInput: a value is out of range.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        back = None if return_url is None else self._wiring.trusted.absolute(return_url, "return_url")
        return await upgrading.upgrade(
            self._wiring.core,
            reference,
            plan,
            success_url=self._wiring.trusted.absolute(success_url, "success_url"),
            cancel_url=self._wiring.trusted.absolute(cancel_url, "cancel_url"),
            return_url=back,
            annual=annual,
            seats=seats,
            subscription_id=subscription_id,
            schedule_at_period_end=schedule_at_period_end,
            locale=locale,
            metadata=metadata,
            identity=identity,
            trial_days=trial_days,
            skip_trial=skip_trial,
        )

    async def start_trial(
        self, reference: Ref, plan: str, *, days: int | None = None, identity: Identity | None = None
    ) -> Subscription:
        """Give the features of a plan for `days` days (1 to 730, default the plan's own): no card, no call to Stripe.

        It ends by time alone, by `cancel`, or as soon as a plan of the group is paid for. Its answer is "trialing"
        without a `stripe_id`. The same plan again while it runs gives the trial that runs. `identity` is who asks, for
        the scopes "user" and "email" of `trial_once_per`.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND).
            AlreadySubscribed: a subscription to the plan is live.
            Conflict: the trial was had, or an open page holds it (TRIAL_ALREADY_USED), or another plan of the group is
                live or tried (SUBSCRIPTION_EXISTS).
            InvalidInput: `days` is out of range, or the plan has none of its own.
            Unavailable: the database does not answer; the same call goes on.
        """
        return await trying.start_trial(self._wiring.core, reference, plan, days=days, identity=identity)

    async def has_trialed(self, reference: Ref, plan: str | None = None) -> bool:
        """Whether a trial of this plan (None: of any plan) ever began for the reference, however it ended.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND).
            Unavailable: the database does not answer.
        """
        return await trials.has_trialed(self._wiring.core, reference, plan)

    async def sync_seats(self, reference: Ref, members: int | None = None) -> Subscription | None:
        """Make Stripe charge for as many seats as an organization has members; None where it has no plan with seats.

        Call it after a member came or went. `members` is 0 to 10^9, and None asks `member_count`, which is right also
        where two calls overtake each other. Stored first: while Stripe does not answer, the subscription is given as it
        still is, and `jobs.run` goes on. Calls that come while a change is under way become one change.

        Raises:
            InvalidInput: `members` is no count, or there is none and no `member_count`.
            Conflict: the plan has no room for so many (SEAT_LIMIT_REACHED); nothing was stored.
            Unavailable: the database does not answer.
        """
        return await seats.sync_seats(self._wiring.core, reference, members)

    async def cancel(
        self,
        reference: Ref,
        *,
        when: CancelWhen = "period_end",
        subscription_id: str | None = None,
        reason: str | None = None,
        feedback: CancelFeedback | None = None,
        invoice_now: bool = False,
        prorate: bool = False,
    ) -> Subscription:
        """End a subscription when its period does, or now; the live one unless `subscription_id`, ours or Stripe's.

        One that ends already, or has ended, stays as it is; a second time changes nothing. A change of plan that was to
        come is dropped. What Stripe does not know any more ends here only, and so does a trial without Stripe.
        `reason` is a text of at most 500 characters, kept by Stripe alone, and `feedback` one of Stripe's words for it.
        With "now", `prorate` credits unused time and `invoice_now` bills what is open.

        Raises:
            NotFound: the reference never had such a subscription (SUBSCRIPTION_NOT_FOUND).
            Conflict: it follows a schedule that was made elsewhere (SCHEDULE_NOT_OURS): cancel it "now", or there.
            InvalidInput: a value is wrong; nothing was changed.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return await cancelling.cancel(
            self._wiring.core,
            reference,
            when=when,
            subscription_id=subscription_id,
            reason=reason,
            feedback=feedback,
            invoice_now=invoice_now,
            prorate=prorate,
        )

    async def pause(
        self,
        reference: Ref,
        *,
        resumes_at: datetime | None = None,
        behavior: PauseBehavior = "void",
        subscription_id: str | None = None,
    ) -> Subscription:
        """Stop collecting payments, until `resumes_at` (aware, in the future) or until `resume`.

        What is billed meanwhile is voided, kept as drafts ("keep_as_draft") or given up ("mark_uncollectible"). What
        the subscription gives meanwhile says the option `while_paused`. Again it changes how and until when; the day
        stands at `resumes_at` of the answer.

        Raises:
            NotFound: the reference has no such subscription (SUBSCRIPTION_NOT_FOUND).
            Conflict: it has ended, or was never paid (SUBSCRIPTION_NOT_ACTIVE).
            InvalidInput: a value is wrong; nothing was changed.
            Unavailable: Stripe or the database does not answer.
        """
        return await pausing.pause(
            self._wiring.core, reference, resumes_at=resumes_at, behavior=behavior, subscription_id=subscription_id
        )

    async def resume(self, reference: Ref, *, subscription_id: str | None = None) -> Subscription:
        """Go on with a paused subscription; one that is not paused stays as it is.

        One of the status "paused" begins a new period, and is active as soon as that is paid.

        Raises:
            NotFound: the reference has no such subscription (SUBSCRIPTION_NOT_FOUND).
            Conflict: it has ended (SUBSCRIPTION_NOT_ACTIVE).
            Unavailable: Stripe or the database does not answer.
        """
        return await pausing.resume(self._wiring.core, reference, subscription_id=subscription_id)

    async def history(self, reference: Ref, *, limit: int = 100, cursor: str | None = None) -> Page[SubscriptionChange]:
        """One page of what became of the reference's subscriptions, newest first. `limit` is 1 to 200.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return await chronicle.history(self._wiring.core, reference, limit=limit, cursor=cursor)

    async def preview_change(
        self,
        reference: Ref,
        plan: str,
        *,
        when: When = "auto",
        annual: bool | None = None,
        seats: int | None = None,
        subscription_id: str | None = None,
        proration_behavior: ProrationBehavior | None = None,
    ) -> ChangePreview:
        """What `change` with the same arguments would cost and give, asked of Stripe; nothing is changed.

        Give the preview, or its `token` after a trip through a form, to `change(preview=…)` within the hour.

        Raises:
            What `change` raises where it would refuse the change itself.
        """
        wanted = Wanted(plan, when, annual, seats, subscription_id, proration_behavior)
        return await change_previews.preview_change(self._wiring.core, reference, wanted)

    async def change(
        self,
        reference: Ref,
        plan: str,
        *,
        when: When = "auto",
        annual: bool | None = None,
        seats: int | None = None,
        subscription_id: str | None = None,
        proration_behavior: ProrationBehavior | None = None,
        preview: ChangePreview | str | None = None,
        idempotency_key: str | None = None,
    ) -> Subscription:
        """Change the plan, interval or seats of a live subscription.

        `when="auto"` is now for what ranks higher (by the plan's rank, then a year before a month, then more seats), or
        is equal, and the end of the period for what ranks lower; the option `plan_change.pairs` may say otherwise.
        None for `annual` and `seats` keeps what there is. What was to change later is replaced. A pending cancellation
        stays pending: a new plan ends then too. `proration_behavior` says what becomes of unused time, before what
        plans and options say of it.

        `preview` has it charge exactly what was shown. `subscription_id` is our own id or Stripe's. The same
        `idempotency_key` again gives the subscription, and changes nothing.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), no price of it for the interval (PRICE_NOT_FOUND), nothing to
                change (SUBSCRIPTION_NOT_FOUND).
            AlreadySubscribed: the same plan, interval and number of seats is what there is.
            PreviewStale: it would cost something else than was shown; `preview` is the current one.
            PaymentFailed: the old plan stays. `hosted_url`, where there is one, is a page on which the customer can
                confirm the payment, by which the change is made after all.
            Conflict: it cannot be changed (SUBSCRIPTION_NOT_ACTIVE), ends before the change (SUBSCRIPTION_CANCELS),
                follows a schedule made elsewhere (SCHEDULE_NOT_OURS), or another change takes place
                (CHANGE_IN_PROGRESS, retryable).
            IdempotencyMismatch: the key was used for another change.
            InvalidInput: a value is out of range.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return await changing.change(
            self._wiring.core,
            reference,
            Wanted(plan, when, annual, seats, subscription_id, proration_behavior),
            preview=preview,
            idempotency_key=idempotency_key,
        )

    async def restore(self, reference: Ref, *, subscription_id: str | None = None) -> Subscription:
        """Undo the change that is to come, else the cancellation that is pending.

        Raises:
            NotFound: there is no subscription (SUBSCRIPTION_NOT_FOUND).
            Conflict: it has ended (SUBSCRIPTION_NOT_ACTIVE), and has to be bought anew by `upgrade`; nothing is pending
                (SUBSCRIPTION_NOT_PENDING_CHANGE); or a schedule made elsewhere drives it (SCHEDULE_NOT_OURS).
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return await restoring.restore(self._wiring.core, reference, subscription_id=subscription_id)
