"""What a store does with a unit of work, whatever the unit does."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from ...domain.references import Reference
from ...errors import BillingError, GuardError, InvalidInput
from ...ports.guard import refuse_inside_unit
from ...ports.store import DuplicateKey, Rollback, Transaction
from . import rows
from .harness import DrivenStore


class UnitsConformance:
    """Store.transaction and Store.read."""

    def test_unit_commits(self, store: DrivenStore) -> None:
        """What a unit returns is the answer, and what it wrote is there."""
        assert 7 == store.transaction(lambda tx: tx.customers.add(rows.customer()) and 7)
        assert store.read(lambda tx: tx.customers.by_id("cus:org_a")) is not None

    def test_unit_rolls_back_with_value(self, store: DrivenStore) -> None:
        """`Rollback` undoes everything and still answers."""

        def unit(tx: Transaction) -> str:
            tx.customers.add(rows.customer())
            raise Rollback("told")

        assert "told" == store.transaction(unit)
        assert store.read(lambda tx: tx.customers.by_id("cus:org_a")) is None

    @pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), InvalidInput("no", field="f")])
    def test_unit_raises(self, store: DrivenStore, error: BaseException) -> None:
        """An error of the unit is raised as it is, nothing is left, and the store goes on."""

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            raise error

        with pytest.raises(type(error)) as raised:
            store.transaction(unit)
        assert raised.value is error
        assert store.read(lambda tx: tx.customers.by_id("cus:org_a")) is None
        assert store.transaction(lambda tx: tx.customers.add(rows.customer()))

    def test_unit_duplicate_leaves_nothing(self, store: DrivenStore) -> None:
        """A taken key undoes the whole unit before anybody hears of it."""
        store.transaction(lambda tx: tx.usage.add(rows.usage(), ()))

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            tx.usage.add(rows.usage(), ())

        with pytest.raises(DuplicateKey):
            store.transaction(unit)
        assert store.read(lambda tx: tx.customers.by_id("cus:org_a")) is None

    def test_unit_is_guarded(self, store: DrivenStore) -> None:
        """Nothing may leave the process while a unit runs, and everything may again after it."""

        def unit(tx: Transaction) -> None:
            refuse_inside_unit("a call to Stripe")

        with pytest.raises(GuardError):
            store.transaction(unit)
        refuse_inside_unit("a call to Stripe")

    @pytest.mark.parametrize("value", [0, 1, False, True, 1.5, b"org_a", ["org_a"]])
    def test_text_must_be_text(self, store: DrivenStore, value: Any) -> None:
        """A number never matches a text, and never gets as far as the database."""
        store.transaction(lambda tx: tx.customers.add(rows.customer("0")))

        with pytest.raises(GuardError):
            store.read(lambda tx: tx.customers.by_id(value))
        with pytest.raises(GuardError):
            store.read(lambda tx: tx.entitlements.of_reference(Reference("0", "organization"), [value], 1))
        with pytest.raises(GuardError):
            store.transaction(lambda tx: tx.customers.lock(value))
        assert rows.customer("0") == store.read(lambda tx: tx.customers.by_id("cus:0"))

    @pytest.mark.parametrize("value", [True, 1.0, "1", b"1"])
    def test_integer_must_be_integer(self, store: DrivenStore, value: Any) -> None:
        """A bool, a float or a text is no amount and no instant."""
        with pytest.raises(GuardError):
            store.transaction(lambda tx: tx.entitlements.add_grant(rows.grant(amount=value)))
        with pytest.raises(GuardError):
            store.read(lambda tx: tx.entitlements.of_reference(Reference("0", "organization"), None, value))

    @pytest.mark.parametrize("value", [2**53, -(2**53), 2**63, 2**64, -(2**70)])
    def test_integer_out_of_range(self, store: DrivenStore, value: int) -> None:
        """Nothing beyond ±(2^53-1) is stored."""
        with pytest.raises(InvalidInput):
            store.transaction(lambda tx: tx.entitlements.add_grant(rows.grant(priority=value)))
        with pytest.raises(InvalidInput):
            store.transaction(lambda tx: tx.entitlements.of_customer("cus:org_a", None, value))

    @pytest.mark.parametrize("value", ["a\0b", "\ud800", "a\udfff"])
    def test_text_that_cannot_be_stored(self, store: DrivenStore, value: str) -> None:
        """NUL and lone surrogates are refused alike everywhere, in keys and in long texts."""
        with pytest.raises(InvalidInput):
            store.read(lambda tx: tx.customers.by_id(value))
        with pytest.raises(InvalidInput):
            store.transaction(lambda tx: tx.customers.add(rows.customer(name=value)))

    @pytest.mark.parametrize(
        "changes",
        [{"used": -1}, {"held": -1}, {"used": 60, "held": 41}, {"used": 101}, {"amount": 4, "used": 5}, {"owed": -1}],
    )
    def test_bucket_keeps_its_bounds(self, store: DrivenStore, changes: dict[str, Any]) -> None:
        """The database itself refuses a bucket that is overdrawn or negative, at insert and at update."""
        grant = rows.grant()
        good = rows.bucket(grant)
        bad = evolve(good, **changes)
        store.transaction(lambda tx: tx.entitlements.add_grant(grant))
        with pytest.raises(BillingError):
            store.transaction(lambda tx: tx.entitlements.add_bucket(bad))

        store.transaction(lambda tx: tx.entitlements.add_bucket(good))
        with pytest.raises(BillingError):
            store.transaction(lambda tx: tx.entitlements.put_bucket(bad))
        assert [(grant, good)] == store.transaction(
            lambda tx: list(tx.entitlements.of_customer(grant.customer_id, None, rows.NOW))
        )

    def test_errors_hold_no_data(self, store: DrivenStore) -> None:
        """An error of the database says nothing of what was stored, in its text or in what caused it."""
        secret = "sesame@example.org"  # noqa: S105 - that is the point
        store.transaction(lambda tx: tx.entitlements.add_grant(rows.grant()))

        def refused(tx: Transaction) -> None:
            tx.entitlements.add_bucket(rows.bucket(rows.grant(), name=secret, used=-1))

        with pytest.raises(GuardError) as raised:
            store.transaction(refused)
        error: BaseException | None = raised.value
        while error is not None:
            assert secret not in str(error)
            assert "billing_bucket" not in str(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
