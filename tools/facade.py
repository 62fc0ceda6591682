"""Generate the package `_blocking` from the package `_aio`; with `--check`, only say whether it is current.

Every public coroutine of the async facade becomes a method of the same name, signature and docstring that drives it to
its end. Nothing else differs, so the two can never disagree.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "kernia_billing"
SOURCE = PACKAGE / "_aio"
TARGET = PACKAGE / "_blocking"

HEADER = '''"""{doc}

Generated from `_aio/{name}.py` by `make facade`: do not edit.
"""

from __future__ import annotations

{imports}

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import iterate_blocking, run_blocking
from .._service import bound
from ..compose import wire
from ..config import BillingConfig, BillingOptions
{domain}
'''
INIT = '''"""`Billing`, a module for every noun of it. Generated from `_aio` by `make facade`: do not edit."""

from __future__ import annotations

{imports}

__all__ = {names}
'''
NOT_TAKEN = ("__init__", "_open", "_end", "over", "given")
RENAMED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
TEXT = {
    "Billing for applications that run on asyncio. `Billing` has the same names for those that do not.": (
        "Billing for applications that do not run on asyncio. `AsyncBilling` has the same names for those that do."
    ),
    "The answer tells why, how much is left and when it resets; `if await billing.check(...)` reads as it should, and\n"
    "        a forgotten `await` raises instead of opening the gate.": (
        "The answer tells why, how much is left and when it resets; `if billing.check(...)` reads as it should."
    ),
}


def generate() -> Mapping[Path, str]:
    """The text of every module of the blocking facade."""
    modules = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.glob("*.py")) if path.stem != "__init__"}
    texts = {TARGET / path.name: _module(path.stem, tree) for path, tree in modules.items()}
    classes = {_name(n): path.stem for path, tree in modules.items() for n in tree.body if isinstance(n, ast.ClassDef)}
    init = INIT.format(
        imports="\n".join(f"from .{module} import {name}" for name, module in classes.items()), names=sorted(classes)
    )
    return texts | {TARGET / "__init__.py": _formatted(init)}


def _module(name: str, tree: ast.Module) -> str:
    imports = [n for n in tree.body if isinstance(n, ast.ImportFrom)]
    outside = [n for n in imports if n.level == 0 and n.module != "__future__"]
    domain = [n for n in imports if n.level == 2 and (n.module or "").startswith("domain")]
    nouns = [n for n in imports if n.level == 1]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    others = [n for n in tree.body if isinstance(n, ast.Assign)]
    text = HEADER.format(
        name=name,
        doc=(ast.get_docstring(tree) or "").replace("AsyncBilling", "Billing"),
        imports="\n".join(ast.unparse(n) for n in outside).replace("AsyncIterator", "Iterator"),
        domain="\n".join(ast.unparse(n) for n in (*domain, *nouns)),
    )
    parts = [text, *(ast.unparse(n) for n in others), *(_class(n) for n in classes)]
    return _formatted("\n\n".join(parts) + "\n")


def _name(node: ast.ClassDef) -> str:
    return "Billing" if node.name == "AsyncBilling" else node.name


def _class(node: ast.ClassDef) -> str:
    main = node.name == "AsyncBilling"
    lines = [f"class {_name(node)}:", _docstring(node, 4)]
    lines += ["    " + ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    if main:
        nouns = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        lines += [
            "    def __init__(",
            "        self, config: BillingConfig | None = None, /, **options: Unpack[BillingOptions]",
            "    ) -> None:",
            "        wiring = wire(config, options, asynchronous=False, billing=self)",
            "        self._wiring = wiring",
            "        self._inner = _aio.AsyncBilling.over(wiring)",
            *(f"        self.{noun} = {noun.capitalize()}(self._inner.{noun})" for noun in nouns),
        ]
    else:
        lines += [f"    def __init__(self, inner: _aio.{node.name}) -> None:", "        self._inner = inner"]
    for each in node.body:
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name not in NOT_TAKEN:
            lines.append(_method(each, main=main))
    return "\n".join(lines)


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef, *, main: bool) -> str:
    name = RENAMED.get(node.name, node.name)
    returns = "" if node.returns is None else ast.unparse(node.returns)
    for before, after in (("PendingContext[", "["), ("Pending[", "["), ("AsyncIterator[", "Iterator[")):
        returns = returns.replace(before, after)
    if returns.startswith("[") and returns.endswith("]"):
        returns = returns[1:-1]
    decorators = "".join(f"    @{ast.unparse(d)}\n" for d in node.decorator_list)
    head = f"{decorators}    def {name}({ast.unparse(node.args)}) -> {returns}:\n" + _docstring(node, 8)
    return head.rstrip() + "\n" + _body(node, name, main=main)


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, *, main: bool) -> str:
    if name == "__enter__":
        return "        return self"
    if name == "__exit__" and main:
        return "        self.close()"
    if name == "bind":
        return "        with bound(self._wiring, reference):\n            yield"
    if any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list):
        return f"        return self._inner.{node.name}"
    if any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in node.decorator_list):
        return f"        self._inner.{node.name} = {_arguments(node.args)}"
    call = f"self._inner.{node.name}({_arguments(node.args)})"
    returns = "" if node.returns is None else ast.unparse(node.returns)
    if returns.startswith("AsyncIterator["):
        return f"        return iterate_blocking({call})"
    if returns.startswith("PendingContext["):
        return f"        return {returns[len('PendingContext[') : -1]}(run_blocking({call}))"
    if returns.startswith("Pending["):
        return f"{_what_is_known(node)}        return run_blocking({call})"
    if isinstance(node, ast.AsyncFunctionDef):
        return f"        {'' if returns == 'None' else 'return '}run_blocking({call})"
    return f"        return {call}"


def _what_is_known(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """What the method finds out before it promises anything: an answer that is known needs no drive."""
    lines = [ast.unparse(each) for each in node.body if isinstance(each, ast.Assign)]
    return "".join(f"        {line}\n" for line in [*lines, "if known is not None: return known"]) if lines else ""


def _arguments(arguments: ast.arguments) -> str:
    given = [each.arg for each in arguments.args if each.arg != "self"]
    if arguments.vararg is not None:
        given.append(f"*{arguments.vararg.arg}")
    given += [f"{each.arg}={each.arg}" for each in arguments.kwonlyargs]
    return ", ".join(given)


def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, indent: int) -> str:
    text = ast.get_docstring(node, clean=False)
    if text is None:
        return ""
    for before, after in TEXT.items():
        text = text.replace(before, after)
    return f'{" " * indent}"""{text}"""\n'


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "--quiet"]
    arguments = ["--stdin-filename", str(TARGET / "module.py"), "-"]
    root = PACKAGE.parent
    for step in (["check", "--fix", "--select", "I,F401", *arguments], ["format", *arguments]):
        text = subprocess.run(
            [*command, *step], input=text, capture_output=True, text=True, check=True, cwd=root
        ).stdout
    return text


def main() -> int:
    """Write the modules, or compare them; 1 where they are not current."""
    texts = generate()
    known = {path: path.read_text() for path in TARGET.glob("*.py")}
    if "--check" in sys.argv:
        if known != texts:
            print("kernia_billing/_blocking is not what _aio says: run `make facade`")
        return int(known != texts)
    TARGET.mkdir(exist_ok=True)
    for path in known.keys() - texts.keys():
        path.unlink()
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
