"""billing_customer: who is billed, and the lock of everything counted for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import ColumnElement, FromClause, case, select, update

from ..domain.customers import MOST_APART, CustomerRow
from ..domain.instants import Instant
from ..domain.references import Reference
from ..ports.store import DuplicateKey
from .bulk import Part, updating
from .db import Noun
from .dialects import Among, AnySelect, Variants, among_many, change, free, insert_new
from .pages import Pages
from .tables import customer as t
from .types import Row, number_param, padded, text_param, texts_param

COLUMNS = (
    t.c.id,
    t.c.customer_type,
    t.c.reference_id,
    t.c.stripe_customer_id,
    t.c.email,
    t.c.name,
    t.c.ledger_seq,
    t.c.config_epoch,
    t.c.plan,
    t.c.plan_until,
    t.c.created_at,
    t.c.written_at,
)
"""What `read_customer` reads, in its order."""

HAS_REFERENCE = (t.c.customer_type == text_param("type_")) & (t.c.reference_id == text_param("reference"))
_HAS_ID = t.c.id == text_param("customer")
_STRIPE = text_param("stripe")

_GET = select(*COLUMNS).where(HAS_REFERENCE)
_BY_ID = select(*COLUMNS).where(_HAS_ID)
_BY_STRIPE_ID = select(*COLUMNS).where(t.c.stripe_customer_id == _STRIPE)
_BY_STRIPE_IDS = select(*COLUMNS).where(t.c.stripe_customer_id.in_(texts_param("stripes")))
_ADD = insert_new(t, "customer_type", "reference_id")
_NEXT = update(t).values(ledger_seq=t.c.ledger_seq + 1)
_NOW = number_param("now")
_IS_AHEAD = (t.c.written_at > _NOW) & (t.c.written_at <= number_param("latest"))
_NEXT_NOW = _NEXT.values(written_at=case((_IS_AHEAD, t.c.written_at), else_=_NOW))
_LOCK = change(_NEXT.where(_HAS_ID), _BY_ID)
_LOCK_NOW = change(_NEXT_NOW.where(_HAS_ID), _BY_ID)
_LOCK_REFERENCE = change(_NEXT.where(HAS_REFERENCE), _GET)
_LOCK_REFERENCE_NOW = change(_NEXT_NOW.where(HAS_REFERENCE), _GET)
_other = t.alias("other")


def _having(among: Among, table: FromClause = t) -> ColumnElement[bool]:
    of_type: ColumnElement[bool] = table.c.customer_type == text_param("type_")
    return of_type & among(table.c.reference_id, "references")


def _free_ids(among: Among) -> AnySelect:
    return free(select(_other.c.id).where(_having(among, _other)))


_EXISTING = among_many(lambda among: select(t.c.reference_id).where(_having(among)))
_NEXT_ALL = among_many(lambda among: _NEXT_NOW.where(_having(among)).returning(*COLUMNS))
_NEXT_FREE = among_many(lambda among: _NEXT_NOW.where(t.c.id.in_(_free_ids(among))).returning(*COLUMNS))
_NEXT_HELD = _NEXT_NOW.where(t.c.id.in_(texts_param("ids")))
_ALL = among_many(lambda among: select(*COLUMNS).where(_having(among)).with_for_update())
_ALL_FREE = among_many(lambda among: free(select(*COLUMNS).where(_having(among))))
_LOCK_ALL = Variants(_NEXT_ALL.sqlite, _NEXT_ALL.postgresql, _ALL.mysql)
_LOCK_FREE = Variants(_NEXT_ALL.sqlite, _NEXT_FREE.postgresql, _ALL_FREE.mysql)
_PUT_SEQUENCE = updating(t, "ledger_seq")
_LINK = (
    update(t)
    .values(stripe_customer_id=_STRIPE)
    .where(_HAS_ID, t.c.stripe_customer_id.is_(None) | (t.c.stripe_customer_id == _STRIPE))
)
_UNLINK = update(t).values(stripe_customer_id=None).where(_HAS_ID, t.c.stripe_customer_id == _STRIPE)
_SET_EMAIL = update(t).values(email=text_param("email_")).where(_HAS_ID)
_SET_NAME = update(t).values(name=text_param("name_")).where(_HAS_ID)
_ANONYMISE = (
    update(t)
    .values(reference_id=text_param("reference"), email=None, name=None, stripe_customer_id=None)
    .where(_HAS_ID)
)
_SET_PLAN = (
    update(t)
    .values(plan=text_param("plan_"), plan_until=number_param("until"), config_epoch=t.c.config_epoch + 1)
    .where(_HAS_ID)
)
_PAGES = Pages(
    select(*COLUMNS).where(t.c.id > text_param("after")).order_by(t.c.id), plan=t.c.plan == text_param("plan_")
)


def _by_reference(reference: Reference) -> dict[str, Any]:
    return {"type_": reference.type, "reference": reference.id}


def _clock(now: Instant) -> dict[str, Any]:
    """The parameters of `CustomerRow.time`."""
    return {"now": now, "latest": now + MOST_APART}


def _by_type(references: Iterable[Reference]) -> list[dict[str, Any]]:
    """The parameters of a statement about several of one type, for each type."""
    found: dict[str, list[str]] = {}
    for each in references:
        found.setdefault(each.type, []).append(each.id)
    return [{"type_": type_, "references": padded(ids)} for type_, ids in found.items()]


def read_customer(row: Row, reference: Reference | None = None) -> CustomerRow:
    """The customer of a row of `COLUMNS`; the reference is read too where it is not known."""
    return CustomerRow(row[0], reference or Reference(row[2], row[1]), *row[3:])


def _read(row: Row | None) -> CustomerRow | None:
    return None if row is None else read_customer(row)


def numbered(rows: Iterable[CustomerRow]) -> Part:
    """Overwrites `ledger_seq` of rows that are held, as it is run with other changes."""
    return _PUT_SEQUENCE, [(row.id, row.ledger_seq) for row in rows]


class Customers(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, reference: Reference) -> CustomerRow | None:
        """The customer of a reference."""
        return _read(self._db.one(_GET, _by_reference(reference)))

    def by_id(self, customer_id: str) -> CustomerRow | None:
        """The customer with this local id."""
        return _read(self._db.one(_BY_ID, {"customer": customer_id}))

    def by_stripe_id(self, stripe_customer_id: str) -> CustomerRow | None:
        """The customer that is this one at Stripe."""
        return _read(self._db.one(_BY_STRIPE_ID, {"stripe": stripe_customer_id}))

    def by_stripe_ids(self, stripe_customer_ids: Sequence[str]) -> Mapping[str, CustomerRow]:
        """Those of our customers that are these at Stripe, by Stripe's id, in one statement."""
        rows = self._db.all(_BY_STRIPE_IDS, {"stripes": list(stripe_customer_ids)}) if stripe_customer_ids else ()
        found = [read_customer(row) for row in rows]
        return {customer.stripe_customer_id: customer for customer in found if customer.stripe_customer_id is not None}

    def add(self, row: CustomerRow) -> bool:
        """Insert unless the reference has a row already; says whether it was inserted."""
        values = {
            "id": row.id,
            "customer_type": row.reference.type,
            "reference_id": row.reference.id,
            "stripe_customer_id": row.stripe_customer_id,
            "email": row.email,
            "name": row.name,
            "ledger_seq": row.ledger_seq,
            "config_epoch": row.config_epoch,
            "plan": row.plan,
            "plan_until": row.plan_until,
            "created_at": row.created_at,
            "written_at": row.written_at,
        }
        if self._db.insert_new(_ADD, values):
            return True
        if self._db.flavour == "mysql" and self.get(row.reference) is None:
            # There the row may have met any of the unique keys.
            raise DuplicateKey
        return False

    def lock(self, customer_id: str, now: Instant | None = None) -> CustomerRow | None:
        """Raise `ledger_seq` by one and give the row after it. Holds the row until the end of the transaction.

        With `now` its `written_at` becomes its `time(now)`, which is what the write then counts by.
        """
        values = {"customer": customer_id}
        return _read(
            self._db.change(_LOCK, values) if now is None else self._db.change(_LOCK_NOW, {**values, **_clock(now)})
        )

    def lock_reference(self, reference: Reference, now: Instant | None = None) -> CustomerRow | None:
        """`lock`, by reference."""
        values = _by_reference(reference)
        if now is None:
            return _read(self._db.change(_LOCK_REFERENCE, values))
        return _read(self._db.change(_LOCK_REFERENCE_NOW, {**values, **_clock(now)}))

    def lock_all(self, references: Iterable[Reference], now: Instant, *, wait: bool) -> Sequence[CustomerRow]:
        """`lock` for several, in any order. Without `wait` those that somebody else holds are left out."""
        statement, clock = _LOCK_ALL if wait else _LOCK_FREE, _clock(now)
        if self._db.flavour != "mysql":
            found = [self._db.all(statement, {**values, **clock}) for values in _by_type(references)]
            return [read_customer(row) for rows in found for row in rows]
        held = [read_customer(row) for values in _by_type(references) for row in self._db.all(statement, values)]
        if held:
            self._db.run(_NEXT_HELD, {"ids": padded([row.id for row in held]), **clock})
        return [evolve(row, ledger_seq=row.ledger_seq + 1, written_at=row.time(now)) for row in held]

    def existing(self, references: Iterable[Reference]) -> Sequence[Reference]:
        """Those of these references that have a row, whoever holds it."""
        return [
            Reference(id_, values["type_"])
            for values in _by_type(references)
            for (id_,) in self._db.all(_EXISTING, values)
        ]

    def link(self, customer_id: str, stripe_customer_id: str) -> bool:
        """Set the Stripe id where there is none; says whether the row has this id now."""
        return self._db.run(_LINK, {"customer": customer_id, "stripe": stripe_customer_id}) == 1

    def unlink(self, customer_id: str, stripe_customer_id: str) -> bool:
        """Take the Stripe id away where it is this one; says whether it was."""
        return self._db.run(_UNLINK, {"customer": customer_id, "stripe": stripe_customer_id}) == 1

    def describe(self, customer_id: str, *, email: str | None, name: str | None) -> None:
        """Set e-mail and name; None leaves what is there."""
        if email is not None:
            self._db.run(_SET_EMAIL, {"customer": customer_id, "email_": email})
        if name is not None:
            self._db.run(_SET_NAME, {"customer": customer_id, "name_": name})

    def anonymise(self, customer_id: str, reference_id: str) -> None:
        """Take away who it is: another reference id, no name, no address, no Stripe customer. What it had stays."""
        self._db.run(_ANONYMISE, {"customer": customer_id, "reference": reference_id})

    def set_plan(self, customer_id: str, plan: str | None, until: Instant) -> None:
        """Set the plan that is live, and raise `config_epoch`."""
        self._db.run(_SET_PLAN, {"customer": customer_id, "plan_": plan, "until": until})

    def page(self, *, plan: str | None, limit: int, after: str | None) -> Sequence[CustomerRow]:
        """Customers in the order of their ids."""
        statement = _PAGES.given(plan=plan)
        rows = self._db.all(statement, {"after": after or "", "limit": limit, "plan_": plan})
        return [read_customer(row) for row in rows]
