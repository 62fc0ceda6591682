"""What stands in for Stripe: an account with prices, and the pages that Stripe would host.

An application with a Stripe account has nothing of this.
"""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from kernia_billing.testing import StripeSimulator

stripe = StripeSimulator(ticking=True)
stripe.settings.account_name = "Pigeon"
stripe.add_price("price_pro", 12_00, "eur", product=stripe.add_product("Pigeon Pro"))
team = stripe.add_product("Pigeon Team")
stripe.add_price("price_team", 49_00, "eur", product=team)
stripe.add_price("price_team_yearly", 490_00, "eur", interval="year", product=team)

pages = Blueprint("simulation", __name__)


@pages.route("/c/pay/<path:page>", methods=["GET", "POST"])
@pages.route("/p/session/<path:page>", methods=["GET", "POST"])
@pages.route("/i/<path:page>", methods=["GET", "POST"])
def hosted(page: str) -> Response:
    """Stripe's checkout page, where test cards pay, its billing portal, and its invoices."""
    status, headers, body = stripe.hosted(request.method, request.path, request.form)
    return Response(body, status, headers)


@pages.post("/skip-a-month")
def skip_a_month() -> BaseResponse:
    """Move Stripe's clock, and billing's with it: plans are paid again, and monthly allowances begin anew."""
    stripe.advance(months=1, hours=2)
    return redirect(url_for("account"))
