"""The official client on a page in Chromium, and the server of that page."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

from attrs import frozen

from tests.acceptance.support import HERE, Client, Shop, returned

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Shop</title>
<script type="importmap">IMPORT_MAP</script>
<script type="module">
import { play } from "/player.mjs";
window.left = [];
// What a page assigns to its location is kept, and not followed: nothing is behind Stripe's addresses.
navigation.addEventListener("navigate", (event) => {
  if (new URL(event.destination.url).origin === location.origin) return;
  event.preventDefault();
  window.left.push(event.destination.url);
});
window.play = play;
</script>
"""
PLAY = """
const [baseURL, call, done] = arguments;
window.left.length = 0;
window.play(baseURL, call).then((answer) => done(JSON.stringify(answer)));
"""


@frozen
class BrowserClient(Client):
    """On a page that is not the shop's own. The browser sends cookies and Origin by itself."""

    place = "chromium"
    shop: Shop
    page: str
    """The origin of the page; the shop trusts it."""
    browser: Any
    """Selenium's, whose types are incomplete."""

    def ask(self, text: str, name: str | None, *, origin: str | None = "") -> Any:
        """See `Client`; the page is `page`, or that of another origin of the same server."""
        self._sign_in(name)
        self._open(origin or self.page)
        return returned(self.browser.execute_async_script(PLAY, self.shop.url, text))

    @property
    def left_for(self) -> list[str]:
        """Where the last call sent the page."""
        return cast("list[str]", self.browser.execute_script("return window.left"))

    def _sign_in(self, name: str | None) -> None:
        """Have the cookie that an application sets at the host of the shop: no script can read it."""
        self.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
        if name is not None:
            cookie = {"name": "better-auth.session_token", "value": f"{name}.sig", "url": self.shop.url}
            self.browser.execute_cdp_cmd("Network.setCookie", {**cookie, "httpOnly": True, "sameSite": "Lax"})

    def _open(self, origin: str) -> None:
        if self.browser.current_url.rstrip("/") != origin:
            self.browser.get(origin)


@contextmanager
def serving_pages(node: str) -> Generator[str]:
    """Serve the page, and the modules of the client as they are installed; gives the origin, on 127.0.0.1.

    The same server at `localhost` is another origin, and another site.
    """
    resolving = ["--experimental-import-meta-resolve", "--conditions=browser", str(HERE / "import_map.mjs")]
    found = subprocess.run([node, *resolving], capture_output=True, text=True, check=True)
    page = PAGE.replace("IMPORT_MAP", found.stdout).encode()

    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = HERE / urlsplit(self.path).path.lstrip("/")
            if path == HERE:
                self._answer(page, "text/html")
            elif path.suffix in (".js", ".mjs") and path.is_file():
                # There is no `process` in a browser: whoever bundles the client writes the value.
                self._answer(path.read_bytes().replace(b"process.env.NODE_ENV", b'"production"'), "text/javascript")
            else:
                self.send_error(404)

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are nobody's news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
