"""The response classes of the installed `stripe` package, read by `ast`; nothing in them is executed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

_OBJECT_NAME = re.compile(r"OBJECT_NAME: ClassVar\[\s*Literal\[\s*\"([^\"]+)\"", re.MULTILINE)


class ResponseClass:
    """A class of the package with the wire names of its fields, and the classes nested in it."""

    def __init__(self, node: ast.ClassDef, module: Module, parent: ResponseClass | None = None) -> None:
        self.name, self.module, self.parent = node.name, module, parent
        self.inner: dict[str, ResponseClass] = {}
        self.fields: dict[str, ast.expr] = {}
        self.optional: frozenset[str] = frozenset()
        self.object_name: str | None = None
        renamed: dict[str, str] = {}
        for child in node.body:
            if isinstance(child, ast.ClassDef):
                self.inner[child.name] = ResponseClass(child, module, self)
            elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                self._field(child.target.id, child.annotation)
            elif isinstance(child, ast.Assign) and _assigns(child, "_field_remappings"):
                renamed = ast.literal_eval(child.value)
        self.fields = {renamed.get(name, name): annotation for name, annotation in self.fields.items()}
        self.optional = frozenset(name for name, annotation in self.fields.items() if _is_optional(annotation))

    def _field(self, name: str, annotation: ast.expr) -> None:
        if name == "OBJECT_NAME":
            names = [n.value for n in ast.walk(annotation) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            self.object_name = names[-1] if names else None
        elif not name.startswith("_"):
            self.fields[name] = annotation

    def find(self, name: str) -> ResponseClass | None:
        """The class that `name` means in the body of this one: nested, enclosing, of the module or imported."""
        scope: ResponseClass | None = self
        while scope is not None:
            if name in scope.inner:
                return scope.inner[name]
            if scope.name == name and scope.parent is None:
                return scope
            scope = scope.parent
        return self.module.find(name)


class Module:
    """One module of the package."""

    def __init__(self, path: Path, library: ResponseClasses) -> None:
        self._library = library
        self._imports: dict[str, tuple[str, str]] = {}
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe."):
                target = f"{node.module.removeprefix('stripe.').replace('.', '/')}.py"
                self._imports.update({alias.asname or alias.name: (target, alias.name) for alias in node.names})
        self.classes = {node.name: ResponseClass(node, self) for node in tree.body if isinstance(node, ast.ClassDef)}

    def find(self, name: str) -> ResponseClass | None:
        """A class of the module, or one that it imports."""
        if name in self.classes:
            return self.classes[name]
        target, original = self._imports.get(name, ("", ""))
        module = self._library.module(target) if target else None
        return module.classes.get(original) if module is not None else None


class ResponseClasses:
    """The classes by the `object` they stand for. A module is parsed when something in it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, Module | None] = {}
        self._holders: dict[str, str] = {}
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder).as_posix()
            if not relative.startswith("params/") and not relative.endswith(("_service.py", "__init__.py")):
                for name in _OBJECT_NAME.findall(path.read_text(encoding="utf-8")):
                    self._holders.setdefault(name, relative)

    def names(self) -> list[str]:
        """The object names that there is a class for."""
        return sorted(self._holders)

    def of(self, object_name: str) -> ResponseClass | None:
        """The class of objects whose `object` is so."""
        holder = self.module(self._holders[object_name]) if object_name in self._holders else None
        if holder is None:
            return None
        return next((c for c in holder.classes.values() if c.object_name == object_name and c.fields), None)

    def event(self, type: str) -> ResponseClass | None:
        """The class of the v2 API's events of that type, which has only the fields that others do not share."""
        holder = self.module(f"events/_{re.sub(r'[^a-z0-9]', '_', type)}_event.py")
        classes = holder.classes.values() if holder is not None else ()
        return next((found for found in classes if found.name.endswith("Event") and "type" in found.fields), None)

    def module(self, relative: str) -> Module | None:
        """The module of that path below the package, if there is one."""
        if relative not in self._modules:
            path = self._folder / relative
            self._modules[relative] = Module(path, self) if path.is_file() else None
        return self._modules[relative]


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _is_optional(annotation: Any) -> bool:
    return ast.unparse(annotation).startswith(("Optional[", "ClassVar"))
