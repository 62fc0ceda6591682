"""Billing in a Flask application.

```python
KerniaBilling(billing, identify=identify).init_app(app)          # /api/auth/… and the gates
```
"""

from __future__ import annotations

try:
    # Only to say which extra is missing.
    import flask as _flask  # noqa: F401  # pyright: ignore[reportUnusedImport] - only to see that it is installed
except ModuleNotFoundError as missing:
    if missing.name != "flask":
        raise
    raise ImportError('kernia_billing_flask needs Flask: pip install "kernia-billing[flask]"') from missing

from .extension import KerniaBilling

__all__ = ["KerniaBilling"]
