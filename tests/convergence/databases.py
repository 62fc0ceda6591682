"""Databases for one life after the other: a new SQLite file each, or one on a server that is emptied in between."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from attrs import define, field
from sqlalchemy import create_engine

from kernia_billing.storage.tables import metadata
from tests.conftest import FOLDER_VARIABLE
from tests.harness.tables import make_tables

_template: list[Path] = []


@define(eq=False)
class LifeDatabase:
    """A database with the tables and nothing in them; `server` is the URL of one on a server."""

    server: str | None = None
    url: str = field(init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.server is not None:
            self.url = self.server
            return
        self._folder = tempfile.TemporaryDirectory(dir=os.environ[FOLDER_VARIABLE])
        path = Path(self._folder.name, "billing.sqlite")
        shutil.copyfile(_empty_file(), path)
        self.url = f"sqlite:///{path}"

    def drop(self) -> None:
        """Remove the file, or what is in the tables."""
        if self._folder is not None:
            self._folder.cleanup()
            return
        engine = create_engine(self.url)
        with engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        engine.dispose()


def _empty_file() -> Path:
    """An SQLite file with the tables, made once."""
    if not _template:
        folder = tempfile.TemporaryDirectory(dir=os.environ[FOLDER_VARIABLE])
        atexit.register(folder.cleanup)
        path = Path(folder.name, "empty.sqlite")
        engine = create_engine(f"sqlite:///{path}")
        make_tables(engine)
        engine.dispose()
        _template.append(path)
    return _template[0]
