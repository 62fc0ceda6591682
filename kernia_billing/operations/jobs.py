"""What runs by itself: everything that is due, once or for as long as a worker lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from attrs import evolve, frozen

from ..domain.instants import DAY, HOUR, MINUTE, Instant
from ..domain.jobs import JobsReport
from ..domain.upkeep import SyncState
from ..errors import ConfigError, GuardError, Unavailable
from ..ports.telemetry import kind_of
from . import (
    expiring_cards,
    inbox,
    incoming,
    intents,
    meter_sender,
    outbox,
    reconcile,
    relaying,
    reserving,
    retention,
    seats,
    traces,
    trying,
)
from .core import Core
from .fencing import alone

Job = Callable[[Core], Awaitable[int]]
"""Works on what is due and says how many items that were."""
_SHORTEST_REST, _LONGEST_REST = 0.5, 5.0
_FAILED = "failed"
_NAP = 0.2
"""Seconds after which somebody who rests looks whether he is to stop."""


async def run(core: Core) -> JobsReport:
    """Do everything that is due, once; says how much of each.

    Safe on every replica at once, and to be called from cron, a task queue or a loop. What one replica must do at a
    time it takes turns for. A job that fails does not keep the others from being done.

    Raises:
        ConfigError: the application is wrong, so that nothing can be done.
    """
    core = core.in_background()
    counts = dict.fromkeys(JOBS, 0)
    failed: dict[str, str] = {}
    for name, job in JOBS.items():
        if core.stopping():
            break
        try:
            counts[name] = await job(core)
        except (ConfigError, GuardError):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it is, the other jobs are to be done
            failed[name] = kind_of(failure)
            core.telemetry.log("error", "job.failed", {"job": name, "error": failed[name]})
    return JobsReport(counts, failed)


async def forever(core: Core, stopping: Callable[[], bool], told: Callable[[JobsReport], object] | None = None) -> None:
    """Do what is due until `stopping()` says so: at once while there is work, else looking every few seconds.

    It ends between two items, so soon after. `told` hears of every run that did something or failed.
    """
    core = evolve(core, stopping=stopping)
    rest = _SHORTEST_REST
    while not stopping():
        report = await run(core)
        if told is not None and (report.done or report.failed):
            told(report)
        if report.done:
            rest = _SHORTEST_REST
            if not report.failed:
                continue
        await _rest(core, rest * (0.5 + core.pace.jitter() / 2))
        rest = min(rest * 2, _LONGEST_REST)


async def _rest(core: Core, seconds: float) -> None:
    """Wait, and wake up soon after it is time to stop."""
    while seconds > 0 and not core.stopping():
        if await _nap(core, min(seconds, _NAP)):
            return
        seconds -= _NAP


async def _nap(core: Core, seconds: float) -> bool:
    """Wait, no longer than until the bus has something; says whether it has."""
    if core.bus is not None:
        with suppress(Unavailable):
            woken = await core.bus.wait(seconds)
            if woken is not None:
                return woken
    await core.pace.sleep(seconds)
    return False


async def _webhooks(core: Core) -> int:
    if core.stripe is None:
        return 0
    with traces.job(core, "webhooks"):
        number = await inbox.retry_due(core)
    traces.queue_depth(core, "inbox", await core.store.read(lambda tx: tx.inbox.waiting()))
    return number


async def _seats(core: Core) -> int:
    with traces.job(core, "seats"):
        return await seats.sync_due(core)


async def _members(core: Core) -> int:
    async def work(core: Core) -> Share:
        return Share(await seats.recount(core), is_all=not core.stopping())

    if core.stripe is None or core.host.member_count is None:
        return 0
    return await _now_and_then(core, "members", HOUR, work)


async def _trials(core: Core) -> int:
    with traces.job(core, "trials"):
        return await trying.tell_due(core)


async def _cards(core: Core) -> int:
    async def work(core: Core) -> Share:
        return Share(*await expiring_cards.tell_due(core))

    return await _now_and_then(core, "cards", DAY // 2, work)


async def _events(core: Core) -> int:
    with traces.job(core, "events"):
        number = await outbox.dispatch(core)
    waiting, _ = await core.store.read(lambda tx: tx.outbox.lag(core.now()))
    traces.queue_depth(core, "outbox", waiting)
    return number


async def _bus(core: Core) -> int:
    """What goes out first: that others wait for is here already."""
    if core.bus is None:
        return 0
    with traces.job(core, "bus"):
        number = await relaying.relay(core) + await incoming.receive(core)
    waiting, _ = await core.store.read(lambda tx: tx.bus.lag(core.now()))
    traces.queue_depth(core, "bus", waiting)
    return number


async def _meters(core: Core) -> int:
    if core.stripe is None:
        return 0
    with traces.job(core, "meters"):
        return await meter_sender.send_due(core)


async def _intents(core: Core) -> int:
    async def work(core: Core) -> Share:
        found = await intents.recover(core)
        number = found["done"] + found["parked"] + found["not_made"]
        return Share(number, is_all=number == 0)

    return 0 if core.stripe is None else await _now_and_then(core, "intents", MINUTE, work)


async def _reconciled(core: Core) -> int:
    async def work(core: Core) -> Share:
        done = await reconcile.reconcile(core)
        # Everything is compared some pages a run.
        is_all = done.status != "done" or not await reconcile.is_due(core)
        return Share(done.events + done.subscriptions + done.checkouts, is_all)

    return 0 if core.stripe is None else await _now_and_then(core, "reconciled", reconcile.EVERY, work)


async def _holds(core: Core) -> int:
    async def work(core: Core) -> Share:
        return Share(*await reserving.sweep(core))

    return await _now_and_then(core, "holds", MINUTE, work)


async def _pruned(core: Core) -> int:
    async def work(core: Core) -> Share:
        number = await retention.prune(core)
        return Share(number, is_all=number == 0)

    return await _now_and_then(core, "pruned", HOUR, work)


@frozen
class Share:
    """What a run did of a job: how many items, and whether that was all there is for now."""

    number: int
    is_all: bool


async def _now_and_then(core: Core, name: str, interval: int, work: Callable[[Core], Awaitable[Share]]) -> int:
    """Do a job on one replica at a time, an `interval` of microseconds after it was last done to its end.

    The first time is an interval after anybody asked first. One that failed is tried again after a minute, by whichever
    replica.
    """
    kind, now = f"job.{name}", core.now()
    state = await core.store.read(lambda tx: tx.syncs.get(kind))
    if state is None:
        await _note(core, SyncState(kind, now, now, {}))
        return 0
    if not _is_due(state, interval, now):
        return 0

    async def turn(core: Core) -> int:
        started = core.now()
        known = await core.store.read(lambda tx: tx.syncs.get(kind))
        if known is not None and not _is_due(known, interval, started):
            return 0  # Whoever had the lease before has done it meanwhile.
        try:
            with traces.job(core, name):
                share = await work(core)
        except Exception:
            await _note(core, SyncState(kind, started, core.now(), {_FAILED: 1}))
            raise
        if share.is_all and not core.stopping():
            await _note(core, SyncState(kind, started, core.now(), {}))
        return share.number

    return await alone(core, kind, turn) or 0


async def _note(core: Core, state: SyncState) -> None:
    await core.store.transaction(lambda tx: tx.syncs.put(state))


def _is_due(state: SyncState, interval: int, now: Instant) -> bool:
    """Whether it is time again; where the clock went back nobody knows, so it is."""
    wait = min(interval, MINUTE) if _FAILED in state.counts else interval
    return state.finished_at is None or not 0 <= now - state.finished_at < wait


JOBS: Mapping[str, Job] = {
    "webhooks": _webhooks,
    "reconciled": _reconciled,
    "intents": _intents,
    "meters": _meters,
    "members": _members,
    "seats": _seats,
    "trials": _trials,
    "cards": _cards,
    "events": _events,
    "bus": _bus,
    "holds": _holds,
    "pruned": _pruned,
}
"""What runs, in this order: events come after what makes them."""
