"""billing_plan and billing_plan_feature: versions of plans, and what each of them allows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ..domain.instants import Instant
from ..domain.plan_items import PlanItem, PlanVersion
from . import tables
from .db import Noun, Shape
from .dialects import AnySelect, plain_insert
from .types import Row, text_param

_ITEM = Shape(PlanItem, tables.plan_feature, flags=("per_seat",), feature="feature_key")
_plan, _feature = tables.plan.c, tables.plan_feature.c
_VERSION = select(_plan.id, _plan.plan_key, _plan.version, _plan.content_hash)

_CURRENT = _VERSION.where(_plan.plan_key == text_param("key")).order_by(_plan.version.desc()).limit(1)
_BY_CONTENT = _VERSION.where(_plan.plan_key == text_param("key"), _plan.content_hash == text_param("content"))
_BY_ID = _VERSION.where(_plan.id == text_param("id"))
_ITEMS = _ITEM.select().where(_feature.plan_id == text_param("id")).order_by(_feature.feature_key)
_ADD = plain_insert(tables.plan)
_ADD_ITEM = plain_insert(tables.plan_feature)


class Plans(Noun):
    """The port of the same name."""

    __slots__ = ()

    def current(self, key: str) -> PlanVersion | None:
        """The newest version of a plan."""
        return self._version(_CURRENT, {"key": key})

    def by_content(self, key: str, content_hash: str) -> PlanVersion | None:
        """The version with this content."""
        return self._version(_BY_CONTENT, {"key": key, "content": content_hash})

    def by_id(self, plan_version_id: str) -> PlanVersion | None:
        """One version."""
        return self._version(_BY_ID, {"id": plan_version_id})

    def _version(self, statement: AnySelect, values: dict[str, Any]) -> PlanVersion | None:
        row: Row | None = self._db.one(statement, values)
        if row is None:
            return None
        id_, key, version, content_hash = row
        items = _ITEM.read_all(self._db.all(_ITEMS, {"id": id_}))
        return PlanVersion(id_, key, version, content_hash, tuple(items))

    def add(self, version: PlanVersion, *, title: str | None, now: Instant) -> None:
        """Insert a version with its items. Raises `DuplicateKey` where another process was first."""
        values = {
            "id": version.id,
            "plan_key": version.key,
            "version": version.version,
            "content_hash": version.content_hash,
            "title": title,
            "created_at": now,
        }
        self._db.run(_ADD, values)
        if version.items:
            self._db.run(_ADD_ITEM, [{"plan_id": version.id, **_ITEM.values(item)} for item in version.items])
