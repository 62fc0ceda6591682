"""Plan files, configuration files and the environment."""

from __future__ import annotations

import importlib.resources
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kernia_billing.config import BillingConfig
from kernia_billing.domain.buckets import Pool
from kernia_billing.domain.plans import Boolean, Credits, Feature, Metered, Plan, Quantity, TopUp, UsageLimit
from kernia_billing.errors import ConfigError

PLANS = (
    Plan("free", features={"projects": Quantity(1)}),
    Plan(
        "pro",
        price_id="price_m",
        annual_price_id="price_y",
        trial_days=14,
        features={
            "sso": Boolean(),
            "projects": Quantity(unlimited=True),
            "messages": Metered(10_000, reset="month", overage="free", meter="messages", overage_limit=50_000),
        },
    ),
    Plan(
        "team",
        price_id="price_base",
        seats=True,
        seat_price_id="price_seat",
        max_seats=50,
        proration_behavior="always_invoice",
        line_items={"price_setup": 1, "price_calls": None},
        features={"messages": Metered(2_000, per_seat=True)},
    ),
)
FEATURES = (Feature("messages", unit="message"), Feature("sso", title="Single sign-on"))

YAML = """
features:
  - {name: messages, unit: message}
  - {key: sso, title: Single sign-on}
plans:
  - name: free
    features: {projects: {kind: quantity, included: 1}}
  - name: pro
    price_id: ${STRIPE_PRICE_PRO}
    annual_price_id: ${STRIPE_PRICE_PRO_YEAR}
    trial_days: 14
    features:
      sso: {kind: boolean}
      projects: {kind: quantity, unlimited: true}
      messages: {kind: metered, included: 10000, reset: month, overage: free, meter: messages, overage_limit: 50000}
  - {name: team, price_id: price_base, seats: true, seat_price_id: price_seat, max_seats: 50,
     proration_behavior: always_invoice, line_items: [{price: price_setup, quantity: 1}, price_calls],
     features: {messages: {kind: metered, included: 2000, per_seat: true}}}
"""

# As in Better Auth's options and Kernia's documents: camelCase, every member of a feature in each of them.
KERNIA: dict[str, Any] = {
    "features": [{"key": "messages", "unit": "message"}, {"name": "sso", "title": "Single sign-on"}],
    "plans": {
        "free": {"features": [{"key": "projects", "kind": "non-consumable", "included": 1}]},
        "pro": {
            "priceId": "price_m",
            "annualDiscountPriceId": "price_y",
            "freeTrial": {"days": 14},
            "features": [
                {"key": "sso", "kind": "boolean", "unlimited": False, "resetPeriod": None, "allowOverage": False},
                {
                    "key": "projects",
                    "kind": "quantity",
                    "unlimited": True,
                    "resetPeriod": "never",
                    "allowOverage": False,
                },
                {
                    "key": "messages",
                    "kind": "consumable",
                    "included": 10_000,
                    "resetPeriod": "month",
                    "overageAllowed": True,
                    "overage": "free",
                    "meter": "messages",
                    "overageLimit": 50_000,
                },
            ],
        },
        "team": {
            "price_id": "price_base",
            "seats": True,
            "seatPriceId": "price_seat",
            "maxSeats": 50,
            "prorationBehavior": "always_invoice",
            "lineItems": [{"price": "price_setup", "quantity": 1}, {"price": "price_calls"}],
            "features": {"messages": {"kind": "metered", "included": 2_000, "perSeat": True, "reset_period": "month"}},
        },
    },
}


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variables that the YAML names, and a folder of its own to work in."""
    monkeypatch.setenv("STRIPE_PRICE_PRO", "price_m")
    monkeypatch.setenv("STRIPE_PRICE_PRO_YEAR", "price_y")
    monkeypatch.chdir(tmp_path)


def problems_of(*sources: Any, **options: Any) -> tuple[str, ...]:
    """What is wrong with the sources."""
    with pytest.raises(ConfigError) as caught:
        BillingConfig.load(*sources, **options)
    assert caught.value.__context__ is None
    return caught.value.problems


def problems_in(name: str, text: str) -> tuple[str, ...]:
    """What is wrong with a plan file of this text."""
    Path(name).write_text(text)
    return problems_of({"plans": name})


# ── Plan files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_forms_mean_the_same() -> None:
    """Helpers, the YAML form and the JSON of Kernia's documents give equal configurations."""
    Path("plans.yaml").write_text(YAML)
    Path("plans.json").write_text(json.dumps(KERNIA))
    ours = BillingConfig(plans=PLANS, features=FEATURES)

    assert BillingConfig(plans="plans.yaml") == ours
    assert BillingConfig(plans_path=Path("plans.json")) == ours
    assert BillingConfig.load(KERNIA) == ours


def test_the_feature_of_the_concepts_page() -> None:
    """The very JSON of the page is a metered feature that resets monthly and stops at what is included."""
    text = '{"key":"messages","kind":"metered","included":10000,"resetPeriod":"month","allowOverage":false}'

    plan = BillingConfig(plans=[{"name": "pro", "features": [json.loads(text)]}]).plans[0]
    assert plan.features == {"messages": Metered(10_000, reset="month", overage="none")}


@pytest.mark.parametrize(
    ("members", "allowance"),
    [
        ({"kind": "metered", "included": 5, "allowOverage": True}, Metered(5, overage="free")),
        ({"kind": "metered", "included": 5, "overage_allowed": False}, Metered(5)),
        ({"kind": "consumable", "unlimited": True}, Metered(unlimited=True)),
        ({"kind": "non_consumable", "included": 5}, Quantity(5)),
        ({"kind": "boolean", "key": "x"}, Boolean()),
    ],
)
def test_feature_spellings(members: dict[str, Any], allowance: object) -> None:
    """Yes or no for overage, and the older names of kinds."""
    assert BillingConfig(plans=[{"name": "a", "features": {"x": members}}]).plans[0].features == {"x": allowance}


@pytest.mark.parametrize("kind", ["seat", "seats"])
def test_seats_of_a_plan_without_seat_price(kind: str) -> None:
    """A plan may allow a fixed number of seats."""
    plan = BillingConfig(plans=[{"name": "a", "features": {"seats": {"kind": kind, "included": 5}}}]).plans[0]

    assert plan.features == {"seats": Quantity(5)}


ENGINE = """
features:
  - {name: images, creditCost: {credits: 10}}
  - {key: tokens, unit: token, credit_cost: {credits: "0.003"}}
  - {key: credits, scale: 3}
  - {key: members, aggregation: max}
plans:
  - name: free
    features: {credits: {kind: credits, included: 50000}}
  - name: pro
    price_id: price_m
    features:
      projects: {kind: quantity, included: 5, limits: [{max: 3, per: week}], alerts: [100]}
      credits: {kind: credit, included: 5000000, rollover: 2500000, rolloverPeriods: 2, debt: carry,
                on_plan_change: carry_remaining, alerts: [50, 80, 100],
                limits: [{maximum: 200000, per: day, perEntity: true, tz: Europe/Berlin, where: {model: big}}]}
top_ups:
  - {name: credit_pack, price_id: price_pack, grants: {credits: 1000000}, maxQuantity: 20, expires_after: 365d}
"""


def test_everything_of_the_engine_in_a_plan_file() -> None:
    """Credits, rollover, debt, limits, alerts and top-ups, in either spelling."""
    Path("plans.yaml").write_text(ENGINE)
    config = BillingConfig(plans="plans.yaml")

    assert config.plans == (
        Plan("free", features={"credits": Credits(50_000)}),
        Plan(
            "pro",
            price_id="price_m",
            features={
                "projects": Quantity(5, limits=(UsageLimit(3, per="week"),), alerts=(100,)),
                "credits": Credits(
                    5_000_000,
                    rollover=2_500_000,
                    rollover_periods=2,
                    debt="carry",
                    on_plan_change="carry_remaining",
                    alerts=(50, 80, 100),
                    limits=(UsageLimit(200_000, per_entity=True, timezone="Europe/Berlin", where={"model": "big"}),),
                ),
            },
        ),
    )
    assert config.features[0].credit_cost == {"credits": 10}
    assert config.top_ups == (
        TopUp(
            "credit_pack",
            price_id="price_pack",
            grants={"credits": 1_000_000},
            max_quantity=20,
            expires_after=timedelta(days=365),
        ),
    )
    specs = config.offer().features
    assert specs["tokens"].pools == (Pool("credits", 3),)
    assert specs["images"].pools == (Pool("credits", 10_000),)
    assert ("metered", "credit", "metered") == tuple(specs[key].kind for key in ("tokens", "credits", "members"))


def test_top_ups_beside_plan_files() -> None:
    """Those of the option and those of the files are sold alike; a mapping is as good as the object."""
    Path("plans.yaml").write_text("features: [{key: x}]\ntop_ups: [{name: a, price_id: p, grants: {x: 1}}]")
    options: dict[str, Any] = {"top_ups": [{"key": "b", "priceId": "q", "grants": {"x": 2}, "expiresAfter": 3600}]}

    assert BillingConfig(plans="plans.yaml", **options).top_ups == (
        TopUp("b", price_id="q", grants={"x": 2}, expires_after=timedelta(hours=1)),
        TopUp("a", price_id="p", grants={"x": 1}),
    )
    options["top_ups"][0] |= {"key": "A", "priceId": "p"}
    assert problems_of({"plans": "plans.yaml", **options}) == (
        "plans.yaml: top_ups[0].name: the top-up stands already at top_ups[0].name",
        "plans.yaml: top_ups[0].price_id: the price stands already at top_ups[0].price_id",
    )


def test_a_list_is_a_plan_file() -> None:
    """A file may hold nothing but the list of plans."""
    Path("plans.json").write_text('[{"key": "free"}]')

    assert BillingConfig(plans="plans.json").plans == (Plan("free"),)


def test_places() -> None:
    """A folder is merged in the order of names; patterns, file URLs and package resources work too."""
    folder = Path("sold")
    folder.mkdir()
    (folder / "20-pro.yml").write_text("plans: [{name: pro, price_id: price_1}]")
    (folder / "10-free.json").write_text('{"plans": [{"name": "free"}], "features": [{"key": "x"}]}')
    (folder / "README.md").write_text("not a plan file")
    plans = (Plan("free"), Plan("pro", price_id="price_1"))

    assert BillingConfig(plans="sold").plans == plans
    assert BillingConfig(plans=folder).features == (Feature("x"),)
    assert BillingConfig(plans="sold/*-*.*").plans == plans
    assert BillingConfig(plans=folder.resolve().as_uri()).plans == plans


def test_package_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan file may lie in a package, a zipped one too."""
    package = Path("shopdata")
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plans.yaml").write_text("plans: [{name: free}]")
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    monkeypatch.delitem(sys.modules, "shopdata", raising=False)

    assert BillingConfig(plans=importlib.resources.files("shopdata") / "plans.yaml").plans == (Plan("free"),)


def test_replace_does_not_read_again() -> None:
    """What a file said stays what it said."""
    Path("plans.yaml").write_text(YAML)
    config = BillingConfig(plans="plans.yaml")
    Path("plans.yaml").unlink()

    assert config.replace(base_url="https://a.b").plans == PLANS
    assert config.replace(plans=[]).features == ()


def test_a_variable_in_a_text() -> None:
    """Variables stand anywhere in a text; a doubled dollar sign means the characters themselves."""
    Path("plans.yaml").write_text("plans: [{name: a, title: 'x${STRIPE_PRICE_PRO}-$${STRIPE} $1 $$'}]")

    assert BillingConfig(plans="plans.yaml").plans[0].title == "xprice_m-${STRIPE} $1 $$"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.yaml", "plans: [{name: a}, {name: b}, {name: c, features: {m: {kind: metered, reset: moon}}}]",
         "p.yaml: plans[2].features.m.reset: must be one of hour"),
        ("p.yaml", "plans: [{name: a, price_id: '${NO_SUCH_PRICE}'}]",
         "p.yaml: plans[0].price_id: the environment variable NO_SUCH_PRICE is not set"),
        ("p.yaml", "plans: [{name: a, title: '${A:-b}'}]", "p.yaml: plans[0].title: has a ${ that is not"),
        ("p.yaml", "plans: [{name: a, title: '${A'}]", "p.yaml: plans[0].title: has a ${ that is not"),
        ("p.yaml", "plans: []\nplans: []", "p.yaml: has a key twice at line 2, column 1"),
        ("p.yaml", "plans: [", "p.yaml: is not valid YAML at line 1, column 9"),
        ("p.yaml", "plans: !!python/object/apply:os.getcwd []", "p.yaml: is not valid YAML at line 1, column 8"),
        ("p.yaml", "plans: []\n---\nplans: []", "p.yaml: is not valid YAML"),
        ("p.yaml", "plans: &a [*a]", "p.yaml: is nested too deeply, or too large"),
        ("p.yaml", "plans: [{name: a, limits: {1: x}}]", "p.yaml: plans[0].limits: has a key that is not a text"),
        ("p.yaml", "just text", "p.yaml: must be a mapping with plans, or a list of plans"),
        ("p.yaml", "plan: []", "p.yaml: plan: unknown list of a plan file; did you mean plans?"),
        ("p.yaml", "products: []", "p.yaml: products: not available in this version"),
        ("p.yaml", "top_ups: [{name: pack, price_id: price_1}]", "p.yaml: top_ups[0].grants: is missing"),
        ("p.yaml", "features: [{key: a, credit_cost: {c: 0.003}}]\nplans: [{name: a, features: {c: {kind: credits}}}]",
         "p.yaml: features[0].credit_cost.c: must be an int, a text or a Decimal, never a float"),
        ("p.yaml", "features: [{key: a}, {key: a}]", "p.yaml: features[1].key: the feature stands already"),
        ("p.json", '{"plans": [], "plans": []}', "p.json: has an object with the same member twice"),
        ("p.json", '{"plans": [1,]}', "p.json: is not valid JSON at line 1, column 1"),
        ("p.json", '{"plans": NaN}', "p.json: has NaN, which is not JSON"),
        ("p.json", '{"plans": ' + "[" * 200_000, "p.json: is not valid JSON"),
        ("p.json", '{"plans": ' + "1" * 5_000 + "}", "p.json: is not valid JSON"),
        ("p.toml", "plans = [", "p.toml: is not valid TOML"),
        ("p.txt", "plans: []", "p.txt: must end in one of .yaml, .yml, .json, .toml"),
        ("p.yaml", "#" * 1_048_577, "p.yaml: is larger than 1 MiB"),
    ],
)  # fmt: skip
def test_mistakes_in_plan_files(name: str, text: str, problem: str) -> None:
    """A mistake is reported with its file and its path; what a file holds is never repeated."""
    found = problems_in(name, text)

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_mistakes_of_a_folder_are_reported_together() -> None:
    """Names used twice across files too, each with the file that it stands in."""
    folder = Path("sold")
    folder.mkdir()
    (folder / "a.yaml").write_text("plans: [{name: pro}]")
    (folder / "b.yaml").write_text("plans: [{name: PRO, trial_days: -1}, {nam: x}]")
    (folder / "c.json").write_text("{")

    assert set(problems_of({"plans": "sold"})) == {
        "sold/c.json: is not valid JSON at line 1, column 2",
        "sold/b.yaml: plans[1].nam: unknown member of a plan; did you mean name?",
        "sold/b.yaml: plans[1].name: is missing",
        "sold/b.yaml: plans[0].trial_days: must be between 0 and 730",
        "sold/b.yaml: plans[0].name: the plan stands already at sold/a.yaml: plans[0].name",
    }


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("nothing.yaml", "plans: there is no such file or folder"),
        ("empty", "plans: is a folder without .yaml, .yml, .json files"),
        ("*.none", "plans: no file matches this pattern"),
        ("file://other.example/plans.yaml", "plans: must be a file on this machine"),
        ("x" * 5_000, "plans: cannot be read"),
        ("a\0b", "plans: there is no such file or folder"),
        ("latin1.yaml", "latin1.yaml: is not UTF-8"),
    ],
)
def test_places_that_hold_nothing(source: str, problem: str) -> None:
    """A file that is not there or cannot be read is a mistake like any other."""
    Path("empty").mkdir()
    Path("latin1.yaml").write_bytes("plans: [{name: a, title: Ö}]".encode("latin-1"))

    assert problems_of({"plans": source}) == (problem,)


@pytest.mark.parametrize("name", ["p.yaml", "p.json", "p.toml"])
@pytest.mark.parametrize(
    "text",
    [
        "stripe_key: sk_live_CANARY: x",
        "{stripe_key: sk_live_CANARY",
        "a: sk_live_CANARY\na: whsec_CANARY",
        '{"a": "sk_live_CANARY", "a": "CANARY"}',
        '{"a": "sk_live_CANARY" "b"}',
        "a = 'sk_live_CANARY' 'x'",
        "a: !sk_live_CANARY x",
        "a: *sk_live_CANARY",
        "%CANARY\n--- a",
    ],
)
def test_secrets_in_broken_files(name: str, text: str) -> None:
    """A file that cannot be read may be full of secrets: the error quotes none of it."""
    Path(name).write_text(text)

    assert "CANARY" not in "".join(problems_of(name) + problems_of({"plans": name}))


# ── load ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("billing.yaml", "base_url: https://a.b\ngrace_period: 3d\nplans: [{name: free}]\ndefault_plan: free\n"),
        (
            "billing.json",
            '{"baseUrl": "https://a.b", "grace_period": 259200, "plans": {"free": {}}, "defaultPlan": "free"}',
        ),
        ("billing.toml", 'base_url="https://a.b"\ngrace_period="72h"\ndefault_plan="free"\n[[plans]]\nname="free"\n'),
    ],
)
def test_configuration_files(name: str, text: str) -> None:
    """Every format says the same."""
    Path(name).write_text(text)

    assert BillingConfig.load(name) == BillingConfig(
        base_url="https://a.b", grace_period=timedelta(days=3), plans=[Plan("free")], default_plan="free"
    )


def test_later_sources_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and mappings in their order, then the environment; whole options, whichever spelling each source uses."""
    Path("billing.yaml").write_text("base_url: https://file.example\nbase_path: /file\npast_due_grace: 1d\n")
    monkeypatch.setenv("KERNIA_BILLING_BASE_URL", "https://environment.example")

    config = BillingConfig.load(
        "billing.yaml", {"base_url": "https://dict.example", "grace_period": "2d", "plans": None}
    )
    assert config.base_url == "https://environment.example"
    assert config.base_path == "/file"
    assert config.grace_period == timedelta(days=2)
    assert BillingConfig.load("billing.yaml", env_prefix="").base_url == "https://file.example"
    assert BillingConfig().base_url == "http://localhost:8000"


def test_plans_lie_beside_the_file_that_names_them() -> None:
    """A relative path in a file starts from that file's folder."""
    folder = Path("settings")
    folder.mkdir()
    (folder / "plans.yaml").write_text("plans: [{name: free}]")
    (folder / "billing.yaml").write_text("plans: plans.yaml")

    assert BillingConfig.load("settings/billing.yaml").plans == (Plan("free"),)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of option can come from the environment, under any of its spellings."""
    Path("plans.yaml").write_text("plans: [{name: free}]")
    for name, value in {
        "STRIPE_KEY": "sk_test_1",
        "WEBHOOK_SECRET": "whsec_1, whsec_2",
        "BASE_URL": "https://shop.example",
        "TRUSTED_ORIGINS": "https://a.b, https://*.c.d",
        "PLANS_PATH": "plans.yaml",
        "FEATURES": '[{"key": "x"}]',
        "DEFAULT_PLAN": "free",
        "GRACE_PERIOD": "3d",
        "WEBHOOK_TOLERANCE": "60",
        "REQUIRE_EMAIL_VERIFICATION": "True",
        "CREATE_CUSTOMER_ON_SIGN_UP": "no",
        "AUTHORIZE_ADMIN": "os.path:isabs",
        "APP": "shop:billing",
    }.items():
        monkeypatch.setenv(f"KERNIA_BILLING_{name}", value)

    config = BillingConfig.load()
    assert config.stripe_key is not None
    assert config.stripe_key.reveal() == "sk_test_1"
    assert [secret.reveal() for secret in config.stripe_webhook_secrets] == ["whsec_1", "whsec_2"]
    assert config.trusted_origins == ("https://a.b", "https://*.c.d")
    assert config.plans == (Plan("free"),)
    assert config.features == (Feature("x"),)
    assert config.grace_period == timedelta(days=3)
    assert config.webhook_tolerance == 60
    assert config.require_email_verification is True
    assert config.create_customer_on_sign_up is False
    assert config.authorize_admin is __import__("os").path.isabs


def test_mistakes_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reported under the variable's name."""
    for name, value in {
        "STRIPE_KEY": "",
        "WEBHOOK_TOLERANCE": "soon",
        "REQUIRE_EMAIL_VERIFICATION": "perhaps",
        "STRIPE_WEBHOK_SECRETS": "whsec_CANARY",
        "PLANS": "[1",
        "GRACE_PERIOD": "1w",
        "PAST_DUE_GRACE": "8d",
    }.items():
        monkeypatch.setenv(f"KERNIA_BILLING_{name}", value)

    assert set(problems_of()) == {
        "KERNIA_BILLING_STRIPE_KEY: must not be blank",
        "KERNIA_BILLING_WEBHOOK_TOLERANCE: must be a whole number",
        "KERNIA_BILLING_REQUIRE_EMAIL_VERIFICATION: must be true or false",
        "KERNIA_BILLING_STRIPE_WEBHOK_SECRETS: unknown option; did you mean stripe_webhook_secrets?",
        "KERNIA_BILLING_PLANS: is not valid JSON at line 1, column 3",
        "KERNIA_BILLING_PAST_DUE_GRACE: differs from KERNIA_BILLING_GRACE_PERIOD, another spelling of the same option",
        "stripe_webhook_secrets: is needed with a stripe_key: without it no webhook can be verified",
        "base_url: is needed with a stripe_key: Stripe sends browsers back to it",
    }


def test_functions_by_their_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a function is wanted its dotted path will do, since files hold no functions."""
    Path("hooks_of_the_shop.py").write_text("def may_act(identity, reference, action):\n    return True\nnumber = 5\n")
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    Path("billing.yaml").write_text(
        "authorize_reference: hooks_of_the_shop.may_act\non_event: hooks_of_the_shop:may_act"
    )

    config = BillingConfig.load("billing.yaml")
    assert config.authorize_reference is not None
    assert config.authorize_reference.__name__ == "may_act"
    assert config.on_event is not None
    assert problems_of({"on_event": "hooks_of_the_shop.number"})[0].startswith("on_event: must be callable")
    assert problems_of({"on_event": "hooks_of_the_shop.nothing"}) == ("on_event: cannot be imported",)


def test_sources_of_the_wrong_kind() -> None:
    """A source is a path or a mapping, and a file of options is a mapping."""
    Path("list.yaml").write_text("- a\n")

    assert problems_of(5, {1: 2}, "list.yaml", "none.yaml") == (
        "source 1: must be the path of a file, or a mapping of options",
        "source 2: must be the path of a file, or a mapping of options",
        "list.yaml: must be a mapping of options",
        "source 4: there is no such file or folder",
    )
