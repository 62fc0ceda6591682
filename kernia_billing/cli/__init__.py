"""`kernia-billing`: the commands for people who run an application that bills."""

from __future__ import annotations

import click

from .audit import audit
from .db import db
from .healing import doctor, reconcile
from .jobs import jobs, worker
from .meters import meters
from .simulator import simulator
from .sync import sync
from .webhooks import webhooks


@click.group()
@click.version_option(package_name="kernia-billing")
def main() -> None:
    """Stripe billing inside your Python application."""


for _each in (audit, db, doctor, jobs, meters, reconcile, simulator, sync, webhooks, worker):
    main.add_command(_each)
