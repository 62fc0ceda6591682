"""The processes of the acceptance tests, and what a test sees of them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import httpx
from attrs import frozen

from tests.strictness import missing

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@contextmanager
def serving(*arguments: str, folder: Path | None = None) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a module by `counted` in a process of its own; gives the process and the first line that it prints.

    Ends it by SIGTERM, and fails when it does not end well or has warned of something. Its temporary files are in
    `folder`.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.acceptance.counted", *arguments]
    environment = os.environ if folder is None else {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first = _reader(process.stdout).readline()
        yield process, first
    finally:
        process.terminate()
        try:
            _, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, complaints) == (0, "")


@frozen
class Shop:
    """A running application of `shop.py`."""

    url: str

    @property
    def base(self) -> str:
        """Where the routes are."""
        return f"{self.url}/api/auth"

    def control(self, verb: str, **asked: object) -> dict[str, Any]:
        """Do something beside the client: see `shop.py`."""
        response = httpx.post(f"{self.url}/control/{verb}", json=asked, timeout=30)
        assert response.status_code == 200, response.text
        return cast("dict[str, Any]", response.json())

    def headers(self, name: str | None, *, origin: str | None = "") -> dict[str, str]:
        """What a browser of this person sends from a page of the shop; of another `origin`, or of none (None)."""
        signed_in = {} if name is None else {"cookie": f"better-auth.session_token={name}.sig"}
        return signed_in if origin is None else signed_in | {"origin": origin or self.url}


@contextmanager
def shop(kind: str, database: str, *trusted: str) -> Generator[Shop]:
    """Run the application of `shop.py` on a database; it answers pages of the `trusted` origins too."""
    with serving("tests.acceptance.shop", kind, database, *trusted) as (process, first):
        if not first:
            raise AssertionError(_reader(process.stderr).read())
        running = Shop(first.strip())
        yield running
        assert running.control("oracle")["violations"] == 0


class Client(ABC):
    """The official client, in front of a shop."""

    shop: Shop
    place: ClassVar[str]
    """Where it runs."""

    @abstractmethod
    def ask(self, text: str, name: str | None, *, origin: str | None = "") -> Any:
        """What a call returns to a person on a page of the shop, of another `origin`, or on none (None)."""

    def data(self, text: str, name: str) -> Any:
        """The data that a call returns to a person in a browser; fails if it is an error."""
        answer = self.ask(text, name)
        assert answer["error"] is None, answer["error"]
        return answer["data"]

    def error(self, text: str, name: str | None, *, origin: str | None = "") -> tuple[int, str, str]:
        """Status, code and message of the error that a call returns; fails if it is none."""
        answer = self.ask(text, name, origin=origin)
        assert answer["data"] is None, answer["data"]
        error = answer["error"]
        return error["status"], error["code"], error["message"]


@frozen
class OfficialClient(Client):
    """In a Node process."""

    place = "node"
    shop: Shop
    process: subprocess.Popen[str]

    def call(self, text: str, headers: Mapping[str, str]) -> Any:
        """What a call returns, `{data, error}`, with its Dates as datetimes. The headers go with every request."""
        question = json.dumps({"call": text, "headers": headers})
        print(question, file=self.process.stdin, flush=True)
        return returned(_reader(self.process.stdout).readline())

    def ask(self, text: str, name: str | None, *, origin: str | None = "") -> Any:
        """See `Client`."""
        return self.call(text, self.shop.headers(name, origin=origin))


@contextmanager
def official_client(shop: Shop, node: str) -> Generator[OfficialClient]:
    """Start the official client; it must be installed."""
    command = [node, str(HERE / "client.mjs"), shop.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield OfficialClient(shop, process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def install_client(npm: str) -> None:
    """Install what package-lock.json pins, unless that was done; one process of the run does it, the others wait."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".kernia-installed"
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        command = [npm, "ci", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            missing(f"npm cannot install the official client: {done.stderr[-500:]}")
        stamp.write_text(wanted)


def returned(answer: str) -> Any:
    """What `play` of player.mjs answers, with its Dates as datetimes; fails if the call threw."""
    read = json.loads(answer, object_hook=_dates)
    assert "threw" not in read, read["threw"]
    return read["returned"]


def _reader(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _dates(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value["$date"]) if "$date" in value else value
