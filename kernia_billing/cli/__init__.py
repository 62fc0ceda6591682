"""`kernia-billing`: the commands for people who run an application that bills."""

from __future__ import annotations

import click

from .audit import audit
from .db import db
from .explain import explain
from .granting import credit_min, grant, revoke
from .healing import doctor, reconcile
from .jobs import jobs, worker
from .ledger import ledger
from .meters import meters
from .overrides import overrides
from .portal import portal
from .pricing import simulate_pricing
from .simulator import simulator
from .sync import sync
from .usage import usage
from .webhooks import webhooks


@click.group()
@click.version_option(package_name="kernia-billing")
def main() -> None:
    """Stripe billing inside your Python application."""


for _each in (
    audit,
    credit_min,
    db,
    doctor,
    explain,
    grant,
    jobs,
    ledger,
    meters,
    overrides,
    portal,
    reconcile,
    revoke,
    simulate_pricing,
    simulator,
    sync,
    usage,
    webhooks,
    worker,
):
    main.add_command(_each)
