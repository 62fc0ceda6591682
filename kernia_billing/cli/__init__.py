"""`kernia-billing`: the commands for people who run an application that bills."""

from __future__ import annotations

import click

from .db import db
from .simulator import simulator


@click.group()
@click.version_option(package_name="kernia-billing")
def main() -> None:
    """Stripe billing inside your Python application."""


main.add_command(db)
main.add_command(simulator)
