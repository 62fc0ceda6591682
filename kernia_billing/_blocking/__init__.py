"""`Billing`, a module for every noun of it. Generated from `_aio` by `make facade`: do not edit."""

from __future__ import annotations

from .billing import Billing
from .bus import Bus
from .catalog import Catalog
from .customers import Customers
from .holding import Hold
from .invoices import Invoices
from .jobs import Jobs
from .kavach import Kavach
from .leasing import Lease
from .meters import Meters
from .overrides import Overrides
from .plans import Plans
from .subscriptions import Subscriptions
from .sync import Sync
from .webhooks import Webhooks

__all__ = [
    "Billing",
    "Bus",
    "Catalog",
    "Customers",
    "Hold",
    "Invoices",
    "Jobs",
    "Kavach",
    "Lease",
    "Meters",
    "Overrides",
    "Plans",
    "Subscriptions",
    "Sync",
    "Webhooks",
]
