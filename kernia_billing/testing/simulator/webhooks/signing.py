"""Signatures of webhooks, as Stripe makes them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


def signature(body: bytes, secret: str, seconds: int, older: Sequence[str] = ()) -> str:
    """The header `Stripe-Signature` of test mode: `t`, a `v1` for each secret in force, a `v0` that must be ignored."""
    signed = f"{seconds}.".encode() + body
    counting = [f"v1={_digest(each, signed)}" for each in (secret, *older)]
    return ",".join([f"t={seconds}", *counting, f"v0={_digest(f'v0{secret}', signed)}"])


def _digest(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
