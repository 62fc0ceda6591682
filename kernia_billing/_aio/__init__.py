"""`AsyncBilling`, a module for every noun of it: the source that `Billing` is generated from (`make facade`)."""

from __future__ import annotations

from .billing import AsyncBilling
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
    "AsyncBilling",
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
