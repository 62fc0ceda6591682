"""Faults on calls: rules that say which request breaks, and how.

    simulator.faults.append(Fault("timeout_after", method="POST", path="/v1/checkout/sessions"))

A rule is used up after `times` matching calls (None: never); `skip` lets that many matching calls pass first.
"""

from __future__ import annotations

import re
from typing import Literal

from attrs import define, field

Kind = Literal["timeout_before", "timeout_after", "reset_after", "status", "html_502"]


@define
class Fault:
    """One rule.

    `timeout_before`: nothing happens and the read times out. `timeout_after` and `reset_after`: the work is done, the
    answer kept under the idempotency key, and the connection times out or breaks. `status`: Stripe answers `status`
    and does nothing; with `sticky` the answer is kept under the idempotency key, as Stripe keeps a 500; with `apply`
    the work is done all the same, which makes the outcome unknown to the client. `html_502`: a proxy's page, nothing
    done.
    """

    kind: Kind
    status: int = 500
    method: str | None = None
    path: str | None = None
    """A path, where `*` stands for anything."""
    skip: int = field(default=0, kw_only=True)
    times: int | None = field(default=1, kw_only=True)
    sticky: bool = field(default=False, kw_only=True)
    apply: bool = field(default=False, kw_only=True)
    retry_after: int | None = field(default=None, kw_only=True)
    should_retry: bool | None = field(default=None, kw_only=True)
    """The header Stripe-Should-Retry; absent when None."""
    code: str | None = field(default=None, kw_only=True)
    """The error's code; lock_timeout for instance. A rate limit and a conflict have theirs by default."""

    def matches(self, method: str, path: str) -> bool:
        """Whether this rule strikes the call; counts it."""
        if self.method not in (None, method) or not self._fits(path) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def _fits(self, path: str) -> bool:
        if self.path is None:
            return True
        return re.fullmatch(re.escape(self.path).replace(r"\*", ".*"), path) is not None


def strike(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The first rule that strikes this call."""
    return next((fault for fault in faults if fault.matches(method, path)), None)
