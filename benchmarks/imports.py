"""How long an import takes, in a new interpreter each time, whose own start is left out.

Adapters must load what they need later: an import that loads a database toolkit or an HTTP client is not exact.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from statistics import median

from .harness import Bench, Benchmark, Result

_BUDGET = 0.120
_TRIES = 4
_HEAVY = ("sqlalchemy", "httpx", "alembic", "stripe")
_PROGRAM = """
import sys, time
start = time.perf_counter()
{statement}
spent = time.perf_counter() - start
import json
print(json.dumps([spent, sorted(set(sys.modules) & {heavy!r})]))
"""


def _import(bench: Bench, statement: str) -> Result:
    tries = [_once(statement) for _ in range(_TRIES * bench.settings.rounds)]
    spent = median(seconds for seconds, _ in tries)
    loaded = sorted({name for _, names in tries for name in names})
    return Result(
        f"{statement}: {spent * 1_000:.0f} ms",
        f"the budget of {_BUDGET * 1_000:.0f} ms",
        baseline=1 / _BUDGET,
        ours=1 / spent,
        ratio=_BUDGET / spent,
        problems=[f"loads {', '.join(loaded)}"] if loaded else [],
    )


def _once(statement: str) -> tuple[float, list[str]]:
    program = _PROGRAM.format(statement=statement, heavy=set(_HEAVY))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    spent, loaded = json.loads(done.stdout)
    return float(spent), list(loaded)


BENCHMARKS = (
    Benchmark("P12", "imports", None, partial(_import, statement="import kernia_billing")),
    Benchmark("P12/names", "imports", None, partial(_import, statement="from kernia_billing import Billing, Plan")),
)
