"""Billing in any WSGI application (PEP 3333).

```python
application = BillingMiddleware(application, billing, identify=identify)
application = DispatcherMiddleware(application, {"/api/auth": BillingApp(billing, identify=identify)})
```
"""

from __future__ import annotations

from .app import BillingApp
from .middleware import BillingMiddleware

__all__ = ["BillingApp", "BillingMiddleware"]
