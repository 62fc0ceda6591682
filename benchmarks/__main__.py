"""`python -m benchmarks`: measure, verify, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers import running

from . import catalog, check, growth, http, imports, track, webhooks
from .harness import Bench, Benchmark, Result, Settings, Unbuilt
from .report import machine, show, write_json

ENGINES = ("sqlite", "postgresql")
ALL: Sequence[Benchmark] = (
    *check.BENCHMARKS,
    *track.BENCHMARKS,
    *webhooks.BENCHMARKS,
    *http.BENCHMARKS,
    *imports.BENCHMARKS,
    *catalog.BENCHMARKS,
    *growth.BENCHMARKS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 where a run was not exact."""
    asked = _parser().parse_args(arguments)
    settings = Settings(asked.seconds, asked.rounds, asked.customers, growth=asked.growth)
    chosen = [each for each in ALL if _is_wanted(each, asked.only, asked.engines)]
    if not chosen:
        print(f"nothing is called {' '.join(asked.only)}", file=sys.stderr)
        return 2
    with running() as servers:
        bench = Bench(settings, servers)
        lines = [(each, _measured(each, bench)) for each in chosen]
        show(lines, machine(servers, asked.engines, settings))
    if asked.json is not None:
        write_json(asked.json, lines)
    return int(any(isinstance(result, Result) and result.problems for _, result in lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios there")
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="a number (P4, P4/64) or a subject (track)"
    )
    parser.add_argument("--engines", type=_engines, default=ENGINES, metavar="LIST", help="sqlite,postgresql")
    parser.add_argument("--seconds", type=float, default=Settings().seconds, help="for each side of a round")
    parser.add_argument("--rounds", type=int, default=Settings().rounds)
    parser.add_argument("--customers", type=int, default=Settings().customers, help="in each database")
    parser.add_argument("--growth", type=int, default=Settings().growth, help="how many times as many in a large one")
    return parser


def _engines(text: str) -> Sequence[str]:
    names = tuple(text.split(","))
    if not set(names) <= set(ENGINES):
        raise argparse.ArgumentTypeError(f"known are {', '.join(ENGINES)}")
    return names


def _is_wanted(benchmark: Benchmark, names: Sequence[str], engines: Sequence[str]) -> bool:
    called = {benchmark.key, benchmark.key.split("/")[0], benchmark.subject}
    return (not names or bool(called & set(names))) and (benchmark.engine is None or benchmark.engine in engines)


def _measured(benchmark: Benchmark, bench: Bench) -> Result | Unbuilt:
    """Run one, and say at once what it found: the table comes when all are done."""
    print(f"{benchmark.key} …", file=sys.stderr, flush=True)
    try:
        result = benchmark.run(bench)
    except Unbuilt as missing:
        return missing
    print(f"{benchmark.key} {result.ratio:.3g}", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
