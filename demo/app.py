"""Pigeon, a small SaaS: projects that send messages, as many as your plan says.

All that billing asks of an application is here: the plans, who is asking, one call where something is used, and the
views for buying. The application stores its own rows in the same database, and counts them in the same transaction.
With a Stripe account, only `stripe_client=stripe` would be different.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from uuid import uuid4

from flask import Flask, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from demo.people import USERS, current_user, people, user
from demo.simulation import pages, stripe
from kernia_billing import (
    Billing,
    BillingError,
    Boolean,
    Conflict,
    FeatureDenied,
    Identity,
    Metered,
    Plan,
    Quantity,
    Unauthorized,
    requires_feature,
)
from kernia_billing_flask import KerniaBilling

BASE_URL = os.environ.get("DEMO_URL", "http://127.0.0.1:8000")

# ── The application's own tables ─────────────────────────────────────────────────────────────────────────────────────

engine = create_engine(os.environ.get("DEMO_DATABASE", "sqlite:///demo.sqlite"))
db = scoped_session(sessionmaker(engine))


class Base(DeclarativeBase):
    """The application's tables. Billing keeps its own beside them, all named `billing_…`."""


class Project(Base):
    """A project of a user. Its id is never given out twice, so that it can name what is counted."""

    __tablename__ = "project"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: uuid4().hex)
    owner: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]


class Message(Base):
    """A message that was sent from a project."""

    __tablename__ = "message"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    text: Mapped[str]


Base.metadata.create_all(engine)

# ── What is sold ─────────────────────────────────────────────────────────────────────────────────────────────────────

billing = Billing(
    database=engine,
    base_url=BASE_URL,
    stripe_client=stripe,  # with Stripe: stripe_key="sk_…", stripe_webhook_secrets=["whsec_…"]
    default_plan="free",
    plans=[
        Plan("free", title="Free", features={"projects": Quantity(1), "messages": Metered(5)}),
        Plan(
            "pro",
            title="Pro",
            price_id="price_pro",
            features={"projects": Quantity(3), "messages": Metered(100), "sso": Boolean()},
        ),
        Plan(
            "team",
            title="Team",
            price_id="price_team",
            annual_price_id="price_team_yearly",
            features={"projects": Quantity(unlimited=True), "messages": Metered(1_000), "sso": Boolean()},
        ),
    ],
)
billing.catalog.sync()  # the prices that the page of plans shows
stripe.hosted_base = BASE_URL  # where `demo.simulation` serves the pages that Stripe would host

# ── Who is asking ────────────────────────────────────────────────────────────────────────────────────────────────────


def identify() -> Identity | None:
    """Who is signed in, as billing wants to know it."""
    known = current_user()
    return None if known is None else Identity(known.id, email=known.email, email_verified=True)


app = Flask(__name__)
app.secret_key = secrets.token_bytes()
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"  # no other site can post our forms with it
app.register_blueprint(people)
app.register_blueprint(pages)  # the simulator's checkout page and billing portal
KerniaBilling(billing, identify=identify, paywall_url="/plans").init_app(app)  # /api/auth/… and @requires_feature


@app.teardown_appcontext
def close_session(_: object) -> None:
    """Roll back what was not committed."""
    db.remove()


@app.after_request
def always_fresh(response: Response) -> Response:
    """Pages show what is, also when the browser goes back to them."""
    response.headers.setdefault("cache-control", "no-store")
    return response


@app.context_processor
def context() -> dict[str, object]:
    """What the frame around every page shows."""
    known = current_user()
    subscription = billing.subscriptions.get(known.id) if known else None
    return {"user": known, "users": USERS.values(), "subscription": subscription, "now": stripe.now}


@app.template_filter("day")
def day(moment: datetime) -> str:
    """A date as people write it."""
    return f"{moment.day} {moment:%B %Y}"


@app.get("/")
def home() -> str | Response:
    """The first page: sign in."""
    if request.host_url.rstrip("/") != BASE_URL:  # localhost, say: buyers come back to BASE_URL, so start there too
        return redirect(BASE_URL)
    return redirect(url_for("projects")) if current_user() else render_template("home.html")


# ── The product ──────────────────────────────────────────────────────────────────────────────────────────────────────


@app.get("/projects")
def projects() -> str:
    """The user's projects, and how much is left."""
    rows = db.scalars(select(Project).where(Project.owner == user().id).order_by(Project.name)).all()
    sent = db.scalars(select(Message).where(Message.project_id.in_([row.id for row in rows]))).all()
    balances = billing.balances(user().id)
    return render_template("projects.html", projects=rows, messages=sent, balances=balances, token=uuid4().hex)


@app.post("/projects")
def create_project() -> Response:
    """Create a project, if the plan has room for it: counted if and only if it is stored."""
    project = Project(owner=user().id, name=_text("name"))
    db.add(project)
    db.flush()
    billing.consume(
        user().id,
        "projects",
        idempotency_key=f"project:{project.id}",
        properties={"project": project.name},
        transaction=db,
    )
    db.commit()
    return redirect(url_for("projects"))


@app.post("/projects/<project_id>/delete")
def delete_project(project_id: str) -> Response:
    """Delete a project, which makes room for another one."""
    project = _project(project_id)
    db.delete(project)
    db.flush()
    billing.give_back(user().id, "projects", idempotency_key=f"project:{project.id}:deleted", transaction=db)
    db.commit()
    return redirect(url_for("projects"))


@app.post("/projects/<project_id>/messages")
def send_message(project_id: str) -> Response:
    """Send a message. The form's token is its id: a second click neither sends nor counts it a second time."""
    project, token, text = _project(project_id), _text("token"), _text("text")
    usage = billing.consume(
        user().id,
        "messages",
        idempotency_key=f"message:{token}",
        properties={"project": project.name},
        transaction=db,
    )
    if not usage.replayed:
        db.add(Message(id=token, project_id=project.id, text=text))
    db.commit()
    return redirect(url_for("projects"))


@app.get("/sso")
@requires_feature("sso")
def single_sign_on() -> str:
    """A page for those whose plan includes it; others get `denied`, below."""
    return render_template("sso.html")


def _project(project_id: str) -> Project:
    """A project of the user's own; those of others do not exist for them."""
    found = db.get(Project, project_id)
    return found if found is not None and found.owner == user().id else abort(404)


def _text(name: str) -> str:
    return request.form.get(name, "").strip()[:80] or abort(400, f"Please fill in the {name}.")


# ── Plans, checkout, billing ─────────────────────────────────────────────────────────────────────────────────────────


@app.get("/plans")
def plans() -> str:
    """What is sold. Gates send people here, with the reason why."""
    return render_template("plans.html", plans=billing.plans.list(), reason=request.args.get("reason"))


@app.post("/plans/<name>")
def buy(name: str) -> Response:
    """Go to Stripe's checkout page, which sends the buyer back to `/welcome`."""
    try:
        checkout = billing.subscriptions.upgrade(
            user().id,
            name,
            annual="annual" in request.form,
            success_url="/welcome?checkout={CHECKOUT_SESSION_ID}",
            cancel_url="/plans",
            identity=identify(),
        )
    except Conflict as refused:
        flash(refused.message)
        return redirect(url_for("account"))
    return redirect(checkout.url or url_for("account"))


@app.get("/welcome")
def welcome() -> Response:
    """Back from the checkout page. Asks Stripe what became of it, instead of waiting for the webhook."""
    billing.sync_checkout(request.args.get("checkout", ""))
    active = billing.subscriptions.get(user().id)
    flash("Thank you! Your plan is active." if active else "Your payment is on its way.")
    return redirect(url_for("account"))


@app.get("/billing")
def account() -> str:
    """The plan, what is left of everything, and what was used."""
    usage = billing.usage(user().id, limit=20, cursor=request.args.get("cursor"))
    return render_template("billing.html", balances=billing.balances(user().id), usage=usage)


@app.post("/billing/portal")
def portal() -> Response:
    """Go to Stripe's billing portal: invoices, cards, cancellation."""
    return redirect(billing.portal(user().id, return_url="/billing").url)


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.errorhandler(FeatureDenied)
def denied(error: FeatureDenied) -> tuple[str, int]:
    """The plan does not allow it. What the view had written is rolled back when the request ends."""
    return render_template("denied.html", decision=error.decision), 402


@app.errorhandler(Unauthorized)
def anonymous(_: Unauthorized) -> Response:
    """A gate met somebody who is not signed in."""
    return redirect(url_for("home"))


@app.errorhandler(BillingError)
def failed(error: BillingError) -> tuple[str, int]:
    """Anything else that billing refuses: a plan that does not exist, a database that is busy."""
    if error.status == 500:  # a mistake of ours, not of the visitor
        raise error
    return render_template("error.html", message=error.message), error.status


@app.errorhandler(HTTPException)
def missing(error: HTTPException) -> tuple[str, int]:
    """A page that does not exist, or a form that was not filled in."""
    return render_template("error.html", message=error.description), error.code or 500
