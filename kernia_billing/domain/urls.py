r"""Where a browser may be sent: redirect targets and origins, judged by one strict parser.

Browsers and Python read odd URLs differently (`https://evil.example\@app.example` is one host for the one and another
for the other). So nothing odd is accepted, and what goes out is written anew from our own parse. The list of trusted
origins comes from the configuration only, never from a request's `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from attrs import frozen

from ..errors import InvalidInput, UntrustedUrl

SESSION_ID = "{CHECKOUT_SESSION_ID}"
"""The placeholder that Stripe fills in where it stands in a success URL, if it arrives literally."""

MAX_URL = 2048

_ABSOLUTE = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]/?#:@\\]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"(?P<path>/(?![/\\])[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?")
_ENCODED_SEPARATOR = re.compile(r"%2f|%5c", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253


@frozen
class _Origin:
    """Scheme, host in lower-case ASCII, and port. In a pattern, a label of the host may be `*`."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def matches(self, pattern: _Origin) -> bool:
        if (self.scheme, self.port) != (pattern.scheme, pattern.port):
            return False
        if "*" not in pattern.host:
            return self.host == pattern.host
        labels, wanted = self.host.split("."), pattern.host.split(".")
        return len(labels) == len(wanted) and all(w in ("*", label) for label, w in zip(labels, wanted, strict=True))


@frozen
class _Url:
    origin: _Origin
    rest: str

    def __str__(self) -> str:
        return f"{self.origin}{self.rest}"


class TrustedOrigins:
    """The origins that this application answers for, and the judgement of URLs by them.

    `base_url` is the application's own origin (scheme, host, port): relative URLs resolve against it, and it is
    trusted. `origins` are further ones, such as `https://app.example.com`, or with `*` for a whole label in front of at
    least two others: `https://*.example.com` means any one subdomain, and not `example.com` itself.

    Raises:
        InvalidInput: `base_url` or one of the origins is not an http(s) origin.
    """

    def __init__(self, base_url: str, origins: Iterable[str] = ()) -> None:
        self._base = _origin(base_url, "base_url")
        if isinstance(origins, str):
            raise InvalidInput("must be a list of origins", field="trusted_origins")
        patterns = (_origin(each, "trusted_origins", wildcards=True) for each in origins)
        self._patterns = tuple(dict.fromkeys((self._base, *patterns)))

    def __repr__(self) -> str:
        return f"TrustedOrigins({', '.join(str(each) for each in self._patterns)})"

    @property
    def base_url(self) -> str:
        """The application's own origin, without a trailing slash."""
        return str(self._base)

    def resolve(self, url: object, field: str) -> str:
        """The absolute URL of a redirect target that came from a client.

        Accepted are a path on this application (`/done?x=1#top`) and an http(s) URL on a trusted origin. The
        placeholder `{CHECKOUT_SESSION_ID}` stays as it is.

        Raises:
            InvalidInput: not a text, empty, or too long.
            UntrustedUrl: anything else that could lead a browser elsewhere.
        """
        text = _text(url, field)
        if "@" in text or not _is_clean(text):
            raise UntrustedUrl(field)
        parsed = self._parse(text)
        if parsed is None or not self._trusts(parsed.origin):
            raise UntrustedUrl(field)
        return str(parsed)

    def absolute(self, url: object, field: str = "url") -> str:
        """The absolute URL of a redirect target that the host's own code gave: any http(s) URL, or a path.

        Raises:
            InvalidInput: not a text, not such a URL, or one with control characters, spaces or a user name.
        """
        text = _text(url, field)
        parsed = self._parse(text) if _is_clean(text) else None
        if parsed is None:
            raise InvalidInput("must be an http(s) URL, or a path that starts with one slash", field=field)
        return str(parsed)

    def is_trusted_origin(self, origin: str) -> bool:
        """Whether the value of an `Origin` header is a trusted origin. `null`, and anything with a path, is not."""
        parsed = _parse_absolute(origin) if _is_clean(origin) else None
        return parsed is not None and parsed.rest == "/" and origin[-1] != "/" and self._trusts(parsed.origin)

    def is_trusted_referer(self, referer: str) -> bool:
        """Whether the value of a `Referer` header is a page of a trusted origin."""
        parsed = _parse_absolute(referer) if _is_clean(referer) else None
        return parsed is not None and self._trusts(parsed.origin)

    def _trusts(self, origin: _Origin) -> bool:
        return any(origin.matches(pattern) for pattern in self._patterns)

    def _parse(self, text: str) -> _Url | None:
        match = _RELATIVE.fullmatch(text)
        if match is None:
            return _parse_absolute(text)
        if _ENCODED_SEPARATOR.search(match["path"]):
            return None
        return _Url(self._base, _rest(match))


def _text(url: object, field: str) -> str:
    if not isinstance(url, str):
        raise InvalidInput("must be a text", field=field)
    if not 1 <= len(url) <= MAX_URL:
        raise InvalidInput(f"must have 1 to {MAX_URL} characters", field=field)
    return url


def _is_clean(text: str) -> bool:
    """No backslash, no white space, nothing unprintable: controls, line and bidi marks, lone surrogates."""
    return "\\" not in text and " " not in text and text.isprintable()


def _parse_absolute(text: str) -> _Url | None:
    match = _ABSOLUTE.fullmatch(text)
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), _host(match["host"])
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if host is None or port > 65_535:
        return None
    return _Url(_Origin(scheme, host, port), _rest(match))


def _host(text: str) -> str | None:
    """The canonical form of a host: lower-case ASCII labels, dotted IPv4, bracketed IPv6. None if it is odd."""
    if text.startswith("["):
        try:
            return f"[{IPv6Address(text[1:-1]).compressed}]"
        except ValueError:
            return None
    name = _ascii(text.lower())
    if name is None or len(name) > _MAX_HOST:
        return None
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if not _NUMERIC_LABEL.fullmatch(labels[-1]):
        return name
    # Browsers read every name that ends in a number as an IPv4 address, in forms like 127.1 and 0x7f000001 too.
    try:
        return str(IPv4Address(name))
    except ValueError:
        return None


def _ascii(name: str) -> str | None:
    """An international name in Punycode, if it survives the way there and back.

    What does not (full-width letters, ligatures, the German sharp s) is read differently by different standards; such
    a name has to be written in Punycode.
    """
    if name.isascii():
        return name
    try:
        encoded = name.encode("idna")
        return encoded.decode("ascii") if encoded.decode("idna") == name else None
    except UnicodeError:
        return None


def _rest(match: re.Match[str]) -> str:
    """Path, query and fragment, with everything percent-encoded that a URL may not hold as it is."""
    written = (match["path"] or "/") + (match["query"] or "") + (match["fragment"] or "")
    return SESSION_ID.join(quote(part, safe="/?#%:@!$&'()*+,;=~-._[]") for part in written.split(SESSION_ID))


def _origin(text: object, field: str, *, wildcards: bool = False) -> _Origin:
    """An origin of the configuration, or a pattern of origins."""
    if not isinstance(text, str):
        raise InvalidInput("must be a text", field=field)
    match = _ABSOLUTE.fullmatch(text) if _is_clean(text) else None
    if match is None or (match["path"] or "/") != "/" or match["query"] or match["fragment"]:
        raise InvalidInput("must be an origin, such as https://app.example.com", field=field)
    labels = match["host"].split(".")
    stars = len(labels) - len([label for label in labels if label != "*"])
    if stars and (not wildcards or len(labels) - stars < 2 or "*" in labels[stars:]):
        raise InvalidInput(
            "must have * only for whole labels in front of two others: https://*.example.com", field=field
        )
    parsed = _parse_absolute(f"{match['scheme']}://{'.'.join(labels[stars:])}{_port_of(match)}")
    if parsed is None or (stars and parsed.origin.host.replace(".", "").isdigit()):
        raise InvalidInput("must be an origin, such as https://app.example.com", field=field)
    origin = parsed.origin
    return _Origin(origin.scheme, "*." * stars + origin.host, origin.port)


def _port_of(match: re.Match[str]) -> str:
    return f":{match['port']}" if match["port"] else ""
