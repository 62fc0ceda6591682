"""What was shown of a change of plan, as a signed text: it comes back from a form unchanged, or not at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Literal, cast

from attrs import asdict, frozen

from .instants import HOUR, MINUTE, Instant
from .plans import BillingInterval, ProrationBehavior

LIFE = HOUR
"""How long a price that was shown is held to."""
_AHEAD = 5 * MINUTE
_MAX_LENGTH = 2_000
_TYPES: dict[str, tuple[type, ...]] = {
    "subscription": (str,),
    "plan": (str,),
    "interval": (str,),
    "seats": (int,),
    "when": (str,),
    "proration": (str, type(None)),
    "date": (int,),
    "amount": (int,),
    "currency": (str,),
    "issued": (int,),
}


@frozen
class Shown:
    """What a preview stands for.

    `proration` says what becomes of unused time, None where that was not asked for. `date` is the second as of which
    unused time counts, or at which the change takes place; `amount` is charged then, in minor units; `subscription` is
    Stripe's id, `issued` is in microseconds.
    """

    subscription: str
    plan: str
    interval: BillingInterval
    seats: int
    when: Literal["now", "period_end"]
    proration: ProrationBehavior | None
    date: int
    amount: int
    currency: str
    issued: Instant

    def is_fresh(self, now: Instant) -> bool:
        """Whether it was shown lately."""
        return -_AHEAD <= now - self.issued <= LIFE


def sign(shown: Shown, key: bytes) -> str:
    """The text that stands for it."""
    told = json.dumps(asdict(shown), sort_keys=True, separators=(",", ":")).encode()
    return f"{_text(told)}.{_text(_signature(told, key))}"


def read(token: str, key: bytes) -> Shown | None:
    """What a text stands for, None where we did not sign it with this key."""
    if not isinstance(token, str) or len(token) > _MAX_LENGTH or not token.isascii() or token.count(".") != 1:
        return None
    try:
        told, signature = (base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in token.split("."))
    except ValueError:
        return None
    if not hmac.compare_digest(signature, _signature(told, key)):
        return None
    values: dict[str, Any] = json.loads(told)
    if set(values) != set(_TYPES) or any(type(values[name]) not in kinds for name, kinds in _TYPES.items()):
        return None
    return Shown(**cast("Any", values))


def _signature(told: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"preview\x00" + told, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
