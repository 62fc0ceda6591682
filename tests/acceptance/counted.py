"""Run a module as `python -m` does, and add what the oracle checked in this process to the counts of the test run.

python -m tests.acceptance.counted demo --port 8000
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

from tests.conftest import COUNTS_VARIABLE


def main() -> None:
    """Run the module that the first argument names, with the other arguments."""
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        leave_counts()


def leave_counts() -> None:
    """Write the counts of this process where the run adds them up; outside of a run, nowhere."""
    oracle = sys.modules.get("kernia_billing.testing.oracle")
    folder = os.environ.get(COUNTS_VARIABLE)
    if oracle is not None and folder is not None:
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(oracle.totals), encoding="utf-8")


if __name__ == "__main__":
    main()
