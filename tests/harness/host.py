"""A host application: a table of its own in the database that holds the billing tables, and its transactions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager

from sqlalchemy import Column, Connection, Engine, Insert, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker

metadata = MetaData()
project = Table("host_project", metadata, Column("id", Integer, primary_key=True), Column("name", String(100)))

Host = Connection | Session | scoped_session[Session]
AsyncHost = AsyncConnection | AsyncSession


def write(name: str) -> Insert:
    """The statement by which a host writes a row."""
    return project.insert().values(name=name)


def names(engine: Engine) -> list[str]:
    """The host's rows that are committed, as another connection sees them."""
    with engine.connect() as connection:
        found = sorted(str(name) for (name,) in connection.execute(select(project.c.name)))
        connection.rollback()
        return found


@contextmanager
def _connection(engine: Engine) -> Generator[Host]:
    with engine.connect() as connection:
        yield connection


@contextmanager
def _session(engine: Engine) -> Generator[Host]:
    with Session(engine) as session:
        yield session


@contextmanager
def _scoped_session(engine: Engine) -> Generator[Host]:
    registry = scoped_session(sessionmaker(engine))
    try:
        yield registry
    finally:
        registry.remove()


@asynccontextmanager
async def _async_connection(engine: AsyncEngine) -> AsyncGenerator[AsyncHost]:
    async with engine.connect() as connection:
        yield connection


@asynccontextmanager
async def _async_session(engine: AsyncEngine) -> AsyncGenerator[AsyncHost]:
    async with AsyncSession(engine) as session:
        yield session


Opens = Callable[[Engine], AbstractContextManager[Host]]
AsyncOpens = Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncHost]]
HOSTS: dict[str, Opens] = {"Connection": _connection, "Session": _session, "scoped_session": _scoped_session}
ASYNC_HOSTS: dict[str, AsyncOpens] = {"AsyncConnection": _async_connection, "AsyncSession": _async_session}
