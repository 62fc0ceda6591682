"""`kernia-billing db` on real databases."""

from __future__ import annotations

import sys
import types

import pytest
from click.testing import CliRunner

from kernia_billing import Billing, Plan
from kernia_billing.cli import main


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["db", *arguments])
    return result.exit_code, result.output


def test_upgrade_current_check(engine_url: str) -> None:
    """A new database is brought up to date once; then it is as it should be."""
    assert (0, "no billing tables\n") == _run("current", "--database", engine_url)
    assert 1 == _run("check", "--database", engine_url)[0]

    code, told = _run("upgrade", "--database", engine_url)
    assert (0, True) == (code, told.startswith("nothing →")), told
    code, told = _run("upgrade", "--database", engine_url)
    assert (0, True) == (code, "already" in told), told

    assert (0, "the billing tables are as they should be\n") == _run("check", "--database", engine_url)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_sql(dialect: str) -> None:
    """The statements can be read before anybody runs them."""
    code, told = _run("sql", dialect)

    assert 0 == code
    assert "CREATE TABLE IF NOT EXISTS billing_customer" in told

    code, told = _run("sql", dialect, "--since", "0001")
    assert 0 == code
    assert "CREATE TABLE billing_customer (" not in told
    assert "CREATE TABLE IF NOT EXISTS billing_lease" in told


def test_the_database_of_an_application(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--app` names the object that the application uses."""
    shop = types.ModuleType("shop_for_cli")
    shop.billing = Billing(database=sqlite_url, plans=[Plan("free")])  # type: ignore[attr-defined]  # the module has none
    monkeypatch.setitem(sys.modules, "shop_for_cli", shop)

    assert 0 == _run("upgrade", "--app", "shop_for_cli:billing")[0]
    assert 0 == _run("check", "--app", "shop_for_cli:billing")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["current"], "--database"),
        (["current", "--app", "nothing"], "module:attribute"),
        (["current", "--app", "no_such_module:billing"], "no_such_module"),
        (["current", "--database", "oracle://x"], "database"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], told: str) -> None:
    """A mistake ends with a sentence and not with a traceback."""
    code, output = _run(*arguments)

    assert 0 != code
    assert told in output
    assert "Traceback" not in output
