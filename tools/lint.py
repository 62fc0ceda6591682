"""All static checks. Each runs even if an earlier one failed; the exit code says whether all passed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    name
    for name in ("kernia_billing", "integrations", "tests", "tools", "demo", "benchmarks")
    if any((ROOT / name).rglob("*.py"))
]
BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str | Path]] = {
    "pyright": [BIN / "pyright", "--pythonpath", sys.executable, *SOURCES],
    "mypy": [BIN / "mypy", *SOURCES],
    "ruff": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "imports": [BIN / "lint-imports"],
    "facade": [sys.executable, "tools/facade.py", "--check"],
}


def main() -> int:
    """Run the checks, as many at a time as there are processors, and say which failed."""
    failed: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, done in zip(CHECKS, pool.map(_run, CHECKS.values()), strict=True):
            print(f"── {name}", done.stdout, sep="\n", end="", flush=True)
            if done.returncode != 0:
                failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


if __name__ == "__main__":
    sys.exit(main())
