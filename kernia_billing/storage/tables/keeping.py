"""How far back the books of customers are whole."""

from __future__ import annotations

from .columns import amount, id_, instant, table

horizon = table(
    "billing_horizon",
    id_("customer_id", primary_key=True),
    amount("seq"),
    instant("kept_from"),
    amount("swept"),
    flags=("swept",),
)
"""Of customers whose old books were thrown away. `swept` is 1 when everything has gone that may go."""
