"""Secrets do not leak by being shown."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from kernia_billing.domain.secret import Secret

CANARY = "whsec_CANARY"


def test_every_way_of_showing_is_redacted() -> None:
    """Neither `repr`, `str`, `format`, `%` nor the length of the output tells anything."""
    secret, longer = Secret(CANARY), Secret(CANARY * 9)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s %r" % (secret, secret), str([secret])]  # noqa: UP031 - every way of formatting is tried

    assert not any("CANARY" in each for each in shown)
    assert (repr(secret), str(secret)) == (repr(longer), str(longer))


def test_it_cannot_be_serialised() -> None:
    """`json` and every protocol of `pickle` refuse it, and `default=str` gives the redacted text."""
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(CANARY)})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(Secret(CANARY), protocol)

    assert "CANARY" not in json.dumps({"key": Secret(CANARY)}, default=str)


def test_it_is_a_value() -> None:
    """Secrets compare and hash by their text, copy as themselves, and never change."""
    secret = Secret(CANARY)

    assert secret == Secret(CANARY)
    assert secret != Secret("whsec_other")
    assert secret != CANARY
    assert {secret: 1}[Secret(CANARY)] == 1
    assert copy.deepcopy({"a": secret})["a"] is secret
    assert copy.copy(secret) is secret
    assert secret.reveal() == CANARY
    with pytest.raises(AttributeError):
        secret.extra = 1  # pyright: ignore[reportAttributeAccessIssue]  # is what is refused
    with pytest.raises(AttributeError):
        del secret._Secret__text  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - where an attacker would look


def test_only_text_can_be_secret() -> None:
    """A wrong type is refused without showing the value."""
    with pytest.raises(TypeError, match="a secret must be text") as caught:
        Secret(b"CANARY")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose

    assert "CANARY" not in str(caught.value)
