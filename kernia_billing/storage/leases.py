"""billing_lease: work that one process does at a time."""

from __future__ import annotations

from sqlalchemy import case, update

from ..domain.instants import Instant
from ..domain.upkeep import Lease
from .db import Noun, Shape
from .dialects import change, insert_new
from .tables import lease as t
from .types import number_param, text_param

_SHAPE = Shape(Lease, t, until="held_until")
_IS_IT = t.c.name == text_param("this")
_NOW, _UNTIL, _WHO = number_param("now"), number_param("until_"), text_param("who")
_HAS_ENDED = (t.c.held_until <= _NOW) | (t.c.held_until > number_param("beyond"))
_STILL_OWN = (t.c.holder == _WHO) & (t.c.held_until > _NOW)
_IS_HELD = (t.c.token == number_param("token_")) & (t.c.holder != "") & (t.c.held_until > _NOW)

_GET = _SHAPE.select().where(_IS_IT)
_ADD = insert_new(t, "name")
_TAKE = change(
    update(t)
    .where(_IS_IT, _HAS_ENDED | (t.c.holder == _WHO))
    # MySQL assigns from left to right: the token is judged by the holder before.
    .ordered_values(
        (t.c.token, t.c.token + case((_STILL_OWN, 0), else_=1)),
        (t.c.holder, _WHO),
        (t.c.held_until, _UNTIL),
    ),
    _GET,
)
_RENEW = update(t).values(held_until=_UNTIL).where(_IS_IT, _IS_HELD)
_RELEASE = (
    update(t).values(holder="", held_until=0).where(_IS_IT, t.c.token == number_param("token_"), t.c.holder != "")
)


class Leases(Noun):
    """The port of the same name."""

    __slots__ = ()

    def acquire(self, name: str, holder: str, now: Instant, until: Instant) -> Lease | None:
        """Take a lease that is free, has ended, or is the holder's own already; None where another has it.

        One that ends more than two of the holder's own terms from now was taken by a clock that went wrong, and counts
        as ended. The token rises by one, except where the holder still has it: then only its end moves. `holder` names
        one running worker and no other, in this process or elsewhere.
        """
        beyond = until + (until - now)
        row = self._db.change(_TAKE, {"this": name, "who": holder, "now": now, "until_": until, "beyond": beyond})
        if row is not None:
            return _SHAPE.read(row)
        first = Lease(name, holder, 1, until)
        return first if self._db.insert_new(_ADD, _SHAPE.values(first)) else None

    def renew(self, name: str, token: int, now: Instant, until: Instant) -> bool:
        """Move the end of a lease that is held under this token; False where it has ended or was taken over."""
        return self._db.run(_RENEW, {"this": name, "token_": token, "now": now, "until_": until}) == 1

    def release(self, name: str, token: int) -> bool:
        """Give a lease back; False where somebody else has it now."""
        return self._db.run(_RELEASE, {"this": name, "token_": token}) == 1
