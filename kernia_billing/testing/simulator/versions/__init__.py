"""The versions of Stripe's API that the simulator can speak: one module for each step back from the newest.

Objects are stored in the newest shape. An older shape is reached by the steps between, newest first; each takes out
what its version added and puts back what it moved or removed. Additions are taken out too, although Stripe shows many
of them to older versions as well: what a reader gets is the least that the version promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..world.errors import Json
from . import basil, clover, dahlia, dahlia_july, endive
from .step import Step, Target

if TYPE_CHECKING:
    from ..world.world import World

CURRENT_VERSION = "2026-10-28.endive"

_STEPS = (endive.STEP, dahlia_july.STEP, dahlia.STEP, clover.STEP, basil.STEP)

VERSIONS: dict[str, tuple[Step, ...]] = {
    CURRENT_VERSION: (),
    **{step.leads_to: _STEPS[: index + 1] for index, step in enumerate(_STEPS)},
}
"""Each version with the steps that lead to it from the current one; newest first."""


def as_of(world: World, shown: Json, version: str) -> Json:
    """A rendered object, or a list of such, in the shape of that version; changes `shown` in place and answers it."""
    for step in VERSIONS[version]:
        step.take(Target(world, step.leads_to), shown)
    return shown
