"""The table, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from tests.servers import Servers

from .harness import Benchmark, Result, Settings, Unbuilt

TARGETS: Mapping[str, tuple[float, float]] = {
    "P1": (1 / 3, 1 / 1.5),
    "P2": (0.30, 0.6),
    "P3": (0.5, 0.8),
    "P3/64": (0.6, 1.5),
    "P4": (0.5, 0.8),
    "P4/64": (3.0, 6),
    "P5": (0.4, 0.8),
    "P6": (1.5, 3),
    "P7": (15, 40),
    "P8": (6, 12),
    "P9": (0.15, 0.4),
    "P9/postgresql": (0.3, 0.7),
    "P10": (0.35, 0.6),
    **{
        f"P11/{engine}/{what}/{call}": (1 / least, 1 / aim)
        for engine, least, aim in (("sqlite", 1.8, 1.5), ("postgresql", 1.4, 1.2))
        for what in ("customers", "events")
        for call in ("check", "track")
    },
    "P12": (1, 2),
    "P12/names": (1, 2),
}
"""The ratio that each benchmark has to reach at least, and the one to aim at.

That of an import is its budget over what it takes.
"""

Line = tuple[Benchmark, Result | Unbuilt]


def machine(servers: Servers, engines: Sequence[str], settings: Settings) -> str:
    """What the figures were taken on."""
    facts = [
        f"{os.cpu_count()} CPUs ({platform.machine()})",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL)",
    ]
    if "postgresql" in engines:
        facts.append(f"PostgreSQL {_postgresql_version(servers)} (unix socket, fsync on)")
    how = f"median of {settings.rounds} rounds of {settings.seconds:g} s a side, {settings.customers} customers"
    return f"{', '.join(facts)}\n{how}"


def _postgresql_version(servers: Servers) -> str:
    with psycopg.connect(f"host={servers.socket_of('postgresql')} user=postgres dbname=postgres") as connection:
        version = connection.info.server_version
    return f"{version // 10_000}.{version % 10_000}"


def table(lines: Sequence[Line]) -> Table:
    """One row a benchmark."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "measured", "against"):
        shown.add_column(name, no_wrap=True)
    for name in ("baseline/s", "ours/s", "ratio", "at least", "aim", "p50 ms", "p99 ms"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("exact")
    for benchmark, result in lines:
        shown.add_row(benchmark.key, *_cells(benchmark.key, result))
    return shown


def _cells(key: str, result: Result | Unbuilt) -> list[str]:
    least, aim = (f"{target:.3g}" for target in TARGETS[key]) if key in TARGETS else ("", "")
    if isinstance(result, Unbuilt):
        return [f"not built: {result}", "", "", "", "", least, aim, "", "", ""]
    return [
        result.name,
        result.against,
        _figure(result.baseline),
        _figure(result.ours),
        _figure(result.ratio),
        least,
        aim,
        *("" if span is None else _figure(span * 1_000) for span in (result.p50, result.p99)),
        "exact" if not result.problems else f"NOT EXACT: {'; '.join(result.problems)}",
    ]


def _figure(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(lines: Sequence[Line], facts: str) -> None:
    """Print everything; wide, where nobody's window bounds it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=220)
    console.print(facts, highlight=False)
    console.print()
    console.print(table(lines))


def write_json(path: Path, lines: Sequence[Line]) -> None:
    """Write `{"ratios": {"P2": …, "P3": …, "P3/64": …}, …}` under the numbers of the targets.

    Where a number has two parts, the plain one is the first.
    """
    results = {benchmark.key: result for benchmark, result in lines if isinstance(result, Result)}
    content = {
        "ratios": {key: result.ratio for key, result in results.items()},
        "rates": {key: {"baseline": result.baseline, "ours": result.ours} for key, result in results.items()},
        "inexact": {key: list(result.problems) for key, result in results.items() if result.problems},
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
