"""The simulator for `Billing`, with the verbs of the people and banks around it; it blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import SimulatorBase
from .people import actions, money_actions, payment_actions, portal_actions
from .people.drivers import run
from .webhooks.receiver import Receiver
from .world.errors import Json

DECLINING = "4000000000000002"
VISA = "4242424242424242"


class StripeSimulator(SimulatorBase):
    """A stateful Stripe with a clock, for `Billing`; refuses what Stripe refuses."""

    def attach(self, receiver: Receiver) -> None:
        """Join a library: from now on its webhooks are delivered to it."""
        self._attach(receiver)

    def pay(self, checkout: object, *, card: str = VISA) -> Any:
        """Be the person who pays: `checkout` is an answer of upgrade, a session id or its URL.

        `card` is the number of a test card, the name of a ready-made payment method (`pm_card_…`), or a test bank
        account, whose payment is on its way for four days (`settle`).

        Answers the library's subscription, None without a library.

        Raises:
            CardDeclined: the card is refused; the session stays open.
            SimulatorError: the session is not open.
        """
        return run(actions.pay(self._state, checkout, card))

    def decline(self, checkout: object) -> None:
        """Pay with a card that is declined: always raises `CardDeclined`."""
        run(actions.pay(self._state, checkout, DECLINING))

    def expire(self, checkout: object) -> None:
        """Let an open checkout run out."""
        run(actions.expire(self._state, checkout))

    def recover(self, checkout: object) -> str:
        """Follow the recovery link of an expired checkout; answers the id of the new session.

        Raises:
            SimulatorError: the session has no recovery, or it is over.
        """
        return str(run(payment_actions.recover(self._state, checkout)))

    def portal(self, opened: object, action: str, *, subscription: str | None = None, **choices: str) -> None:
        """Be the customer in the portal: `opened` is an answer of `billing.portal`, a session id or its URL.

        `action` is cancel (choices feedback, comment, offer="accept"), renew, update (price, quantity), pause
        (duration), resume, payment_method (card) or customer (email, name, phone, line1, city, …). Of several
        subscriptions name one.

        Raises:
            CardDeclined: the new card was refused.
            SimulatorError: the portal's configuration does not allow it, or Stripe refuses it.
        """
        run(portal_actions.in_portal(self._state, opened, action, subscription, choices))

    def settle(self, what: object, *, succeeds: bool | None = None) -> None:
        """Let bank debits come to their end, which otherwise takes four days: of a reference, a checkout or an intent.

        How they end is in the account number; `succeeds` decides otherwise.

        Raises:
            SimulatorError: nothing is on its way.
        """
        run(payment_actions.settle(self._state, what, succeeds=succeeds))

    def authenticate(self, what: object, *, passes: bool = True) -> None:
        """Pass, or fail, the 3D Secure challenge that a reference's payment waits for.

        Raises:
            SimulatorError: none is waited for.
        """
        run(payment_actions.authenticate(self._state, what, passes=passes))

    def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """Upgrade through the library and pay; answers its subscription."""
        return run(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    def use_card(self, reference: str, card: str) -> None:
        """Pay with this test card from now on; `reference` may be a Stripe customer id."""
        run(actions.use_card(self._state, reference, card))

    def refund(self, reference: str, amount: int | None = None) -> str:
        """Give a payment back, all that is left or `amount` minor units; answers the id of the refund.

        `reference` means the newest payment of a customer that was neither refunded in full nor disputed; it may also
        be a Stripe customer id, a payment intent or a charge.

        Raises:
            SimulatorError: there is no such payment, or less is left of it.
        """
        return str(run(money_actions.refund(self._state, reference, amount)))

    def dispute(self, reference: str, *, reason: str = "fraudulent") -> str:
        """Have the bank take a payment back; answers the id of the dispute. `reference` is as for `refund`.

        The subscription lives on unless `settings.after_dispute` is `"cancel"`.

        Raises:
            SimulatorError: there is no such payment, or it was refunded or disputed before.
        """
        return str(run(money_actions.dispute(self._state, reference, reason)))

    def close_dispute(self, dispute: str, *, won: bool) -> None:
        """Let the bank decide a dispute, by its id: the money comes back if it is `won`.

        Raises:
            SimulatorError: no such dispute is open.
        """
        run(money_actions.close_dispute(self._state, dispute, won=won))

    def give_coupon(self, reference: str, coupon: str) -> None:
        """Give a customer a coupon by its id, as in the Dashboard: it reduces invoices without discounts of their own.

        Raises:
            SimulatorError: there is no such coupon, or it cannot be used any more.
        """
        run(money_actions.give_coupon(self._state, reference, coupon))

    def collect(self, reference: str) -> None:
        """Try the open invoices again, now."""
        run(actions.collect(self._state, reference))

    def usage(self, reference: str, meter: str) -> int:
        """What the meter of that event name has counted for a reference so far; `reference` may be a customer id.

        Events that were only received do not count yet: `settings.meter_delay` seconds pass first.

        Raises:
            SimulatorError: there is no such meter, or the reference has no Stripe customer.
        """
        return int(run(actions.usage(self._state, reference, meter)))

    def advance(self, *, months: int = 0, days: int = 0, hours: int = 0, reference: str | None = None) -> None:
        """Move the clock: renews, retries, ends trials, expires sessions, runs the library's jobs, in order of time.

        With a `reference` (or a Stripe customer id) only that customer's time moves: it lives on a test clock from now
        on, if it did not before, and the library's own clock stands still. Without one, everybody's moves.
        """
        run(actions.advance(self._state, months=months, days=days, hours=hours, reference=reference))

    def deliver(self, *event_ids: str) -> None:
        """Deliver these events in this order, again if need be; without ids, everything that waits."""
        run(actions.deliver(self._state, event_ids))

    def flush(self) -> None:
        """Deliver what waits, for example events of the library's own API calls."""
        run(actions.flush(self._state, now=True))

    def hosted(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Json, bytes]:
        """Serve the hosted pages: status, headers and body for `/c/pay/<session>` and `/p/session/<id>`."""
        from .pages.hosted import hosted

        answer: tuple[int, Json, bytes] = run(hosted(self._state, method, path, form or {}))
        return answer
