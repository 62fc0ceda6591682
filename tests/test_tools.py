"""What the Makefile runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.environment import arguments, digest

PROJECT: dict[str, Any] = tomllib.loads(
    (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("group", sorted(PROJECT["dependency-groups"]))
def test_own_project_is_installed_from_the_checkout(group: str) -> None:
    """No environment takes kernia-billing from a registry; groups that ask for it get the checkout, editable."""
    found = arguments(PROJECT, group)

    assert [] == [argument for argument in found if argument.startswith("kernia-billing")]
    assert all(found[number - 1] == "--editable" for number, argument in enumerate(found) if argument.startswith("."))


def test_lint_tools_are_pinned() -> None:
    """A new release of a linter cannot turn an old commit red."""
    tools = [name for name in PROJECT["dependency-groups"]["lint"] if isinstance(name, str) and "types-" not in name]

    assert [] == [name for name in tools if "==" not in name]


def test_environment_is_refreshed_for_dependencies_only() -> None:
    """A change of dependencies changes the digest, one of the linters' settings does not."""
    before = digest(PROJECT, "test")
    other_settings = PROJECT | {"tool": PROJECT["tool"] | {"ruff": {}}}
    more = PROJECT | {"project": PROJECT["project"] | {"dependencies": []}}

    assert before == digest(other_settings, "test")
    assert before != digest(more, "test")
