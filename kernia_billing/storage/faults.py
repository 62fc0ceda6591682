"""What an error of a database means: which may be tried again, which is a taken key, and which is for people."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import exc

from ..errors import BillingError, ConfigError, GuardError, Unavailable
from ..ports.store import DuplicateKey

Reason = Literal["conflict", "busy", "lost"]
Kind = Literal["duplicate", "conflict", "disconnected", "missing", "refused", "failed"]

# SQLite: result codes (sqlite.org/rescode.html). The low byte is the primary code.
_SQLITE_PRIMARY: dict[int, Kind] = {5: "conflict", 6: "conflict", 18: "refused", 19: "refused", 20: "refused"}
_SQLITE_UNIQUE = (2067, 1555, 2579)
# PostgreSQL: SQLSTATE (appendix A of its manual).
_SQLSTATES: dict[str, Kind] = {
    "23505": "duplicate",
    "40001": "conflict",
    "40P01": "conflict",
    "55P03": "conflict",
    "42P01": "missing",
}
_SQLSTATE_CLASSES: dict[str, Kind] = {"22": "refused", "23": "refused"}
# MySQL and MariaDB: server error numbers. 1020 is MariaDB's "record has changed" under snapshot isolation.
_MYSQL: dict[int, Kind] = {
    1062: "duplicate",
    1586: "duplicate",
    1020: "conflict",
    1205: "conflict",
    1213: "conflict",
    3572: "conflict",
    1146: "missing",
    **dict.fromkeys((1048, 1264, 1364, 1366, 1406, 1452, 1690, 3819, 4025), "refused"),
}


class Again(Exception):
    """A try came to nothing and left nothing: the unit may be run again, whole.

    `reason` is "conflict" (another transaction), "busy" (the database was waited for already) or "lost" (the
    connection).
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason: Reason = reason


def kind_of(error: exc.DBAPIError) -> Kind:
    """What an error means."""
    if error.connection_invalidated:
        return "disconnected"
    driver: Any = error.orig
    code = _code(driver)
    if isinstance(code, str):
        return _SQLSTATES.get(code) or _SQLSTATE_CLASSES.get(code[:2], "failed")
    if getattr(driver, "sqlite_errorcode", None) is None:
        return _MYSQL.get(code, "failed")
    if code in _SQLITE_UNIQUE:
        return "duplicate"
    if code == 1 and "no such table" in str(driver):
        return "missing"
    return _SQLITE_PRIMARY.get(code & 0xFF, "failed")


def _code(driver: Any) -> int | str:
    """The database's own number for an error; 0 where it has none."""
    arguments = getattr(driver, "args", ())
    if arguments and type(arguments[0]) is int:
        return arguments[0]
    for name in ("sqlite_errorcode", "sqlstate", "pgcode"):
        if (code := getattr(driver, name, None)) is not None:
            return code  # type: ignore[no-any-return]  # drivers are not typed
    return 0


class Translating:
    """Raises what callers get for an error, without the original, whose text may hold parameters."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and (meaning := translated(error)) is not error:
            raise meaning from None


translating = Translating()


def translated(error: Exception) -> Exception:
    """The error that callers get for one of SQLAlchemy's; others stay as they are.

    No message has a statement or a parameter in it: they may be personal data.
    """
    if isinstance(error, exc.DBAPIError):
        return _translated(error)
    if isinstance(error, exc.StatementError) and isinstance(error.orig, BillingError):
        return error.orig
    if isinstance(error, exc.TimeoutError):
        return Unavailable("Every database connection is in use")
    if isinstance(error, OSError):
        return Unavailable("The database cannot be reached")
    return error


def _translated(error: exc.DBAPIError) -> Exception:
    what = f"{type(error.orig).__name__} {_code(error.orig)}"
    match kind_of(error):
        case "duplicate":
            return DuplicateKey()
        case "conflict":
            return Again("conflict")
        case "disconnected":
            return Again("lost")
        case "missing":
            return ConfigError(["database: the billing tables are missing, run `kernia-billing db upgrade`"])
        case "refused":
            return GuardError(f"The database refused a value ({what})")
        case "failed":
            return Unavailable(f"The database failed ({what})")
