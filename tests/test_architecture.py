"""What keeps the layers apart: the core does nothing to the outside world, and what is public is documented."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kernia_billing"
CORE = ("domain", "ports", "operations", "http")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
FORBIDDEN_MODULES = frozenset(
    {"urllib.request"}.union(*(contract.get("forbidden_modules", ()) for contract in CONTRACTS))
)
FORBIDDEN_CALLS = frozenset(
    {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "open", "print", "input", "eval", "exec"}
)


def modules(*folders: Path) -> list[Path]:
    """The Python files under `folders`, in order."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported by an absolute name, wherever in the module that happens."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_forbidden(name: str) -> bool:
    """Whether `name` is a forbidden module or lies in one."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in FORBIDDEN_MODULES for length in range(1, len(parts) + 1))


def dotted(node: ast.expr) -> str:
    """The last two parts of what is called: "datetime.now" for `datetime.datetime.now`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value).rsplit('.', 1)[-1]}.{node.attr}"
    return ""


def impurities(tree: ast.Module) -> Iterator[str]:
    """What in a module reaches for the outside world."""
    for line, name in imported(tree):
        if is_forbidden(name):
            yield f"line {line} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in FORBIDDEN_CALLS:
            yield f"line {node.lineno} calls {dotted(node.func)}()"


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The public functions and classes, and their public methods, that have no docstring."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        decorators = {dotted(decorator).rsplit(".", 1)[-1] for decorator in node.decorator_list}
        if decorators & {"overload", "override", "setter"}:
            continue
        if ast.get_docstring(node) is None:
            yield f"line {node.lineno}: {prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{node.name}.")


@pytest.mark.parametrize("layer", CORE)
def test_core_is_pure(layer: str) -> None:
    """The core imports no I/O, event loop, thread or framework, and asks neither clock nor chance."""
    found = [
        f"{path.relative_to(ROOT)} {what}" for path in modules(PACKAGE / layer) for what in impurities(tree_of(path))
    ]

    assert [] == found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import asyncio", ["line 1 imports asyncio"]),
        ("def f():\n    from sqlalchemy import text", ["line 2 imports sqlalchemy.text"]),
        ("from urllib.request import urlopen", ["line 1 imports urllib.request.urlopen"]),
        ("import datetime\nx = datetime.datetime.now()", ["line 2 calls datetime.now()"]),
        ("from urllib.parse import urlsplit\nfrom .time import x\nclock.now()", []),
    ],
)
def test_impurities_are_seen(source: str, expected: list[str]) -> None:
    """The check of the core finds what it looks for, in any spelling, and nothing else."""
    assert expected == list(impurities(ast.parse(source)))


def test_public_functions_have_docstrings() -> None:
    """Whatever has a public name says what it does."""
    found = [
        f"{path.relative_to(ROOT)} {what}"
        for path in modules(PACKAGE, ROOT / "integrations")
        for what in undocumented(tree_of(path).body)
    ]

    assert [] == found


def test_modules_have_docstrings_and_postponed_annotations() -> None:
    """Every module that defines something opens with a sentence and `from __future__ import annotations`."""
    found = [
        str(path.relative_to(ROOT))
        for path in modules(PACKAGE, ROOT / "integrations")
        if (tree := tree_of(path)).body
        and (ast.get_docstring(tree) is None or (len(tree.body) > 1 and not _postpones_annotations(tree)))
    ]

    assert [] == found


def _postpones_annotations(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
