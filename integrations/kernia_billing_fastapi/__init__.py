"""Billing in a FastAPI application.

```python
KerniaBilling(billing, identify=identify).init_app(app, prefix="/api/auth")

@app.post("/chat", dependencies=[Depends(RequiresFeature("tokens"))])
async def chat(ask: Ask, reference: CurrentReference) -> Answer: ...
```
"""

from __future__ import annotations

try:
    # Only to say which extra is missing.
    import fastapi as _fastapi  # noqa: F401  # pyright: ignore[reportUnusedImport] - only to see that it is installed
except ModuleNotFoundError as missing:
    if missing.name != "fastapi":
        raise
    raise ImportError('kernia_billing_fastapi needs FastAPI: pip install "kernia-billing[fastapi]"') from missing

from .dependencies import CurrentReference, RequiresFeature
from .extension import KerniaBilling

__all__ = ["CurrentReference", "KerniaBilling", "RequiresFeature"]
