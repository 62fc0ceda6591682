"""Somebody with a browser that has no script: reads pages, follows links, fills in forms and presses buttons."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
from attrs import define, field


@define
class Form:
    """A form of a page: where it goes, what stands in its fields, and its button."""

    action: str
    fields: dict[str, str] = field(factory=dict[str, str])
    button: str = ""
    sends: dict[str, str] = field(factory=dict[str, str])
    """What pressing the button adds."""


class Page(HTMLParser):
    """What a page offers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.text = ""
        self._href = self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A form, a field, a button or a link begins."""
        found = {name: value or "" for name, value in attrs}
        self._inside = tag
        assert tag != "script", "the pages do without"
        if tag == "form":
            assert found["method"] == "post"
            self.forms.append(Form(found["action"]))
        elif tag == "input" and found.get("type") != "checkbox":
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif tag == "button" and "name" in found:
            self.forms[-1].sends[found["name"]] = found["value"]
        elif tag == "a":
            self._href = found["href"]

    def handle_data(self, data: str) -> None:
        """Text: of a button, of a link, or for the reader."""
        if self._inside == "button":
            self.forms[-1].button += data
        elif self._inside == "a":
            self.links[data] = self._href
        if self._inside != "style":
            self.text += f" {data}"

    def handle_endtag(self, tag: str) -> None:
        """What follows is not inside of it any more."""
        self._inside = ""


class Person:
    """In front of a browser that stays within `origin`; `left_for` is where a page sent it that lies elsewhere."""

    def __init__(self, origin: str, http: httpx.Client) -> None:
        self.origin, self.http = origin, http
        self.left_for: str | None = None
        self.status = 0
        self.url = origin
        self.page = Page("")

    def go(self, url: str) -> None:
        """Open an address, and follow where it leads."""
        self._arrive(url, None)

    def press(self, text: str, **filled: str) -> None:
        """Press a link, or a button of a form after filling in some of its fields."""
        link = self.page.links.get(text)
        if link is not None:
            return self._arrive(link, None)
        (form,) = (each for each in self.page.forms if each.button.startswith(text))
        assert set(filled) <= set(form.fields), f"there are the fields {', '.join(form.fields)}"
        return self._arrive(form.action, {**form.fields, **filled, **form.sends})

    def _arrive(self, to: str, form: dict[str, str] | None) -> None:
        url = urljoin(self.url, to)
        if not url.startswith(self.origin):
            self.left_for = url
            return None
        response = self.http.get(url) if form is None else self.http.post(url, data=form)
        if response.is_redirect:
            assert response.status_code == 303
            return self._arrive(urljoin(url, response.headers["location"]), None)
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        self.url, self.status, self.page, self.left_for = url, response.status_code, Page(response.text), None
        return None
