"""Redirect targets and origins: the attacks, the honest uses, and agreement with other parsers."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernia_billing.domain.urls import TrustedOrigins
from kernia_billing.errors import InvalidInput, UntrustedUrl

BASE = "https://app.example.com"
TRUSTED = TrustedOrigins(
    BASE,
    [
        "https://shop.example.net:8443",
        "http://localhost:3000",
        "https://*.preview.example.org",
        "https://bücher.example",
    ],
)


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("/", f"{BASE}/"),
        ("/ok", f"{BASE}/ok"),
        ("/ok?x=1&y=2#top", f"{BASE}/ok?x=1&y=2#top"),
        ("/?x", f"{BASE}/?x"),
        ("/#x", f"{BASE}/#x"),
        ("/done?session={CHECKOUT_SESSION_ID}", f"{BASE}/done?session={{CHECKOUT_SESSION_ID}}"),
        ("/{CHECKOUT_SESSION_ID}/x#{CHECKOUT_SESSION_ID}", f"{BASE}/{{CHECKOUT_SESSION_ID}}/x#{{CHECKOUT_SESSION_ID}}"),
        ("/a?next=%2Fb%5C&u=https://evil.example", f"{BASE}/a?next=%2Fb%5C&u=https://evil.example"),
        ("/a%20b/ü", f"{BASE}/a%20b/%C3%BC"),
        ('/a"<>`{}|^', f"{BASE}/a%22%3C%3E%60%7B%7D%7C%5E"),
        ("/a?b[]=1", f"{BASE}/a?b[]=1"),
        ("/a//b/../c", f"{BASE}/a//b/../c"),
        (BASE, f"{BASE}/"),
        (f"{BASE}?x=1", f"{BASE}/?x=1"),
        (f"{BASE}/ok?s={{CHECKOUT_SESSION_ID}}", f"{BASE}/ok?s={{CHECKOUT_SESSION_ID}}"),
        ("HTTPS://APP.Example.COM/Path", f"{BASE}/Path"),
        (f"{BASE}:443/ok", f"{BASE}/ok"),
        ("https://shop.example.net:8443/x", "https://shop.example.net:8443/x"),
        ("http://localhost:3000/x", "http://localhost:3000/x"),
        ("https://pr-7.preview.example.org/x", "https://pr-7.preview.example.org/x"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x"),
        ("https://BÜCHER.example/x", "https://xn--bcher-kva.example/x"),
    ],
)
def test_honest_targets(url: str, resolved: str) -> None:
    """Paths become absolute, trusted URLs stay what they are, and both are written in one way."""
    assert resolved == TRUSTED.resolve(url, "successUrl")
    assert resolved == TRUSTED.resolve(resolved, "successUrl")


ATTACKS = [
    # Another host, said openly.
    *(
        "https://evil.example",
        "https://evil.example/app.example.com",
        "http://evil.example",
        "https://app.example.com.evil.example",
    ),
    *("https://evilapp.example.com", "https://example.com", "https://sub.app.example.com", "https://app.example.co"),
    # Another scheme or port of a trusted host.
    *(
        "http://app.example.com/",
        "https://app.example.com:8443/",
        "https://shop.example.net/",
        "https://localhost:3000/",
    ),
    *("http://localhost:3001/", "http://localhost/", "https://app.example.com:0443/", "https://app.example.com:/"),
    *(
        "https://app.example.com:99999/",
        "https://app.example.com:443x/",
        "https://app.example.com:-1/",
        "https://app.example.com:４４３/",
    ),
    # Protocol-relative, backslashes, and what browsers take for them.
    *(
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
    ),
    *("/\\/evil.example", "https:\\\\evil.example", "https://evil.example\\@app.example.com/x", "/ok\\..\\x"),
    *(
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https:app.example.com",
        "https:/app.example.com",
    ),
    # Encoded separators in a path.
    *("/%2f%2fevil.example", "/%2Fevil.example", "/%5cevil.example", "/%5Cevil.example", "/ok/%2f..%2f", "/%2f"),
    # Controls and white space, which browsers strip.
    *("ht\ntps://app.example.com", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example"),
    *(
        " //evil.example",
        " /ok",
        "/ok ",
        "/o k",
        "/ok\x00",
        "/ok\x7f",
        "/ok\x85",
        "/ok\r\nX: y",
        "https://app.example.com\n",
    ),
    *("/ok\u2028", "/ok\u00a0", "/ok\u200b", "/ok\u202e", "/ok\ufeff", "/\ud800", "\x00/ok"),
    # User names.
    *("https://app.example.com@evil.example", "https://user@app.example.com/", "https://user:pass@app.example.com/"),
    *(
        "https://app.example.com:443@evil.example/",
        "@evil.example",
        "/@evil.example",
        "https://app.example.com%40evil.example",
    ),
    # Wildcards match one whole label.
    *("https://preview.example.org/", "https://a.b.preview.example.org/", "https://.preview.example.org/"),
    *(
        "https://evil.example?.preview.example.org",
        "https://evil.example#.preview.example.org",
        "https://evil.example/.preview.example.org",
    ),
    *("https://evilpreview.example.org/", "https://*.preview.example.org/", "http://a.preview.example.org/"),
    *(
        "https://-.preview.example.org/",
        "https://a.preview.example.org:8443/",
        "https://evil.example%23.preview.example.org/",
    ),
    *("https://evil.example\u2100.preview.example.org/", "https://evil.example\uff0f.preview.example.org/"),
    # International names that different standards read differently, and dots that are none.
    *(
        "https://app。example.com/",
        "https://ａpp.example.com/",
        "https://app.example.com./",
        "https://аpp.example.com/",
    ),
    *(
        "https://bücher\u0301.example/",
        "https://buecher.example/",
        "https://app..example.com/",
        "https://app.exa\u00admple.com/",
    ),
    # Not URLs of this web, or not URLs.
    *(
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://app.example.com/",
        "myapp://x",
        "mailto:a",
    ),
    *("ok", "./ok", "../ok", "?x=1", "#x", "app.example.com/x", "null", "https://", "https://?", "https://[::1]/"),
    *("https://[app.example.com]/", "https://[::1", "https://app.example.com]/", "httpss://app.example.com/"),
    *("https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://app.example.com%2f.evil.example/"),
]


@pytest.mark.parametrize("url", ATTACKS)
@pytest.mark.parametrize("field", ["successUrl", "cancelUrl", "returnUrl", "callbackURL"])
def test_attacks(url: str, field: str) -> None:
    """Each is refused with 403 and the one code that clients know, and the field is named."""
    with pytest.raises(UntrustedUrl) as caught:
        TRUSTED.resolve(url, field)
    assert (403, "INVALID_CALLBACK_URL", "Invalid callbackURL") == (
        caught.value.status,
        caught.value.code,
        caught.value.message,
    )
    assert caught.value.field == field


@pytest.mark.parametrize("url", [None, 1, True, ["/ok"], {"url": "/ok"}, b"/ok", "", "/" + "a" * 2048])
def test_values_that_are_no_url_at_all_are_bad_input(url: Any) -> None:
    """A list, an object, a number, nothing, or too much: 400."""
    with pytest.raises(InvalidInput) as caught:
        TRUSTED.resolve(url, "successUrl")
    assert caught.value.field == "successUrl"


def browser_host(url: str) -> str | None:
    """The host that a browser goes to from a page of the application, as the URL Standard reads it.

    White space and controls around are stripped, tabs and line breaks removed, backslashes are slashes, any number of
    slashes may follow an http(s) scheme, and what stands before the last @ of the authority is a user name.
    """
    text = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", text)
    if scheme:
        if scheme[1].lower() not in ("http", "https"):
            return None
        rest = text[scheme.end() :].lstrip("/")
    elif text.startswith("//"):
        rest = text.lstrip("/")
    else:
        return urlsplit(BASE).hostname
    authority = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    return re.sub(r":\d*$", "", authority).lower().encode("idna").decode()


PIECES = [
    *("/", "//", "\\", "@", ":", "?", "#", ".", "..", "%2f", "%5c", "%00", "\t", "\n", " ", "*", "[", "]", "{", "}"),
    *(
        "https:",
        "http:",
        "HTTPS://",
        "https://",
        "javascript:",
        "app.example.com",
        "evil.example",
        "localhost",
        ":3000",
    ),
    *(
        "preview.example.org",
        "pr-1.",
        ":443",
        ":8443",
        "shop.example.net",
        "ok",
        "x=1",
        "{CHECKOUT_SESSION_ID}",
        "bücher.example",
    ),
    *("\u3002", "\uff0f", "\u2100", "\u00df", "\u200d", "0x7f.1", "user"),
]
odd_urls = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), min_size=1, max_size=8).map("".join)
ALLOWED = re.compile(
    r"https://(app\.example\.com|shop\.example\.net:8443|[a-z0-9-]+\.preview\.example\.org|xn--bcher-kva\.example)"
    r"/|http://localhost:3000/"
)


@given(st.one_of(odd_urls, st.tuples(st.sampled_from(["/", BASE, f"{BASE}/"]), odd_urls).map("".join)))
@example("https://evil.example\\@app.example.com/x")
@example("/\t/evil.example")
def test_whatever_is_accepted_leads_to_a_trusted_host_for_every_parser(url: str) -> None:
    """What goes out begins with a trusted origin, and Python and a browser agree on its host, for the input too."""
    try:
        resolved = TRUSTED.resolve(url, "successUrl")
    except (UntrustedUrl, InvalidInput):
        return
    host = urlsplit(resolved).hostname

    assert ALLOWED.match(resolved)
    assert resolved.isascii()
    assert host == browser_host(resolved) == browser_host(url)
    assert host == urlsplit(urljoin(BASE, resolved)).hostname
    assert resolved == TRUSTED.resolve(resolved, "successUrl")


@given(st.text(max_size=60), st.sampled_from(["/ok?s=", "/", f"{BASE}/x#"]))
def test_the_placeholder_survives_beside_anything(text: str, start: str) -> None:
    """Wherever a URL is accepted, Stripe finds each of its placeholders."""
    try:
        resolved = TRUSTED.resolve(f"{start}{text}{{CHECKOUT_SESSION_ID}}", "successUrl")
    except (UntrustedUrl, InvalidInput):
        return
    assert 1 + text.count("{CHECKOUT_SESSION_ID}") == resolved.count("{CHECKOUT_SESSION_ID}")


@pytest.mark.parametrize(
    "origin",
    [
        BASE,
        "https://app.example.com:443",
        "https://shop.example.net:8443",
        "http://localhost:3000",
        "https://x.preview.example.org",
    ],
)
def test_trusted_origins(origin: str) -> None:
    """The application's own, and those of the list."""
    assert TRUSTED.is_trusted_origin(origin)
    assert TRUSTED.is_trusted_referer(origin + "/page/@me?x=1")


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "null",
            "",
            "*",
            f"{BASE}/",
            f"{BASE}/x",
            f"{BASE}?",
            f"{BASE}#",
            f"{BASE}, https://evil.example",
            f" {BASE}",
            f"{BASE} ",
        ),
        *(
            "http://app.example.com",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "//app.example.com",
        ),
        *(
            "app.example.com",
            "https://a@app.example.com",
            "https://preview.example.org",
            "file://",
            "https://app.example.com\n",
        ),
    ],
)
def test_other_origins(origin: str) -> None:
    """Anything that is not exactly an origin of the list, `null` included."""
    assert not TRUSTED.is_trusted_origin(origin)


@pytest.mark.parametrize(
    "referer", ["", "/page", "https://evil.example/https://app.example.com", "https://app.example.com@evil.example/"]
)
def test_other_referers(referer: str) -> None:
    """A page of another origin, or no URL."""
    assert not TRUSTED.is_trusted_referer(referer)


@pytest.mark.parametrize(
    "base_url", ["https://app.example.com/", "https://APP.example.com:443", "https://app.example.com"]
)
def test_the_base_url_is_an_origin(base_url: str) -> None:
    """However it is spelled, it is kept in one form."""
    assert BASE == TrustedOrigins(base_url).base_url


@pytest.mark.parametrize(
    ("base_url", "canonical"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_addresses_are_hosts_too(base_url: str, canonical: str) -> None:
    """IPv4 and IPv6 addresses serve for development."""
    trusted = TrustedOrigins(base_url)

    assert canonical == trusted.base_url
    assert f"{canonical}/ok" == trusted.resolve("/ok", "returnUrl") == trusted.resolve(f"{base_url}/ok", "returnUrl")


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https://app.example.com/x",
            "https://app.example.com?x",
        ),
        *(
            "https://app.example.com#x",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://app.example.com:0",
        ),
        *(
            "https://app example.com",
            "https://app.example.com\n",
            "https://faß.example",
            "https://127.1",
            "https://0x7f.0.0.1",
        ),
        *(
            "https://app..example.com",
            "https://-app.example.com",
            "https://app.example.com:65536",
            "https://1.2.3.256",
            "*",
        ),
        *(
            "https://app_1.example.com",
            "https://[::g]",
            None,
            1,
            ["https://app.example.com"],
            "null",
            "https://" + "a." * 200 + "com",
        ),
    ],
)
def test_mistakes_in_the_configuration_are_refused(origin: Any) -> None:
    """As the base URL and in the list, each under its option's name."""
    with pytest.raises(InvalidInput) as caught:
        TrustedOrigins(origin)
    assert caught.value.field == "base_url"
    with pytest.raises(InvalidInput) as caught:
        TrustedOrigins(BASE, [origin])
    assert caught.value.field == "trusted_origins"


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "https://*",
            "https://*.com",
            "https://*.*.com",
            "https://app*.example.com",
            "https://*app.example.com",
            "https://**.example.com",
        ),
        *(
            "https://app.*.com",
            "https://example.*",
            "*.example.com",
            "https://*.example.com/x",
            "https://*.1.2.3.4",
            "https://?.example.com",
        ),
        *("https://*.example.com:*", "*://app.example.com", "https://*.[::1]", "https://*.example.com?"),
    ],
)
def test_patterns_that_trust_too_much_are_refused(pattern: str) -> None:
    """A wildcard stands for whole labels in front of at least two others, with a scheme."""
    with pytest.raises(InvalidInput) as caught:
        TrustedOrigins(BASE, [pattern])
    assert caught.value.field == "trusted_origins"


def test_several_wildcards() -> None:
    """Each stands for one label."""
    trusted = TrustedOrigins(BASE, ["https://*.*.example.org:8443"])

    assert trusted.is_trusted_origin("https://a.b.example.org:8443")
    assert not trusted.is_trusted_origin("https://a.example.org:8443")
    assert not trusted.is_trusted_origin("https://a.b.c.example.org:8443")


def test_the_base_url_takes_no_wildcard() -> None:
    """Relative URLs need one place to go to."""
    with pytest.raises(InvalidInput):
        TrustedOrigins("https://*.example.com")


def test_a_text_is_no_list_of_origins() -> None:
    """It would be read letter by letter."""
    with pytest.raises(InvalidInput) as caught:
        TrustedOrigins(BASE, "https://shop.example.net")
    assert caught.value.field == "trusted_origins"


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("/ok?x={CHECKOUT_SESSION_ID}", f"{BASE}/ok?x={{CHECKOUT_SESSION_ID}}"),
        ("https://elsewhere.example/@me", "https://elsewhere.example/@me"),
        ("http://elsewhere.example:8080", "http://elsewhere.example:8080/"),
    ],
)
def test_the_hosts_own_code_may_send_anywhere(url: str, resolved: str) -> None:
    """Direct calls are trusted: any http(s) URL is taken, and a path resolved."""
    assert resolved == TRUSTED.absolute(url, "success_url")


@pytest.mark.parametrize(
    "url",
    [
        "ok",
        "//evil.example",
        "/\\evil",
        "javascript:alert(1)",
        "/ok\r\nX: y",
        "/o k",
        "https://u@a.example",
        "",
        None,
        5,
        ["/"],
    ],
)
def test_the_hosts_own_code_has_to_write_urls_too(url: Any) -> None:
    """A mistake is told, and never reaches Stripe."""
    with pytest.raises(InvalidInput) as caught:
        TRUSTED.absolute(url, "success_url")
    assert caught.value.field == "success_url"


def test_what_is_trusted_can_be_shown() -> None:
    """Origins are no secret."""
    assert "TrustedOrigins(https://app.example.com, https://*.example.org)" == repr(
        TrustedOrigins(BASE, ["https://*.example.org", BASE])
    )


def test_long_urls_are_judged_fast() -> None:
    """64 KiB of anything cost no more than a look, counted in processor time."""
    for text in ("/" * 65_536, "https://" + "a." * 32_768, "https://" + "%" * 65_536, "\u3002" * 65_536):
        start = time.process_time()
        assert not TRUSTED.is_trusted_origin(text)
        assert not TRUSTED.is_trusted_referer(text)
        assert time.process_time() - start < 0.5
