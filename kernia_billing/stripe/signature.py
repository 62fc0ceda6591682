"""Webhook signatures (https://docs.stripe.com/webhooks/signature): one answer for every forgery, in constant time.

`Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…][,v0=<hex>]`, where each `v1` is the HMAC-SHA256 of
`<t>.<raw body>` under the whole secret text, `whsec_` included. While a secret is being rolled Stripe signs with the
old and the new one.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

from ..domain.instants import Instant
from ..domain.secret import Secret
from ..errors import ConfigError, InvalidSignature
from ..ports.stripe import SignatureFault

DEFAULT_TOLERANCE = 300
MAX_SECRETS = 5
MAX_HEADER_CHARACTERS = 4096
MAX_SIGNATURES = 16
MAX_TOLERANCE = 3600

_SECRET = re.compile(r"whsec_[!-~]{1,250}")
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECOND = 1_000_000


class WebhookVerifier:
    """Checks that one of the configured secrets signed a webhook request recently.

    Stricter on purpose than Stripe's own libraries: a time stamp in the future is refused as an old one is, the header
    holds exactly one `t` in plain ASCII digits, and the check cannot be switched off.

    Args:
        secrets: 1 to 5 signing secrets, `whsec_…`; several while one is being rolled.
        tolerance: how far, in seconds (1 to 3600), the time stamp may lie from now, in both directions.

    Raises:
        ConfigError: no secret, a blank or strange one, too many, or a tolerance out of range.
    """

    def __init__(self, secrets: Iterable[Secret | str], tolerance: int = DEFAULT_TOLERANCE) -> None:
        given = [secrets] if isinstance(secrets, (str, Secret)) else list(secrets)
        if problems := [*_secret_problems(given), *_tolerance_problems(tolerance)]:
            raise ConfigError(problems)
        self._secrets = tuple(each if isinstance(each, Secret) else Secret(each) for each in given)
        self._tolerance = tolerance

    def verify(self, body: bytes, header: str, now: Instant) -> None:
        """Return if these bytes were signed within the tolerance of `now` (UTC microseconds).

        Raises:
            InvalidSignature: for anything else, whatever it is; it does not say what.
        """
        stamp, candidates = _parse(header)
        if abs(now - int(stamp) * _SECOND) > self._tolerance * _SECOND:
            raise InvalidSignature
        signed = _signed(stamp, body)
        genuine = False
        for secret in self._secrets:
            expected = hmac.new(secret.reveal().encode("ascii"), signed, sha256).hexdigest().encode("ascii")
            for candidate in candidates:
                # No early exit: how long it takes must not tell which secret or which signature fits.
                genuine |= hmac.compare_digest(expected, candidate)
        if not genuine:
            raise InvalidSignature

    def fault(self, header: str, now: Instant) -> SignatureFault:
        """What is wrong with a header by which `verify` raised; only for whoever must word it as others do."""
        try:
            stamp, _ = _parse(header)
        except InvalidSignature:
            return "header"
        if "v1=" not in header:
            return "header"
        return "time" if abs(now - int(stamp) * _SECOND) > self._tolerance * _SECOND else "digest"


def _signed(stamp: str, body: object) -> bytes:
    """The text that the signature is about."""
    if not isinstance(body, bytes):
        raise InvalidSignature
    return stamp.encode("ascii") + b"." + body


def _parse(header: object) -> tuple[str, list[bytes]]:
    """The time stamp as it stands in the header, and every signature that could be one."""
    if not isinstance(header, str) or len(header) > MAX_HEADER_CHARACTERS or not header.isascii():
        raise InvalidSignature
    stamps: list[str] = []
    signatures: list[str] = []
    for element in header.split(","):
        scheme, equals, value = element.partition("=")
        if not equals:
            raise InvalidSignature
        if scheme == "t":
            stamps.append(value)
        elif scheme == "v1":
            signatures.append(value)
    if len(stamps) != 1 or not _TIMESTAMP.fullmatch(stamps[0]) or len(signatures) > MAX_SIGNATURES:
        raise InvalidSignature
    return stamps[0], [each.encode("ascii") for each in signatures if _DIGEST.fullmatch(each)]


def _secret_problems(secrets: Sequence[object]) -> list[str]:
    if not secrets:
        return ["stripe_webhook_secrets: at least one is needed"]
    if len(secrets) > MAX_SECRETS:
        return [f"stripe_webhook_secrets: at most {MAX_SECRETS} are allowed"]
    return [
        f"stripe_webhook_secrets[{index}]: must start with whsec_ and hold no space or line end"
        for index, secret in enumerate(secrets)
        if not _SECRET.fullmatch(_revealed(secret))
    ]


def _revealed(secret: object) -> str:
    text = secret.reveal() if isinstance(secret, Secret) else secret
    return text if isinstance(text, str) else ""


def _tolerance_problems(tolerance: int) -> list[str]:
    if type(tolerance) is not int or not 1 <= tolerance <= MAX_TOLERANCE:
        return [f"webhook tolerance: a whole number of seconds from 1 to {MAX_TOLERANCE}"]
    return []
