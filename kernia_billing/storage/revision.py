"""Which revision of the tables this code works with, and how a database is asked for its own."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, text

VERSION_TABLE = "billing_alembic_version"
HEAD = "0004"
"""The newest revision."""

version_table = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""The table as Alembic makes it."""

CURRENT = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a name of ours
"""Asks for the revision of a database that has the version table."""
