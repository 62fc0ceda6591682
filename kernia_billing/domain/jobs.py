"""What runs by itself, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class JobsReport:
    """What one run of the jobs did.

    `counts` says how many items each job worked on, 0 where nothing was due; `report["webhooks"]` reads one of them.
    `failed` has a code for each job that could not do its work: the others were done all the same, and it is tried
    again by the next run.
    """

    counts: Mapping[str, int]
    failed: Mapping[str, str]

    def __getitem__(self, job: str) -> int:
        return self.counts[job]

    @property
    def done(self) -> int:
        """How many items were worked on, of all jobs together."""
        return sum(self.counts.values())
