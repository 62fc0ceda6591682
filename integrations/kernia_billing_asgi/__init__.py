"""Billing in any ASGI application: Starlette, FastAPI, or none.

```python
app.mount("/api/auth", BillingApp(billing, identify=identify))
app.add_middleware(BillingMiddleware, billing=billing, identify=identify)
```
"""

from __future__ import annotations

from .app import BillingApp
from .middleware import BillingMiddleware

__all__ = ["BillingApp", "BillingMiddleware"]
