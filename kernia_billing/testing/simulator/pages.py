"""The hosted pages, for demos and people: a checkout page with a card form, a portal page with a way back."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from . import checkout, prices, subscriptions

if TYPE_CHECKING:
    from .errors import Json
    from .state import State
    from .world import World

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --accent: #4f46e5; --bad: #b42318; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center; min-height: 100vh; }
main { width: min(26rem, 100% - 2rem); padding: 2rem 0; }
h1 { font-size: 1.25rem; margin: .25rem 0 1rem; }
.badge { background: #f59e0b; color: #1c1400; border-radius: .25rem; font: 700 .75rem sans-serif; padding: .1rem .3rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .5rem 0; text-align: left; font-weight: 400; }
td { text-align: right; white-space: nowrap; }
tfoot th, tfoot td { font-weight: 700; border: 0; }
label { display: block; font-weight: 600; margin-top: .75rem; }
input { width: 100%; font: inherit; padding: .6rem; border: 1px solid var(--line); border-radius: .375rem; }
button { width: 100%; font: inherit; font-weight: 600; color: #fff; background: var(--accent); border: 0;
  border-radius: .375rem; cursor: pointer; padding: .75rem; margin: 1.25rem 0 1rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { color: #fff; background: var(--bad); border-radius: .375rem; padding: .6rem .8rem; }
""".strip()

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}
_NO_MINOR_UNIT = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf")
)


def checkout_page(state: State, session_id: str, *, error: str | None = None, card: str = "4242 4242 4242 4242") -> str:
    """The page of an open checkout session, with the message of a declined card when there is one.

    Raises:
        ApiError: no such session.
    """
    world = state.world
    with world.lock:
        session = world.table("checkout.session").get(session_id)
        if session["status"] != "open":
            return _page(
                world, "Checkout", f"<p>This checkout session is {escape(session['status'])}.</p>{_back(session)}"
            )
        amount = money(session["amount_total"], session["currency"])
        rows = "".join(_row(world, sale) for sale in checkout.sales_of(world, session))
        trial = _trial(world, session)
        failure = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
        return _page(
            world,
            f"Subscribe to {_names(world, session)}",
            f"<table><caption hidden>Order</caption><tbody>{rows}</tbody>"
            f'<tfoot><tr><th scope="row">Due today</th><td>{amount}</td></tr></tfoot></table>{trial}{failure}'
            f"{_form(session, card, amount)}{_back(session)}",
        )


def portal_page(state: State, session_id: str) -> str:
    """The page of a portal session: what the customer subscribes to, and the way back.

    Raises:
        ApiError: no such session.
    """
    world = state.world
    with world.lock:
        session = world.table("billing_portal.session").get(session_id)
        rows = "".join(_subscription(world, row) for row in subscriptions.live_of(world, session["customer"]))
        table = f"<table><caption hidden>Subscriptions</caption><tbody>{rows}</tbody></table>" if rows else ""
        back = _link(session["return_url"], "Return to the site")
        return _page(world, "Your subscriptions", f"{table or '<p>No subscription.</p>'}{back}")


def error_page(state: State, message: str) -> str:
    """A page that says what went wrong."""
    return _page(state.world, "Something went wrong", f'<p role="alert">{escape(message)}</p>')


def money(amount: int, currency: str) -> str:
    """An amount of minor units as people read it."""
    shown = f"{amount:,}" if currency in _NO_MINOR_UNIT else f"{amount / 100:,.2f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{shown}" if symbol else f"{shown} {currency.upper()}"


def _page(world: World, title: str, content: str) -> str:
    merchant = escape(world.settings.account_name)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – {merchant}</title><style>{_STYLE}</style></head>"
        f'<body><main><p>{merchant} <span class="badge">TEST MODE</span></p><h1>{escape(title)}</h1>'
        f"{content}</main></body></html>"
    )


def _row(world: World, sale: subscriptions.Sale) -> str:
    name = escape(world.table("product").get(sale.price["product"])["name"])
    count = f" × {sale.quantity}" if sale.quantity and sale.quantity > 1 else ""
    return f'<tr><th scope="row">{name}{count}</th><td>{_price(sale.price, sale.quantity)}</td></tr>'


def _price(price: Json, quantity: int | None) -> str:
    amount = money(prices.cost(price, 1 if quantity is None else quantity), price["currency"])
    every = f" / {escape(price['recurring']['interval'])}" if price["recurring"] else ""
    return f"{amount} per unit used{every}" if prices.is_metered(price) else f"{amount}{every}"


def _names(world: World, session: Json) -> str:
    sales = checkout.sales_of(world, session)
    return ", ".join(str(world.table("product").get(sale.price["product"])["name"]) for sale in sales)


def _trial(world: World, session: Json) -> str:
    end = checkout.trial_end_of(world, session)
    return "" if end is None else f"<p>Free trial for {(end - world.clock.seconds()) // 86_400} days.</p>"


def _form(session: Json, card: str, amount: str) -> str:
    fields = (
        ("card", "Card number", card, "cc-number", "numeric"),
        ("expiry", "Expiry", "12 / 34", "cc-exp", "numeric"),
        ("cvc", "CVC", "123", "cc-csc", "numeric"),
    )
    inputs = "".join(
        f'<label for="{name}">{label}</label><input id="{name}" name="{name}" value="{escape(value)}" '
        f'autocomplete="{hint}" inputmode="{mode}" required>'
        for name, label, value, hint, mode in fields
    )
    verb = f"Pay {amount}" if session["amount_total"] else "Start"
    action = f"/c/pay/{escape(session['id'])}"
    return f'<form method="post" action="{action}">{inputs}<button type="submit">{verb}</button></form>'


def _subscription(world: World, subscription: Json) -> str:
    items = subscriptions.items_of(world, subscription)
    sales = [subscriptions.Sale(world.table("price").get(item["price"]), item["quantity"]) for item in items]
    state = escape(str(subscription["status"]).replace("_", " "))
    rows = "".join(_row(world, sale) for sale in sales)
    return f'{rows}<tr><th scope="row">Status</th><td>{state}</td></tr>'


def _back(session: Json) -> str:
    return _link(session["cancel_url"], "Back to the shop")


def _link(url: str | None, text: str) -> str:
    return f'<p><a href="{escape(url)}">{escape(text)}</a></p>' if url else ""
