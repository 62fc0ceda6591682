"""All static checks. Each runs even if an earlier one failed; the exit code says whether all passed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    name
    for name in ("kernia_billing", "integrations", "tests", "tools", "demo", "benchmarks")
    if any((ROOT / name).rglob("*.py"))
]
BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str | Path]] = {
    "ruff": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "mypy": [BIN / "mypy", *SOURCES],
    "pyright": [BIN / "pyright", "--pythonpath", sys.executable, *SOURCES],
    "imports": [BIN / "lint-imports"],
    "facade": [sys.executable, "tools/facade.py", "--check"],
}


def main() -> int:
    """Run the checks and say which failed."""
    failed: list[str] = []
    for name, command in CHECKS.items():
        print(f"── {name}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
