"""The host's own columns, kept in step in the transactions that change what they tell of."""

from __future__ import annotations

from collections.abc import Sequence

from ...domain.kavach import CUSTOMER_COLUMN, columns_of
from ...domain.references import Reference
from ...domain.subscriptions import SubscriptionRow
from ...ports.store import Transaction
from ..core import Core
from ..subscriptions import entitling


def mirror(core: Core, tx: Transaction, reference: Reference, stripe_customer_id: str | None) -> None:
    """Write the id of a customer where the host wants it."""
    where = core.mirror_columns.get(reference.type)
    if where is not None:
        tx.host_columns.put(where, reference.id, stripe_customer_id)
    if core.kavach_columns is not None and reference.type == "user":
        tx.host_columns.fill(core.kavach_columns, reference.id, {CUSTOMER_COLUMN: stripe_customer_id})


def mirror_subscriptions(core: Core, tx: Transaction, reference: Reference, rows: Sequence[SubscriptionRow]) -> None:
    """Write what `get_subscription` answers of a customer with these, where the host has kavachOS's columns."""
    if core.kavach_columns is not None and reference.type == "user":
        tx.host_columns.fill(core.kavach_columns, reference.id, columns_of(entitling(rows, "default")))
