"""Who can sign in, and who has: what every application has already."""

from __future__ import annotations

from attrs import frozen
from flask import Blueprint, abort, redirect, request, session, url_for
from werkzeug.wrappers import Response


@frozen
class User:
    """Somebody who can sign in."""

    id: str
    name: str
    email: str


USERS = {
    "ada": User("ada", "Ada", "ada@pigeon.example"),
    "grace": User("grace", "Grace", "grace@pigeon.example"),
}

people = Blueprint("people", __name__)


def current_user() -> User | None:
    """Who is signed in, by the signed session cookie."""
    return USERS.get(session.get("user", ""))


def user() -> User:
    """Who is signed in; everybody else is sent to the first page."""
    found = current_user()
    if found is None:
        abort(redirect(url_for("home")))
    return found


@people.post("/sign-in")
def sign_in() -> Response:
    """Sign in. It is a demo: there is no password."""
    session["user"] = request.form["user"]
    return redirect(url_for("home"))


@people.post("/sign-out")
def sign_out() -> Response:
    """Forget who was signed in."""
    session.clear()
    return redirect(url_for("home"))
