"""Serve the demo on loopback: a database in a temporary directory, which is gone when Ctrl-C ends it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

HOST = "127.0.0.1"
MORE_PORTS = 20


def main() -> None:
    """Start, print the address, serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="A small SaaS with plans, checkout and limits.")
    parser.add_argument("--port", type=int, default=8000, help="the first port to try (default: %(default)s)")
    first = parser.parse_args().port
    signal.signal(signal.SIGTERM, leave)
    with (
        suppress(KeyboardInterrupt),
        closing(listen(first)) as listener,
        tempfile.TemporaryDirectory(prefix="kernia-demo-", ignore_cleanup_errors=True) as folder,
    ):
        serve(listener, Path(folder))
    print("\nGoodbye.")


def leave(*_: object) -> None:
    """End as Ctrl-C does, with everything cleaned up."""
    raise KeyboardInterrupt


def listen(first: int) -> socket.socket:
    """A listening socket on the first free port from `first` on."""
    for port in range(first, min(first + MORE_PORTS, 65_536)):
        try:
            return socket.create_server((HOST, port))
        except OSError as error:
            print(f"Port {port} cannot be used ({error.strerror}).", file=sys.stderr)
    sys.exit("Name a free port: python -m demo --port 9000")


def serve(listener: socket.socket, folder: Path) -> None:
    """Load the application, which asks the environment where it is, and serve it."""
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    os.environ["DEMO_URL"] = url
    os.environ["DEMO_DATABASE"] = f"sqlite:///{folder / 'demo.sqlite'}"
    from werkzeug.serving import make_server

    from demo.app import app, billing, engine

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with closing(billing), make_server(HOST, 0, app, threaded=True, fd=listener.fileno()) as server:
        print(f"Pigeon, a demo of kernia_billing: {url}", "Ctrl-C ends it.", sep="\n", flush=True)
        server.serve_forever()
    engine.dispose()


if __name__ == "__main__":
    main()
