"""`python -m kernia_billing.cli`, where the command itself is not on the path."""

from __future__ import annotations

from . import main

main(prog_name="kernia-billing")
