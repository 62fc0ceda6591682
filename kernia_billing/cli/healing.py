"""`kernia-billing reconcile` and `kernia-billing doctor`: finding what was missed, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import click

from ..domain.reports import Diagnosis, Reconciliation
from .command import PROBLEMS, Session, command
from .output import plain


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what differs between Stripe and here.")
@command
def reconcile(session: Session, *, dry_run: bool) -> None:
    """Find what no webhook told of, and bring it up to date; exit code 1 where something failed or differs."""
    done = session.app.call(lambda billing: billing.reconcile(dry_run=dry_run))
    session.out.document({**cast("dict[str, Any]", plain(done)), "ok": done.ok}, _reconciled(done))
    if not done.ok:
        raise SystemExit(PROBLEMS)


def _reconciled(done: Reconciliation) -> Iterator[str]:
    if done.drift is not None:
        for each in done.drift.differences:
            where = f"{each.kind} {each.id} {each.field}".rstrip()
            yield f"{where}: {each.theirs!r} at Stripe, {each.ours!r} here"
        if done.drift.events_missed:
            yield f"{done.drift.events_missed} events never arrived"
        if done.drift.ok:
            yield "nothing differs"
    elif done.status != "done":
        yield "another replica is at it"
    else:
        yield f"{done.events} events were missed"
        yield f"{done.subscriptions} subscriptions and {done.checkouts} checkouts were overdue"
    for failure in done.failures:
        yield f"failed: {failure.kind} {failure.id} ({failure.code})"


@click.command()
@click.option("--with-stripe", is_flag=True, help="Compare every copy with Stripe's objects too, and the endpoint.")
@command
def doctor(session: Session, *, with_stripe: bool) -> None:
    """Look for what is wrong, and change nothing; exit code 1 where there are errors."""
    diagnosis = session.app.call(lambda billing: billing.doctor(with_stripe=with_stripe))
    session.out.document({**cast("dict[str, Any]", plain(diagnosis)), "ok": diagnosis.ok}, _diagnosed(diagnosis))
    if not diagnosis.ok:
        raise SystemExit(PROBLEMS)


def _diagnosed(diagnosis: Diagnosis) -> Iterator[str]:
    for each in diagnosis.findings:
        ids = f": {', '.join(each.ids)}" if each.ids else ""
        yield f"{each.severity}: [{each.check}] {each.title}: {each.found}{ids}"
    yield f"{len(diagnosis.checks)} checks, {len(diagnosis.findings)} findings"
