"""Files that hold configuration: found, read as plain data, and filled with environment variables.

Only data comes out of them: YAML is read by the safe loader, duplicate keys are refused in every format, and no
message repeats a line of a file, because secrets may stand in it.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from attrs import frozen

from .problems import Problems, Wrong

FOLDER_SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 1_048_576
MAX_DEPTH = 32
MAX_NODES = 20_000

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOML_LINE = re.compile(r"at line ([0-9]+), column ([0-9]+)")


@frozen
class Document:
    """What a file says. `name` is how problems call it, `folder` what relative paths in it start from."""

    name: str
    data: object
    folder: Path | None


def is_source(value: object) -> bool:
    """Whether the value names files: a text, a path, or a package resource (`importlib.resources.files(…)`)."""
    return isinstance(value, (str, os.PathLike, Traversable))


def read_documents(source: object, where: str, problems: Problems) -> list[Document]:
    """What the files say that a text, a path or a package resource names; those that cannot be read are problems.

    A text may be the path of a file or a folder, a pattern with `*`, or a `file://` URL. Of a folder the .yaml, .yml
    and .json files count, in the order of their names.
    """
    files = problems.read(where, _find, source, ())
    read = [_read(file, name, problems) for file, name in files]
    return [each for each in read if each is not None]


def _find(source: object) -> list[tuple[Traversable, str]]:
    try:
        if not isinstance(source, (str, os.PathLike)):
            resource = cast("Traversable", source)
            return list(_in(resource, resource.name))
        path = _path(os.fspath(cast("str | os.PathLike[str]", source)))
        if isinstance(path, list):
            return [(each, str(each)) for each in path]
        return list(_in(path, str(path)))
    except (OSError, ValueError):
        raise Wrong("cannot be read") from None


def _path(text: str | bytes) -> Path | list[Path]:
    if isinstance(text, bytes):
        raise Wrong("must be a text or a path of text")
    if text.startswith("file:"):
        from urllib.request import url2pathname

        url = urlsplit(text)
        if url.netloc not in ("", "localhost"):
            raise Wrong("must be a file on this machine")
        text = url2pathname(url.path)
    path = Path(text)
    if glob.has_magic(text) and not path.exists():
        found = sorted((Path(each) for each in glob.glob(text)), key=lambda each: each.name)  # noqa: PTH207 - Path.glob refuses absolute patterns
        if not found:
            raise Wrong("no file matches this pattern")
        return found
    return path


def _in(place: Traversable, name: str) -> Iterator[tuple[Traversable, str]]:
    if place.is_file():
        yield place, name
    elif place.is_dir():
        children = sorted((each for each in place.iterdir() if each.name.endswith(FOLDER_SUFFIXES)), key=_name)
        if not children:
            raise Wrong(f"is a folder without {', '.join(FOLDER_SUFFIXES)} files")
        for child in children:
            yield child, f"{name}/{child.name}"
    else:
        raise Wrong("there is no such file or folder")


def _name(file: Traversable) -> str:
    return file.name


def _read(file: Traversable, name: str, problems: Problems) -> Document | None:
    before = len(problems)
    data = problems.read(name, _parsed, file, None)
    filled = _Filled(name, problems).fill(data) if len(problems) == before else None
    if len(problems) != before:
        return None
    return Document(name, filled, file.parent if isinstance(file, Path) else None)


def _parsed(file: object) -> object:
    file = cast("Traversable", file)
    parse = _PARSERS.get(Path(file.name).suffix.lower())
    if parse is None:
        raise Wrong(f"must end in one of {', '.join(_PARSERS)}")
    return parse(_content(file))


def _content(file: Traversable) -> str:
    try:
        content = file.read_bytes()
    except OSError:
        raise Wrong("cannot be read") from None
    if len(content) > MAX_BYTES:
        raise Wrong("is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Wrong("is not UTF-8") from None


def parse_json(text: str) -> object:
    """What a JSON text says; an object with a member twice is refused."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Wrong(f"is not valid JSON at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise Wrong("is not valid JSON") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Wrong("has an object with the same member twice")
    return members


def _no_constant(name: str) -> object:
    raise Wrong(f"has {name}, which is not JSON")


class _Mark(Protocol):
    line: int
    column: int


def parse_yaml(text: str) -> object:
    """What a YAML 1.2 text says, one document of plain data."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        data: object = cast("Any", YAML(typ="safe", pure=True)).load(text)
    except MarkedYAMLError as error:
        what = "has a key twice" if isinstance(error, DuplicateKeyError) else "is not valid YAML"
        raise Wrong(f"{what}{_at(cast('Any', error).problem_mark)}") from None
    except (YAMLError, ValueError, RecursionError):
        raise Wrong("is not valid YAML") from None
    return data


def _at(mark: _Mark | None) -> str:
    return "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"


def _parse_toml(text: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_LINE.search(str(error))
        at = f" at line {match[1]}, column {match[2]}" if match else ""
        raise Wrong(f"is not valid TOML{at}") from None
    except RecursionError:
        raise Wrong("is not valid TOML") from None


_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".json": parse_json,
    ".toml": _parse_toml,
}


class _Filled:
    """Replaces `${VAR}` in every text by the environment variable; `$${` stands for `${`."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._nodes = 0

    def fill(self, data: object) -> object:
        try:
            return self._value(data, "", 0)
        except Wrong as wrong:
            self._problems.add(self._name, str(wrong))
            return None

    def _value(self, value: object, at: str, depth: int) -> object:
        self._nodes += 1
        # YAML's anchors can make a small file endless.
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise Wrong("is nested too deeply, or too large")
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda match: self._variable(match, at), value)
        if isinstance(value, Mapping):
            return dict(self._members(cast("Mapping[object, object]", value), at, depth))
        if isinstance(value, list):
            entries: Iterable[object] = cast("list[object]", value)
            return [self._value(each, f"{at}[{number}]", depth + 1) for number, each in enumerate(entries)]
        return value

    def _members(self, members: Mapping[object, object], at: str, depth: int) -> Iterator[tuple[str, object]]:
        for key, value in members.items():
            if isinstance(key, str):
                yield key, self._value(value, f"{at}.{key}" if at else key, depth + 1)
            else:
                self._add(at, "has a key that is not a text; put it in quotes")

    def _variable(self, match: re.Match[str], at: str) -> str:
        if match[0] == "$${":
            return "${"
        name = match[1]
        if not match[0].endswith("}") or not _VARIABLE.fullmatch(name):
            self._add(at, "has a ${ that is not followed by the name of a variable and }; write $${ to mean it")
        elif name not in os.environ:
            self._add(at, f"the environment variable {name} is not set")
        else:
            return os.environ[name]
        return ""

    def _add(self, at: str, text: str) -> None:
        self._problems.add(f"{self._name}: {at}" if at else self._name, text)
