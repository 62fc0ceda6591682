"""A real application in a folder, a simulated Stripe at a port, and the command as a process between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from attrs import define, field

from kernia_billing import Billing, Plan, Quantity
from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.server import SimulatorServer
from tests.cli.running import Ran, run
from tests.simulator.shop import Shop as Account
from tests.webhooks.shop import envelope

ROOT = Path(__file__).resolve().parents[2]
PLANS = (Plan("free"), Plan("pro", price_id="price_pro", features={"projects": Quantity(5)}))
SHOP = '''
"""An application: its billing object, and a hook that writes down what it hears."""

import os
import signal
import threading

from kernia_billing import AsyncBilling, Billing, BillingConfig, Plan, Quantity

config = BillingConfig(
    database=os.environ["SHOP_DATABASE"],
    stripe_key=os.environ["SHOP_KEY"],
    stripe_api_base=os.environ["SHOP_STRIPE"],
    stripe_webhook_secrets=[os.environ["SHOP_SECRET"]],
    base_url="https://shop.example",
    webhook_mode="worker",
    plans=[Plan("free"), Plan("pro", price_id="price_pro", features={"projects": Quantity(5)})],
)
billing = (AsyncBilling if os.environ.get("SHOP_ASYNC") else Billing)(config)
nothing = object()
heard = 0


def end():
    try:
        open(f"{os.getpid()}.signalled", "x").close()
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGTERM)


@billing.on()
def hear(event):
    global heard
    heard += 1
    with open("heard.txt", "a") as file:
        file.write(event.id + "\\n")
    if os.environ.get("SHOP_HANGS"):
        print("hanging", flush=True)
        threading.Event().wait()
    seconds = os.environ.get("SHOP_TERM_AFTER")
    if seconds and heard == 1:  # ask for the end at some point of the work that follows
        timer = threading.Timer(float(seconds), end)
        timer.daemon = True
        timer.start()
'''


@define(eq=False)
class Stand:
    """The folder of the application and everything that it talks to."""

    folder: Path
    url: str
    stripe: StripeSimulator
    account: Account
    billing: Billing
    server: SimulatorServer
    environment: dict[str, str] = field(factory=dict[str, str])

    def run(self, *arguments: str, code: int = 0, **environment: str) -> Ran:
        """Run the command to its end, which must be with this exit code and without a traceback."""
        ran = run(self.folder, {**self.environment, **environment}, arguments)
        assert "Traceback" not in ran.err, ran.err
        assert ran.code == code, ran
        return ran

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command in the folder of the application."""
        return self.start_on(subprocess.PIPE, *arguments, **environment)

    def start_on(self, stderr: int, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The same with its messages written to a file descriptor."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "kernia_billing.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def end(self, worker: subprocess.Popen[str]) -> None:
        """Send SIGTERM, unless the process has sent it to itself: a second one would cut it off."""
        try:
            (self.folder / f"{worker.pid}.signalled").touch(exist_ok=False)
        except FileExistsError:
            return
        worker.terminate()

    def post(self, number: int, product: str = "prod_1") -> str:
        """Let an event of a product come in, which a worker is to work on; gives its id."""
        id = f"evt_{number:05}"
        event = envelope("product.updated", {"object": "product", "id": product}, id)
        body = json.dumps(event).encode()
        self.billing.webhooks.receive(body, self.stripe.sign(body))
        return id

    def now(self) -> int:
        """UTC microseconds."""
        return int(time.time() * 1_000_000)

    def heard(self) -> list[str]:
        """The ids of the events that the application's hook was called with."""
        path = self.folder / "heard.txt"
        return path.read_text().split() if path.exists() else []


@contextmanager
def standing(url: str, folder: Path) -> Generator[Stand]:
    """An application on a database, and its Stripe."""
    stripe = StripeSimulator(deliver="manual", now=datetime.now(UTC), ticking=True)
    account = Account(stripe)
    server = SimulatorServer(stripe, host="127.0.0.1", port=0)
    server.serve_in_background()
    stripe.ensure_price("price_pro", interval="month", metered=False)
    billing = Billing(  # another process of the application: to Stripe nobody listens
        database=url,
        stripe_key=stripe.api_key,
        stripe_api_base=server.url,
        stripe_webhook_secrets=[stripe.webhook_secret],
        base_url="https://shop.example",
        webhook_mode="worker",
        plans=PLANS,
    )
    (folder / "shop.py").write_text(SHOP)
    environment = {
        "KERNIA_BILLING_APP": "shop:billing",
        "PYTHONPATH": str(ROOT),
        "SHOP_DATABASE": url,
        "SHOP_KEY": stripe.api_key,
        "SHOP_SECRET": stripe.webhook_secret,
        "SHOP_STRIPE": server.url,
    }
    with server, billing:
        try:
            yield Stand(folder, url, stripe, account, billing, server, environment)
        finally:
            server.stop()
