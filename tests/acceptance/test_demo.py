"""The demo, as people use it: a real process, and a real browser that walks through it."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from demo.__main__ import listen
from tests.acceptance.support import serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

VISA, DECLINED = "4242 4242 4242 4242", "4000 0000 0000 0002"


class Visitor:
    """Somebody in front of the browser, who reads labels and presses what is written on buttons and links."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser  # a Chrome, whose types are too vague for a strict check
        self.url = url

    def go(self, path: str) -> None:
        """Type an address."""
        self.browser.get(self.url + path)

    def press(self, text: str, within: str = "") -> None:
        """Press the button or link with this text, in the element of an XPath, and wait for the next page."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        def arrived(browser: Any) -> bool:
            is_new = bool(browser.find_element("tag name", "html") != old)
            return is_new and browser.execute_script("return document.readyState") == "complete"

        wanted = f"{within}//*[self::button or self::a][contains(normalize-space(.), '{text}')]"
        old = self.browser.find_element("tag name", "html")
        self.browser.find_element("xpath", wanted).click()
        WebDriverWait(self.browser, 30, ignored_exceptions=[WebDriverException]).until(arrived)

    def fill(self, label: str, text: str) -> None:
        """Type into the field with this label."""
        found = self.browser.find_element("xpath", f"//label[normalize-space(.)='{label}']")
        entry = self.browser.find_element("id", found.get_attribute("for") or "")
        entry.clear()
        entry.send_keys(text)

    def create(self, project: str) -> None:
        """Create a project, or try to."""
        self.go("/projects")
        self.fill("New project", project)
        self.press("Create")

    def pay(self, card: str) -> None:
        """Pay on the checkout page."""
        self.fill("Card number", card)
        self.press("Pay")

    @property
    def path(self) -> str:
        """Where the browser is."""
        return str(self.browser.current_url).removeprefix(self.url)

    @property
    def page(self) -> str:
        """What the page says."""
        return str(self.browser.find_element("tag name", "main").text)

    @property
    def history(self) -> list[str]:
        """The rows of the usage history without their times, newest first."""
        self.go("/billing")
        rows = self.browser.find_elements("css selector", "tbody tr")
        return [" ".join(each.text for each in row.find_elements("tag name", "td")[1:]) for row in rows]

    def figure(self, feature: str) -> str:
        """What the meter of a feature says."""
        return str(self.browser.find_element("css selector", f"[data-feature={feature}]").text)

    def client(self) -> httpx.Client:
        """A program that has the browser's session."""
        cookies = {each["name"]: each["value"] for each in self.browser.get_cookies()}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=30)


@contextmanager
def pictured(browser: Any, folder: Path) -> Generator[None]:
    """Keep a picture of the page on which something fails."""
    try:
        yield
    except BaseException as failure:
        picture = folder / "failure.png"
        browser.save_screenshot(str(picture))
        failure.add_note(f"at {browser.current_url}; see {picture}")
        raise


@pytest.fixture
def visitor(browser: Chrome, tmp_path: Path) -> Generator[Visitor]:
    """Somebody who opens the demo. Nothing of the demo is left when it has ended."""
    folder = tmp_path / "demo"
    folder.mkdir()
    with serving("demo", "--port", "0", folder=folder) as (_, first), pictured(browser, tmp_path):
        assert first.startswith("Pigeon, a demo of kernia_billing: http://127.0.0.1:")
        yield Visitor(browser, first.split()[-1])
    assert not list(folder.iterdir())


def test_the_whole_story(visitor: Visitor) -> None:
    """Sign in, reach a limit, pay, go on, see what was used; and nothing of it concerns the other user."""
    visitor.go("/")
    assert "no real money" in visitor.browser.find_element("tag name", "aside").text
    ada_reaches_the_free_limit(visitor)
    ada_pays(visitor)
    ada_uses_her_plan(visitor)
    ada_sees_what_was_used(visitor)
    grace_sees_nothing_of_it(visitor)
    grace_pays_by_the_year(visitor)


def ada_reaches_the_free_limit(visitor: Visitor) -> None:
    """One project is free; the second one is refused, with a way out."""
    visitor.press("Sign in as Ada")
    assert visitor.path == "/projects"
    visitor.create("Loft")
    assert visitor.figure("projects") == "1 of 1 used"

    visitor.create("Roof")

    assert "That is all your plan includes: 1 project." in visitor.page
    assert visitor.browser.title.startswith("Plan limit")
    visitor.press("See the plans")
    assert visitor.path == "/plans?reason=insufficient_balance"
    assert "3 projects\n100 messages a month\nSingle sign-on" in visitor.page


def ada_pays(visitor: Visitor) -> None:
    """A declined card changes nothing; a good one does, at once."""
    visitor.press("Choose Pro")
    assert visitor.path.startswith("/c/pay/cs_test_")
    assert "€12.00" in visitor.page
    checkout = visitor.path

    visitor.pay(DECLINED)
    assert "Your card was declined." in visitor.page
    visitor.go("/billing")
    assert "No payment, no card." in visitor.page

    visitor.go(checkout)
    visitor.pay(VISA)
    assert visitor.path == "/billing"
    assert "Thank you! Your plan is active." in visitor.page
    assert "Pro active" in visitor.page


def ada_uses_her_plan(visitor: Visitor) -> None:
    """Three projects and no fourth; a deleted one makes room; messages are counted."""
    for name in ("Roof", "Tower"):
        visitor.create(name)
        assert visitor.path == "/projects"
    assert visitor.figure("projects") == "3 of 3 used"
    visitor.create("Barn")
    assert "That is all your plan includes: 3 projects." in visitor.page

    visitor.go("/projects")
    visitor.press("Delete", within="//article[@data-project='Tower']")
    assert visitor.figure("projects") == "2 of 3 used"
    visitor.create("Barn")
    assert visitor.figure("projects") == "3 of 3 used"

    visitor.browser.find_element("css selector", "[data-project=Loft] input[name=text]").send_keys("Coo!")
    visitor.press("Send", within="//article[@data-project='Loft']")
    assert "Coo!" in visitor.page
    assert visitor.figure("messages") == "1 of 100 used"


def ada_sees_what_was_used(visitor: Visitor) -> None:
    """The history holds what was stored and nothing else; a new month begins anew; portal and single sign-on open."""
    assert visitor.history == [
        "Messages Loft +1",
        "Projects Barn +1",
        "Projects deleted -1",
        "Projects Tower +1",
        "Projects Roof +1",
        "Projects Loft +1",
    ]
    visitor.press("Skip a month")
    assert (visitor.figure("messages"), visitor.figure("projects")) == ("0 of 100 used", "3 of 3 used")

    visitor.press("Manage billing")
    assert visitor.path.startswith("/p/session/bps_")
    assert "Pigeon Pro" in visitor.page
    visitor.press("Return to the site")
    assert visitor.path == "/billing"

    visitor.press("Set up single sign-on")
    assert "Your plan includes it." in visitor.page


def grace_sees_nothing_of_it(visitor: Visitor) -> None:
    """Another user has her own projects, plan and history, and cannot touch those of the first one."""
    visitor.go("/projects")
    hers = visitor.browser.find_element("css selector", "[data-project=Loft] form").get_attribute("action")
    visitor.press("Sign out")
    visitor.press("Sign in as Grace")

    assert "No project yet." in visitor.page
    assert visitor.figure("projects") == "0 of 1 used"
    assert visitor.history == []
    assert "No payment, no card." in visitor.page
    visitor.press("Set up single sign-on")
    assert "Your plan has no single sign-on." in visitor.page
    with visitor.client() as program:
        assert program.post(hers or "").status_code == 404
        assert program.post("/projects", data={"name": "Nest"}).status_code == 302
        assert program.post("/projects", data={"name": "Nest 2"}).status_code == 402
        told = program.get("/api/auth/billing/customer").json()
        assert (told["referenceId"], told["plan"], told["features"]["projects"]["used"]) == ("grace", "free", 1)


def grace_pays_by_the_year(visitor: Visitor) -> None:
    """The yearly price of the largest plan: no limit."""
    visitor.go("/plans")
    visitor.press("490.00 EUR a year")
    assert "€490.00 / year" in visitor.page
    visitor.pay(VISA)
    assert "Team active" in visitor.page
    assert "Paid by the year" in visitor.page
    visitor.create("Coop")
    assert visitor.figure("projects") == "2 used, no limit"


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """The next free port serves as well, and the demo says why."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken: int = other.getsockname()[1]
        with closing(listen(taken)) as listener:
            assert taken < listener.getsockname()[1] < taken + 20

    assert f"Port {taken} cannot be used" in capsys.readouterr().err
