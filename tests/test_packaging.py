"""What a user gets: the wheel, complete and nothing else, and an import that is cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [ROOT / path for path in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
HEAVY = ("alembic", "anyio", "asyncio", "cryptography", "fastapi", "flask", "httpx", "jinja2", "sqlalchemy", "stripe")

pytestmark = pytest.mark.xdist_group("packaging")


def run(*command: str | Path) -> str:
    """The output of a program that must succeed; it sees neither this checkout nor PYTHON variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=Path(sys.prefix), timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with our wheel; the dependencies are those of the test environment."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    scheme = sysconfig.get_preferred_scheme("prefix")
    paths = sysconfig.get_paths(scheme, vars={"base": str(home), "platbase": str(home)})
    python = Path(paths["scripts"], "python")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", wheel),
    )
    # A path named by a .pth file is searched, but the .pth files in it are not read: an editable install stays unseen.
    Path(paths["purelib"], "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of every package is in the wheel at its import path, migrations and typing marks included."""
    expected = {
        str(path.relative_to(package.parent))
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert expected == found
    assert {package.name for package in PACKAGES} == {name.split("/")[0] for name in found}


def test_every_package_is_typed(wheel: Path) -> None:
    """Each import package carries the mark by which type checkers read its annotations."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert [] == [package.name for package in PACKAGES if f"{package.name}/py.typed" not in names]


def test_licence_and_extras_are_in_the_metadata(wheel: Path) -> None:
    """The wheel carries its licence, and names the extras that the documentation names."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))

    assert any(name.endswith("licenses/LICENSE") for name in names)
    extras = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert {"postgresql", "mysql", "flask", "fastapi", "otel", "redis", "nats", "testing", "all"} == extras


@pytest.mark.parametrize("package", [package.name for package in PACKAGES])
def test_packages_import_from_the_wheel(installed: Path, package: str) -> None:
    """Each package imports from where it was installed, without the checkout."""
    place = run(installed, "-I", "-W", "error", "-c", f"import {package}; print({package}.__file__)").strip()

    assert Path(place).is_relative_to(installed.parents[1])


def test_every_module_imports_from_the_wheel(installed: Path) -> None:
    """No module of the library depends on something that only the checkout has."""
    names = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for package in PACKAGES
        for path in package.rglob("*.py")
        if "migrations" not in path.parts and path.stem not in {"__init__", "__main__"}
    ]
    script = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"

    run(installed, "-I", "-W", "error", "-c", script)


def test_import_is_cheap(installed: Path) -> None:
    """`import kernia_billing` loads neither a database, nor HTTP, nor an event loop, nor a framework."""
    script = "import json, sys, kernia_billing; print(json.dumps(sorted(sys.modules)))"

    loaded = json.loads(run(installed, "-I", "-c", script))

    assert [] == [name for name in loaded if name.split(".")[0] in HEAVY]


def test_names_are_cheap(installed: Path) -> None:
    """What an application names at its start loads nothing that belongs to a database or to HTTP, before it is used."""
    script = "import json, sys; from kernia_billing import Billing, Plan; print(json.dumps(sorted(sys.modules)))"

    loaded = json.loads(run(installed, "-I", "-c", script))

    assert [] == [name for name in loaded if name.split(".")[0] in {*HEAVY, "msgspec"} - {"asyncio"}]
