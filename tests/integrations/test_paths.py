"""What is a path of ours, and what only looks like one to a server that decodes it."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from kernia_billing.http.paths import received_path
from kernia_billing.http.routes import ROUTES

PATHS = sorted({route.path for route in ROUTES if "{" not in route.path})
SPELLINGS = st.sampled_from(
    ["%2F", "%2f", "//", "/./", "/../", "%2e", ";x", "/", "%20", "%00", "%62", "?", "#", "\\", "a"]
)
MOUNTS = st.sampled_from(["", "/api/auth", "/b\u00fcro"])


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A path of ours into which something was put, or in which a character was encoded."""
    path = draw(st.sampled_from(PATHS))
    place = draw(st.integers(0, len(path)))
    if draw(st.booleans()) and place < len(path):
        return f"{path[:place]}%{ord(path[place]):02X}{path[place + 1 :]}"
    return path[:place] + draw(SPELLINGS) + path[place:]


@given(MOUNTS, st.sampled_from(PATHS))
def test_a_path_is_found_below_its_mount(mount: str, path: str) -> None:
    """Whether the server kept what was sent or not."""
    whole = (mount + path).encode()

    assert received_path((quote(mount) + path).encode(), whole, mount.encode()) == path
    assert received_path(None, whole, mount.encode()) == path


@given(MOUNTS, spelled())
@example("/api/auth", "%2Fbilling/check")
@example("", "/billing%2Fcheck")
def test_another_spelling_is_another_path(mount: str, other: str) -> None:
    """What was sent is a route of ours only if it is that very text."""
    target = quote(mount) + other
    sent = target.partition("?")[0]
    decoded = unquote_to_bytes(sent)

    found = received_path(target.encode(), decoded, mount.encode())
    assert (found in PATHS) == (other.partition("?")[0] in PATHS)
    assert found in {other.partition("?")[0], sent}


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=10))
def test_nothing_breaks_it(raw: bytes, path: bytes, mount: bytes) -> None:
    """Any bytes give a text, which is all that a table is asked for."""
    for kept in (None, raw):
        assert isinstance(received_path(kept, path, mount), str)


@given(st.text(min_size=1, max_size=5), st.sampled_from(PATHS))
def test_what_is_no_path_is_found_nowhere(host: str, path: str) -> None:
    """A whole URL, as it is sent to a proxy, and a star."""
    target = f"http://{quote(host, safe='')}{path}".encode()

    assert received_path(target, target, b"") not in PATHS
    assert received_path(target, path.encode(), b"") not in PATHS
    assert received_path(b"*", b"*", b"") not in PATHS
