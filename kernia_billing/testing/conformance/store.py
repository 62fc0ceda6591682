"""The conformance suite of the store port.

```python
class TestMyStore(StoreConformance):
    @pytest.fixture
    def store(self) -> DrivenStore:
        return DrivenStore(MyStore(...), run_blocking)      # on an empty database, for every test
```

It needs pytest, and `pytest.register_assert_rewrite("kernia_billing.testing.conformance")` in the `conftest.py` for
readable failures. What several threads and the host's own transactions add to it depends on the adapter.
"""

from __future__ import annotations

from .catalog import CatalogConformance, PlansConformance
from .customers import CustomersConformance
from .entitlements import EntitlementsConformance, UsageConformance
from .exchange import OutboxConformance
from .history import HistoryConformance
from .holds import HoldsConformance
from .horizons import HorizonsConformance
from .inbox import InboxConformance
from .limits import AlertsConformance, LimitsConformance
from .measures import MeasuresConformance
from .meters import MeterEventsConformance
from .mirror import MirrorConformance
from .seats import SeatsConformance
from .selling import SellingConformance
from .subscriptions import SubscriptionsConformance
from .tickets import ObjectsConformance
from .units import UnitsConformance
from .upkeep import LeasesConformance, UpkeepConformance


class StoreConformance(
    CustomersConformance,
    CatalogConformance,
    PlansConformance,
    SubscriptionsConformance,
    SellingConformance,
    EntitlementsConformance,
    UsageConformance,
    HistoryConformance,
    MeasuresConformance,
    HoldsConformance,
    HorizonsConformance,
    LimitsConformance,
    AlertsConformance,
    InboxConformance,
    ObjectsConformance,
    OutboxConformance,
    MirrorConformance,
    SeatsConformance,
    LeasesConformance,
    UpkeepConformance,
    MeterEventsConformance,
    UnitsConformance,
):
    """Everything that a store must do. Give a `store` fixture: a `DrivenStore` on an empty database."""
