"""Every benchmark runs, finds its run exact, and says so; how fast it was is for people to judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from benchmarks.__main__ import ALL, main
from benchmarks.harness import Bench, Benchmark, Result, Sample, Settings, Unbuilt, compare, percentile
from benchmarks.report import TARGETS
from benchmarks.shop import open_shop
from kernia_billing.storage import tables
from tests.servers import Servers
from tests.strictness import missing

TINY = Settings(seconds=0.02, rounds=1, customers=5, callers=4, growth=3)


def _marked(benchmark: Benchmark) -> object:
    marks = [] if benchmark.engine is None else [getattr(pytest.mark, benchmark.engine)]
    return pytest.param(benchmark, id=benchmark.key, marks=marks)


@pytest.mark.parametrize("benchmark", [_marked(each) for each in ALL])
def test_tiny_run_is_exact(benchmark: Benchmark, servers: Servers) -> None:
    """However short, both sides did something, and everything that they acknowledged is stored."""
    try:
        result = benchmark.run(Bench(TINY, servers))
    except Unbuilt as reason:
        missing(str(reason))

    assert [] == list(result.problems)
    assert result.baseline > 0
    assert result.ours > 0
    assert result.ratio > 0


def test_every_target_is_measured() -> None:
    """A target without a benchmark would be met by nobody."""
    assert set(TARGETS) <= {benchmark.key for benchmark in ALL}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(update(tables.bucket).values(used=2), id="used"),
        pytest.param(delete(tables.ledger), id="ledger"),
        pytest.param(delete(tables.usage_event), id="events"),
        pytest.param(update(tables.customer).values(ledger_seq=99), id="sequence"),
    ],
)
@pytest.mark.sqlite
def test_books_that_do_not_agree_are_noticed(damage: object, servers: Servers) -> None:
    """A unit too many, a lost line, a lost event and a gap are each a problem; untouched books are none."""
    with open_shop(servers, "sqlite", 2) as shop:
        untouched = shop.problems(0)
        with shop.engine.begin() as connection:
            connection.execute(damage)  # type: ignore[call-overload]  # a parameter is an object

        assert [] == untouched
        assert shop.problems(0)


@pytest.mark.sqlite
def test_unacknowledged_uses_are_noticed(servers: Servers) -> None:
    """What is stored and what was acknowledged are compared, in both directions."""
    with open_shop(servers, "sqlite", 2) as shop:
        assert shop.problems(1)


def test_ratio_is_the_median_of_the_rounds() -> None:
    """Each round is judged by its own baseline, and one that was disturbed does not count."""
    baseline = iter([1, 100, 100, 10])
    ours = iter([1, 300, 50, 20])

    result = compare(
        "name",
        "against",
        baseline=lambda _: Sample(next(baseline), 1.0),
        ours=lambda _: Sample(next(ours), 1.0),
        settings=Settings(rounds=3),
    )

    assert (100, 50, 2.0) == (result.baseline, result.ours, result.ratio)


def test_percentiles() -> None:
    """The smallest value that so many do not exceed."""
    values = [1, 2, 3, 4]

    assert [1, 2, 4] == [percentile(values, share) for share in (0.25, 0.5, 0.99)]
    assert percentile([], 0.5) is None


def test_command_prints_a_table_and_writes_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a benchmark, with its targets; the file has the ratios by number."""
    file = tmp_path / "ratios.json"

    size = ["--seconds", "0.02", "--rounds", "1", "--customers", "5"]

    status = main(["--only", "check", "--engines", "sqlite", *size, "--json", str(file)])

    printed = capsys.readouterr().out
    assert 0 == status
    assert "check, sqlite, one caller" in printed
    content = json.loads(file.read_text())
    assert ["P1", "P2"] == list(content["ratios"])
    assert content["ratios"]["P2"] > 0


def test_inexact_run_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 1 and the table says what was wrong."""
    wrong = Benchmark("P2", "check", None, lambda _: Result("name", "against", 1, 1, 1, problems=["a use was lost"]))
    monkeypatch.setattr("benchmarks.__main__.ALL", [wrong])

    assert 1 == main(["--engines", "sqlite"])
    assert "NOT EXACT: a use was lost" in capsys.readouterr().out


def test_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that means no benchmark is an error, not an empty table."""
    assert 2 == main(["--only", "P99"])
    assert "P99" in capsys.readouterr().err
