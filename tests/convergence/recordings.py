"""Histories that were played once, with the state that a direct import of their end leads to."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from kernia_billing._drive import run_blocking
from kernia_billing.operations.core import Core
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.projections import sync_object
from kernia_billing.operations.projections.tickets import ProjectionKind
from kernia_billing.ports.store import Transaction
from tests.convergence.copies import Copy, MemoryKeeper, RowKeeper, Rows, State, state_of
from tests.convergence.histories import History
from tests.convergence.scene import REFERENCE, Scene
from tests.convergence.tape import TABLES, Tape, Told, snapshot, told_since

KINDS: tuple[ProjectionKind, ...] = (
    "product",
    "price",
    "customer",
    "payment_method",
    "subscription",
    "schedule",
    "invoice",
)


@define(eq=False)
class Recording:
    """A history on tape, the database that it starts from, and what is true at its end.

    `told` are the events that the history names, `all_told` all those that a handler brings something up to date for.
    The database at the `start` is there as bytes and as `rows`.
    """

    history: History
    scene: Scene = field(repr=False)
    tape: Tape = field(repr=False)
    told: tuple[Told, ...]
    all_told: tuple[Told, ...] = field(repr=False)
    start: bytes = field(repr=False)
    rows: Rows = field(repr=False)
    linked: bytes = field(repr=False)
    """A database that knows nothing but whose the customer is."""
    imported: State = field(repr=False)

    @property
    def end(self) -> int:
        """The last moment."""
        return len(self.tape.moments) - 1

    def copy(self) -> Copy:
        """A database in memory, at the start."""
        copy = Copy.of(self.scene, self.tape)
        copy.keeper.put(self.start)
        return copy

    def state(self, copy: Copy) -> State:
        """What a copy says at the end."""
        return state_of(copy.engine, self.tape.moments[-1].now)


def play(history: History) -> Recording:
    """Play a history."""
    scene = Scene()
    try:
        return _played(history, scene)
    except BaseException:
        scene.close()
        raise


def _played(history: History, scene: Scene) -> Recording:
    history.before(scene)
    scene.stripe.deliver()
    start, rows = MemoryKeeper(scene.engine).take(), RowKeeper(scene.engine).take()
    moments, all_told, told = [snapshot(scene)], list[Told](), list[Told]()
    for number, step in enumerate(history.steps, start=1):
        count = len(scene.stripe.events)
        step.act(scene)
        found = told_since(scene, count, number)
        all_told += found
        told += _named(found, step.told)
        moments.append(snapshot(scene))
    live: Any = scene.billing._wiring.core.stripe
    tape = Tape(moments, live, at=len(moments) - 1)
    linked = _linked(scene, tape)
    imported = _imported(scene, tape, linked)
    return Recording(history, scene, tape, tuple(told), tuple(all_told), start, rows, linked, imported)


def _named(found: list[Told], types: tuple[str, ...]) -> list[Told]:
    """The events of these types, each type as often as it is named."""
    left = list(types)
    named = list[Told]()
    for each in found:
        if each.type in left:
            left.remove(each.type)
            named.append(each)
    assert not left, f"nothing was told of {left}"
    return named


def _linked(scene: Scene, tape: Tape) -> bytes:
    """A database that knows nothing but whose the customer is."""
    with Copy.of(scene, tape) as copy:
        core = copy.billing._wiring.core
        run_blocking(core.store.transaction(lambda tx: _link(core, tx, scene.customer)))
        contents: bytes = copy.keeper.take()
        return contents


def _link(core: Core, tx: Transaction, stripe_customer_id: str) -> None:
    row = lock_or_add(core, tx, core.reference(REFERENCE), core.now())
    tx.customers.link(row.id, stripe_customer_id)


def _imported(scene: Scene, tape: Tape, linked: bytes) -> State:
    """What a database holds that never heard of anything, and looks at every object once, at the end."""
    with Copy.of(scene, tape) as copy:
        copy.keeper.put(linked)
        for kind in KINDS:
            for row in scene.rows(TABLES[kind]):
                run_blocking(sync_object(copy.billing._wiring.core, kind, row["id"]))
        return state_of(copy.engine, tape.now())
