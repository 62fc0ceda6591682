"""Over 20,000 headers made by a grammar our verifier and the official SDK agree, but for the rules listed by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace

import pytest

from tests.harness.counts import count
from tests.stripe.network import NOW
from tests.stripe.test_signature import BODY, OTHER, SECRET, STRICTER, digest, ours, theirs

HEADERS = 24_000
FOREIGN = digest(OTHER)
"""A signature of another secret over the same bytes."""
STAMPS = {stamp: digest(stamp=stamp) for stamp in (NOW, NOW - 299, NOW - 300, NOW + 299, NOW + 300)}
OFF = {
    stamp: digest(stamp=stamp) for stamp in (NOW - 301, NOW - 86_400, NOW + 301, NOW + 3600, NOW + 315_360_000, 0, 1)
}
Elements = list[str]


def _full_width(number: int) -> str:
    return "".join(chr(0xFF10 + int(digit)) for digit in str(number))


def _arabic(number: int) -> str:
    return "".join(chr(0x0660 + int(digit)) for digit in str(number))


SPELLINGS: Sequence[Callable[[int], str]] = (
    str,
    str,
    str,
    str,
    lambda number: f"0{number}",
    lambda number: f"000{number}",
    lambda number: f"+{number}",
    lambda number: f"-{number}",
    lambda number: f" {number}",
    lambda number: f"{number} ",
    lambda number: f"{number}\n",
    lambda number: f"{str(number)[:1]}_{str(number)[1:]}",
    lambda number: f"{number}.0",
    lambda number: f"{number}e0",
    hex,
    _full_width,
    _arabic,
    lambda number: f"{number}\x00",
    lambda number: str(number).rjust(40, "0"),
    lambda number: str(number) + "0" * 5000,
    lambda _: "",
    lambda _: "now",
    lambda _: "nan",
    lambda _: "inf",
)
"""How a time stamp is written; the first ones, plainly."""


def _schemes(genuine: str) -> Sequence[str]:
    return (
        f"v1={genuine}",
        f"v1={genuine}",
        f"v1={genuine}",
        f"v1={genuine}",
        f"v1={FOREIGN}",
        f"v0={genuine}",
        f"v2={genuine}",
        f"V1={genuine}",
        f"v1 ={genuine}",
        f" v1={genuine}",
        f"v1= {genuine}",
        f"v1={genuine} ",
        f"v1={genuine.upper()}",
        f"v1={genuine.capitalize()}",
        f"v1={genuine[:-1]}",
        f"v1={genuine}0",
        f"v1={genuine[::-1]}",
        f"v1={genuine}=",
        f"v1={genuine}=x",
        f"v1=={genuine}",
        "v1=",
        "v1",
        "v1=é",
        f"v1={_full_width(1)}{genuine[1:]}",
        f"v10={genuine}",
        f"v1={genuine};v1={genuine}",
        f"v1={genuine}\r\nv1={genuine}",
    )


NOISE = (
    "",
    "x",
    "=",
    "==",
    "a=b",
    "v0=00",
    "v2=",
    "scheme=é",
    "t",
    "t=",
    "\u2028=\u2028",
    "\ud800=x",
    "%20=%20",
    "v1[]=0",
)


def made(random: Random) -> str:
    """One header: a time stamp and a signature, one of them or both spoiled more or less often, and things beside."""
    stamp, genuine = random.choice(list((STAMPS if random.random() < 0.75 else OFF).items()))
    written = random.choice(SPELLINGS)(stamp) if random.random() < 0.4 else str(stamp)
    elements = [f"t={written}"]
    elements += [random.choice(_schemes(genuine)) for _ in range(random.choice((0, 1, 1, 1, 1, 2, 3, 15, 16, 17, 18)))]
    if random.random() < 0.5:
        elements.append(f"v1={genuine}")
    for change in random.sample(CHANGES, random.choice((0, 0, 1, 1, 2))):
        change(elements, random)
    return random.choice((",", ",", ",", ",", ",", ",", ", ", ";", ",,", " ,")).join(elements)


def _shuffle(elements: Elements, random: Random) -> None:
    random.shuffle(elements)


def _noise(elements: Elements, random: Random) -> None:
    elements.insert(random.randrange(len(elements) + 1), random.choice(NOISE))


def _second_stamp(elements: Elements, random: Random) -> None:
    elements.insert(random.randrange(len(elements) + 1), f"t={random.choice([*STAMPS, *OFF])}")


def _no_stamp(elements: Elements, _: Random) -> None:
    elements[:] = [each for each in elements if not each.startswith("t=")]


def _twice(elements: Elements, random: Random) -> None:
    if elements:
        elements.append(random.choice(elements))


def _huge(elements: Elements, random: Random) -> None:
    elements.append("v0=" + "0" * random.choice((3000, 4000, 4096, 10_000)))


def _empty(elements: Elements, _: Random) -> None:
    elements.clear()


def _cut(elements: Elements, random: Random) -> None:
    if elements:
        at = random.randrange(len(elements))
        elements[at] = elements[at][: random.randrange(len(elements[at]) + 1)]


def _flip(elements: Elements, random: Random) -> None:
    if elements and elements[-1]:
        at = random.randrange(len(elements[-1]))
        elements[-1] = elements[-1][:at] + chr(random.randrange(1, 0x250)) + elements[-1][at + 1 :]


CHANGES = (_shuffle, _noise, _noise, _second_stamp, _no_stamp, _twice, _huge, _empty, _cut, _flip)


@pytest.fixture(autouse=True)
def _sdk_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe._webhook.time", SimpleNamespace(time=lambda: float(NOW)))


def reasons(text: str) -> list[str]:
    """The rules by which we refuse a header that the SDK accepts."""
    parts = [part.split("=", 2) for part in text.split(",")]
    return [name for name, explains in STRICTER if explains(parts, text)]


def test_every_header_is_judged_as_the_sdk_judges_it_but_for_named_rules() -> None:
    """We are never more lenient, and every refusal of what the SDK accepts has a name; every name is seen."""
    random = Random(20_260_101)
    seen: Counter[str] = Counter()
    headers = {made(random) for _ in range(HEADERS)} | {"", ",", "=", "t=", f"t={NOW}", "v1=" + digest(), "é", "\x00"}
    while len(headers) < HEADERS:
        headers.add(made(random))

    for text in headers:
        mine, accepted = ours(text), theirs(text)
        assert accepted or not mine, f"more lenient: {text!r}"
        if mine:
            seen["accepted by both"] += 1
        elif not accepted:
            seen["refused by both"] += 1
        else:
            named = reasons(text)
            assert named, f"stricter without a reason: {text!r}"
            seen.update(named)

    for name, _ in STRICTER:
        assert seen[name] > 0, f"never seen: {name}"
    assert seen["accepted by both"] > 1000
    count("signature headers compared with the SDK", len(headers))
    for name, number in seen.items():
        count(f"signature headers: {name}", number)


def test_the_comparison_notices_a_lenient_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that forgot the tolerance, or that takes any case of a digest, does not pass."""
    monkeypatch.setattr("tests.stripe.test_signature.VERIFIER._tolerance", 10**10)

    with pytest.raises(AssertionError, match="more lenient"):
        test_every_header_is_judged_as_the_sdk_judges_it_but_for_named_rules()


def test_the_grammar_speaks_of_the_same_request() -> None:
    """The plain header of the grammar is genuine, for the body and the secret of the comparison."""
    assert (ours(f"t={NOW},v1={digest(SECRET, NOW, BODY)}"), theirs(f"t={NOW},v1={digest()}")) == (True, True)
