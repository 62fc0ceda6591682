"""Every scenario of the contract has a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
NUMBERS = {*range(1, 189), *range(201, 282)}
"""Contract, section 6; there are none from 189 to 200."""


def _marked(tree: ast.AST) -> Iterator[int]:
    """The numbers in the decorators `@scenario(…)` of a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "scenario":
                yield from (each.value for each in mark.args if isinstance(each, ast.Constant))  # type: ignore[misc]  # they are numbers


def test_every_scenario_is_played() -> None:
    """No number is without a test, and no test names a number that the contract does not have."""
    played = {
        number
        for path in TESTS.rglob("test_*.py")
        if "node_modules" not in path.parts
        for number in _marked(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert sorted(NUMBERS - played) == []
    assert sorted(played - NUMBERS) == []
