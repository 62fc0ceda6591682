"""Every command as a process on a real database and a simulated Stripe: answers, JSON, exit codes, the audit log."""

from __future__ import annotations

import getpass
import json

import pytest

from kernia_billing.domain.answers import AuditEntry
from kernia_billing.operations.event_types import HANDLED, HANDLED_THIN
from kernia_billing.ports.actor import actor_of
from kernia_billing.testing import Fault
from tests.cli.stand import Stand


@pytest.mark.parametrize("asynchronous", ["", "1"])
def test_jobs_run_on_the_object_of_the_application(stand: Stand, asynchronous: str) -> None:
    """What waits is worked on and the application's own hook hears of it, whichever facade it has."""
    url = stand.url.replace("sqlite:", "sqlite+aiosqlite:") if asynchronous else stand.url
    for number in range(3):
        stand.post(number)
    told = stand.run("jobs", "run", "--json", SHOP_ASYNC=asynchronous, SHOP_DATABASE=url).json
    assert (told["counts"]["webhooks"], told["counts"]["events"], told["failed"]) == (3, 3, {})
    assert len(stand.heard()) == 3
    assert "webhooks: 0" in stand.run("jobs", "run", SHOP_ASYNC=asynchronous, SHOP_DATABASE=url).out


def test_webhooks_are_looked_at_and_repeated(stand: Stand) -> None:
    """List, health, replay of one and of many, retry: each says what it did, and who did is in the audit log."""
    stand.stripe.faults.append(Fault("status", 400, path="/v1/products/prod_bad", times=None))
    good, bad = stand.post(1), stand.post(2, "prod_bad")
    stand.billing.jobs.run()

    listed = stand.run("webhooks", "list", "--json").rows
    assert [(each["id"], each["status"]) for each in listed] == [(bad, "failed"), (good, "processed")]
    assert stand.run("webhooks", "list", "--status", "failed", "--type", "product.*", "--json").rows == listed[:1]
    table = stand.run("webhooks", "list", "--limit", "1").out
    assert bad in table
    assert good not in table
    health = stand.run("webhooks", "health", "--json").json
    assert (health["counts"], health["dead"]) == ({"failed": 1, "processed": 1}, 0)

    assert "STRIPE_REFUSED" in stand.run("webhooks", "replay", bad, code=1).err
    assert stand.run("webhooks", "replay", good, "--json").json == {"event_id": good, "status": "applied"}
    stand.stripe.faults.clear()
    assert stand.run("webhooks", "retry", "--json").json == {"queued": 1}
    assert stand.run("webhooks", "replay", "--type", "product.*", "--since", "2020-01-01", "--json").json == {
        "queued": 1
    }
    told = json.loads(stand.run("webhooks", "replay", "evt_none", "--json", code=1).err)
    assert told["error"]["code"] == "EVENT_NOT_FOUND"
    assert "give the ids" in stand.run("webhooks", "replay", code=2).err
    assert "must be a time" in stand.run("webhooks", "list", "--since", "soon", code=2).err

    written: list[AuditEntry] = list(stand.billing.audit())
    assert {each.actor for each in written} == {actor_of("cli", getpass.getuser())}
    rows = stand.run("audit", "--json").rows
    assert [each["id"] for each in rows] == [each.id for each in written]
    assert [each["action"] for each in rows].count("webhook.replayed") >= 2
    assert stand.run("audit", "nobody").err == "no changes\n"


def test_the_endpoint_is_made_once(stand: Stand) -> None:
    """It is subscribed to what is handled, its secret is shown once, and a check finds nothing."""
    missing = stand.run("webhooks", "check", "--json", code=1).json
    assert [each["severity"] for each in missing["findings"]] == ["error"]
    made = stand.run("webhooks", "create", "--json").json
    assert made["created"]
    assert made["secret"].startswith("whsec_")
    assert made["url"] == "https://shop.example/api/auth/stripe/webhook"
    assert made["events"] == list(HANDLED)
    again = stand.run("webhooks", "create", "--yes", "--json").json
    assert (again["id"], again["created"], again["secret"]) == (made["id"], False, None)
    assert len(stand.account.get("/v1/webhook_endpoints")["data"]) == 1
    assert stand.run("webhooks", "check").out == "all events reach us\n"
    told = stand.run("webhooks", "create", "--url", "https://other.example/hook")
    assert told.out.splitlines()[1].startswith("whsec_")
    assert "https://other.example/hook" in told.err

    stand.account.post(f"/v1/webhook_endpoints/{made['id']}", {"enabled_events[0]": "invoice.paid"})
    assert "not subscribed" in stand.run("webhooks", "check", code=1).out


def test_an_endpoint_whose_secret_was_lost_is_told_of(stand: Stand) -> None:
    """Stripe made it, and its answer was lost: it is found, and said where its secret is."""
    lost = Fault("status", 500, method="POST", path="/v1/webhook_endpoints", times=None, apply=True)
    stand.stripe.faults.append(lost)
    told = stand.run("webhooks", "create", "--json")
    stand.stripe.faults.clear()
    (made,) = stand.account.get("/v1/webhook_endpoints")["data"]
    assert (told.json["id"], told.json["created"], told.json["secret"]) == (made["id"], True, None)
    assert "dashboard" in told.err


def test_the_types_to_subscribe_to(stand: Stand) -> None:
    """They are printed one a line, without an application."""
    assert tuple(stand.run("webhooks", "events", KERNIA_BILLING_APP="").out.split()) == HANDLED
    assert tuple(stand.run("webhooks", "events", "--thin").out.split()) == HANDLED_THIN


def test_everything_is_compared_with_stripe(stand: Stand) -> None:
    """Customers from elsewhere are adopted after a dry run, the rest is imported, and then nothing differs."""
    mine = stand.account.customer(**{"metadata[userId]": "ann"})
    other = stand.account.customer()
    stand.account.buy("price_pro", customer=mine)

    dry = stand.run("sync", "customers", "--dry-run", "--json").json
    assert [each["stripe_customer_id"] for each in dry["adopted"]] == [mine]
    assert {each["stripe_customer_id"]: each["reason"] for each in dry["left"]}[other] == "no_metadata"
    assert stand.billing.customers.get("ann") is None
    (stand.folder / "whose.json").write_text(json.dumps({other: "bob"}))
    told = stand.run("sync", "customers", "--mapping", "whose.json").out
    assert f"{mine} adopted by ann: 1 subscriptions" in told
    assert f"{other} adopted by bob" in told
    (stand.folder / "whose.json").write_text("[]")
    assert "--mapping" in stand.run("sync", "customers", "--mapping", "whose.json", code=2).err

    report = stand.run("sync", "all", "--json")
    assert report.json["ok"]
    assert report.json["kinds"]["subscription"]["seen"] == 1
    assert "subscription: " in report.err
    assert stand.run("sync", "catalog").out.startswith("product: ")
    assert stand.run("sync", "subscriptions", "--json").json["kinds"]["subscription"]["unchanged"] == 1
    assert stand.run("sync", "reference", "ann", "--json").json["ok"]
    subscription = stand.billing.subscriptions.list("ann")[0]
    assert stand.run("sync", "object", "subscription", str(subscription.stripe_id)).out == "applied\n"
    assert stand.billing.check("ann", "projects", 5)


def test_what_was_missed_is_found(stand: Stand) -> None:
    """The drift report says what differs and changes nothing; reconcile heals it; the doctor looks at all of it."""
    stand.billing.catalog.sync()
    customer = stand.billing.customers.ensure("ann").stripe_id
    assert customer is not None
    stand.account.buy("price_pro", customer=customer)
    missed = stand.run("reconcile", "--dry-run", "--json", code=1).json
    assert not missed["ok"]
    assert missed["drift"]["events_missed"] > 0
    assert stand.run("reconcile", "--json").json["events"] > 0
    stand.run("jobs", "run")
    assert stand.run("reconcile", "--dry-run").out == "nothing differs\n"
    assert stand.billing.check("ann", "projects", 5)
    diagnosis = stand.run("doctor", "--json").json
    assert (diagnosis["ok"], len(diagnosis["checks"]) > 10) == (True, True)
    told = stand.run("doctor", "--with-stripe", code=1)  # there is no endpoint
    assert "webhooks.endpoint" in told.out


def test_meters(stand: Stand) -> None:
    """Nothing was reported, so nothing is listed, and nothing can be repeated."""
    assert stand.run("meters", "list").err == "no such events\n"
    assert stand.run("meters", "health", "--json").json["rejected"] == 0
    assert "METER_EVENT_NOT_FOUND" in stand.run("meters", "retry", "usage_1", code=1).err


def test_mistakes_are_explained(stand: Stand) -> None:
    """Each mistake is one line, and its exit code says whether to try again."""
    for app, said in (
        ("", "--app"),
        ("shop", "module:attribute"),
        ("shops:billing", "shops"),
        ("shop:bill", "bill"),
        ("shop:nothing", "is no Billing"),
    ):
        ended = stand.run("doctor", KERNIA_BILLING_APP=app, code=2)
        assert said in ended.err.splitlines()[-1]
    assert stand.run("jobs", "run", KERNIA_BILLING_APP="shop:config").code == 0
    stand.stripe.faults.append(Fault("status", 401, path="/v1/products", times=None))
    assert "STRIPE_AUTHENTICATION" in stand.run("sync", "catalog", code=2).err
    stand.stripe.faults.clear()
    down = stand.run("sync", "catalog", SHOP_STRIPE="http://127.0.0.1:9", code=3)
    assert down.out == ""
    assert down.err.startswith("Error: ")
    nowhere = stand.run("webhooks", "list", "--json", SHOP_DATABASE="sqlite:////nowhere/at/all.db", code=3)
    assert json.loads(nowhere.err)["error"]["code"] == "UNAVAILABLE"
