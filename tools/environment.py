"""Make a virtual environment for one dependency group of pyproject.toml, once, and print the path of its Python.

    python tools/environment.py test        →  .venv/test-3.11/bin/python

Needs nothing but Python and the `venv` and `pip` that come with it. The environment is made again when the Python
behind it is another, and brought up to date when what pyproject.toml says about dependencies or packaging changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main(group: str) -> None:
    """Make or refresh the environment of `group`; everything but the answer goes to standard error."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    home = ROOT / ".venv" / f"{group}-{sys.version_info.major}.{sys.version_info.minor}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = home / "stamp.json"
    interpreter, content = sys.version + sys.base_prefix, digest(project, group)
    made: dict[str, str] = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    if made != {"interpreter": interpreter, "content": content}:
        print(f"preparing {home.relative_to(ROOT)}", file=sys.stderr)
        stamp.unlink(missing_ok=True)
        if made.get("interpreter") != interpreter:
            run(sys.executable, "-m", "venv", "--clear", str(home))
        quietly = ["--quiet", "--disable-pip-version-check"]
        if not sys.dont_write_bytecode:
            # Most modules of a dependency are never imported: those that are, Python compiles then.
            quietly.append("--no-compile")
        run(str(python), "-m", "pip", "install", *quietly, *arguments(project, group))
        stamp.write_text(json.dumps({"interpreter": interpreter, "content": content}), encoding="utf-8")
    print(python.relative_to(ROOT))


def digest(project: Mapping[str, Any], group: str) -> str:
    """Tells whether an environment is up to date: a hash of all that decides what is installed in it."""
    relevant = [project["project"], project["build-system"], project["tool"]["hatch"], arguments(project, group)]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def arguments(project: Mapping[str, Any], group: str) -> list[str]:
    """The arguments of `pip install` for `group`; the project itself is installed from here, editable."""
    name = project["project"]["name"]
    found: list[str] = []
    for requirement in requirements(project["dependency-groups"], group):
        if requirement == name or requirement.startswith(f"{name}["):
            found += ["--editable", f".{requirement.removeprefix(name)}"]
        else:
            found.append(requirement)
    return found


def requirements(groups: Mapping[str, list[Any]], group: str) -> Iterator[str]:
    """The requirements of `group` and of the groups that it includes (PEP 735)."""
    for entry in groups[group]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from requirements(groups, entry["include-group"])


def run(*command: str) -> None:
    """Run `command` at the root of the project; end this program if it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1])
