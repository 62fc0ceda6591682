"""The path of a request, as it was sent: what a route table may be asked for."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

_PLAIN = "/:@!$&'()*+,;=~"


def received_path(raw: bytes | None, path: bytes, mount: bytes) -> str:
    """The path below `mount`, not decoded and not normalised.

    Servers decode paths, so that `/%62illing/check` and `/billing%2Fcheck` look like `/billing/check`; whoever guards a
    path before us may not see it that way. `raw` is the target of the request line, which many servers keep, `path`
    what the server made of it, `mount` the beginning of `path` that led here. Where nothing was kept, or something in
    front gave the request another path, `path` counts, as it does for everybody before us.

    What is no path at all (`http://host/…`, `*`) stays as it is and is found nowhere.
    """
    mount = mount.rstrip(b"/")
    rest = path[len(mount) :] if _lies_in(path, mount) else path
    if raw is None:
        return quote(rest, safe=_PLAIN)
    target = raw.partition(b"?")[0]
    if not target.startswith(b"/"):
        return target.decode("latin-1")
    if unquote_to_bytes(target) != path:
        return quote(rest, safe=_PLAIN)
    if rest is path:
        return target.decode("latin-1")
    for spelling in (mount, quote(mount, safe=_PLAIN).encode()):
        if target.startswith(spelling):
            return target[len(spelling) :].decode("latin-1")
    return target.decode("latin-1")


def _lies_in(path: bytes, mount: bytes) -> bool:
    return bool(mount) and (path == mount or path.startswith(mount + b"/"))
