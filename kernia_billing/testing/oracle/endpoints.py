"""The endpoints of the installed `stripe` package: method and path template to the TypedDict of its parameters.

Service modules are read by `ast`, nothing in them is executed, and only those are parsed whose text holds a path that
could match.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from attrs import define, field, frozen

_PATH = re.compile(r'"(/v[12]/[^"\s]*)"')
_PLACEHOLDER = re.compile(r"\\\{[^{}]*\\\}")

REMOVED = (
    (
        re.compile(r"^/v1/invoices/upcoming(/lines)?$"),
        "removed in 2025-03-31.basil; use POST /v1/invoices/create_preview",
    ),
    (
        re.compile(r"^/v1/subscription_items/[^/]+/usage_record"),
        "removed in 2025-03-31.basil; use billing meters and meter events",
    ),
)
"""Paths that are gone from the API although they still fit a template with a placeholder."""


@frozen(slots=False)
class Endpoint:
    """One call of the API as the official package makes it."""

    method: str
    template: str
    params: str | None
    params_module: str | None
    service: str
    function: str
    base: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a concrete path."""
        return _template_pattern(self.template)


@define
class Endpoints:
    """All endpoints under a package folder, parsed file by file when first asked for."""

    folder: Path
    _files: dict[Path, list[re.Pattern[str]]] = field(factory=dict[Path, list[re.Pattern[str]]], init=False)
    _parsed: dict[Path, list[Endpoint]] = field(factory=dict[Path, list[Endpoint]], init=False)

    def __attrs_post_init__(self) -> None:
        for file in sorted(self.folder.rglob("*_service.py")):
            paths = set(_PATH.findall(file.read_text(encoding="utf-8")))
            self._files[file] = [_template_pattern(path) for path in sorted(paths)]

    def all(self) -> list[Endpoint]:
        """Every endpoint; parses every service module."""
        return [endpoint for file in self._files for endpoint in self._of(file)]

    def matching(self, path: str) -> list[Endpoint]:
        """The endpoints, of any method, whose template fits `path`."""
        files = [file for file, patterns in self._files.items() if any(p.match(path) for p in patterns)]
        return [endpoint for file in files for endpoint in self._of(file) if endpoint.pattern.match(path)]

    def _of(self, file: Path) -> list[Endpoint]:
        if file not in self._parsed:
            self._parsed[file] = list(_endpoints_in(file, self.folder))
        return self._parsed[file]


def _template_pattern(template: str) -> re.Pattern[str]:
    return re.compile(f"^{_PLACEHOLDER.sub('([^/]+)', re.escape(template))}$")


def _endpoints_in(file: Path, folder: Path) -> Iterator[Endpoint]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe.params")
        for alias in node.names
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for call in _request_calls(function):
                method, template = _constant(call.args[0]), _constant(call.args[1])
                if method and template:
                    params = _params_name(function)
                    yield Endpoint(
                        method=method.upper(),
                        template=template,
                        params=params,
                        params_module=modules.get(params or ""),
                        service=str(file.relative_to(folder)),
                        function=function.name,
                        base=_base_address(call),
                    )


def _request_calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for call in ast.walk(function):
        named = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr
        if named in ("_request", "_request_stream") and isinstance(call, ast.Call) and len(call.args) >= 2:
            yield call


def _base_address(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "base_address":
            return _constant(keyword.value) or "api"
    return "api"


def _constant(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _constant(node.func.value)
    return None


def _params_name(function: ast.FunctionDef) -> str | None:
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if argument.arg == "params" and argument.annotation is not None:
            names = re.findall(r"\b([A-Z]\w*Params)\b", ast.unparse(argument.annotation))
            return names[0] if names else None
    return None
