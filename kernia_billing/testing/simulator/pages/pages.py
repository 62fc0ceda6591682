"""What the hosted pages share: the frame, tables, forms, amounts. No script, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from ..catalog import prices

if TYPE_CHECKING:
    from ..state import State
    from ..subscriptions.selling import Sale
    from ..world.errors import Json
    from ..world.world import World

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
fieldset { border: 0; padding: 0; margin: 0; }
label.choice { font-weight: 400; display: flex; gap: .5rem; align-items: baseline; }
label.choice input { width: auto; }
select { width: 100%; font: inherit; padding: .6rem; }
button { width: 100%; font: inherit; font-weight: 600; color: #fff; background: var(--accent); border: 0;
  border-radius: .375rem; cursor: pointer; padding: .75rem; margin: 1.25rem 0 1rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
button.quiet { color: inherit; background: none; border: 1px solid var(--line); margin: .5rem 0; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.error { color: #fff; background: var(--bad); border-radius: .375rem; padding: .6rem .8rem; }
""".strip()

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}
_NO_MINOR_UNIT = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf")
)


CARD = "4242 4242 4242 4242"


def frame(world: World, title: str, content: str) -> str:
    """A whole page."""
    merchant = escape(world.settings.account_name)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – {merchant}</title><style>{_STYLE}</style></head>"
        f'<body><main><p>{merchant} <span class="badge">TEST MODE</span></p><h1>{escape(title)}</h1>'
        f"{content}</main></body></html>"
    )


def error_page(state: State, message: str) -> str:
    """A page that says what went wrong."""
    return frame(state.world, "Something went wrong", f'<p role="alert">{escape(message)}</p>')


def money(amount: int, currency: str) -> str:
    """An amount of minor units as people read it."""
    whole = abs(amount)
    shown = f"{whole:,}" if currency in _NO_MINOR_UNIT else f"{whole / 100:,.2f}"
    symbol, sign = _SYMBOLS.get(currency), "-" if amount < 0 else ""
    return f"{sign}{symbol}{shown}" if symbol else f"{sign}{shown} {currency.upper()}"


def day(seconds: int) -> str:
    """A date as people read it."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{moment.day} {moment:%B %Y}"


def alert(message: str | None) -> str:
    """What went wrong, read out at once; nothing when nothing did."""
    return f'<p class="error" role="alert">{escape(message)}</p>' if message else ""


def link(url: str | None, text: str) -> str:
    """A link on a line of its own; nothing without a URL."""
    return f'<p><a href="{escape(url)}">{escape(text)}</a></p>' if url else ""


def row(name: str, value: str) -> str:
    """A line of a table. Both are texts, not HTML."""
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'


def table(caption: str, rows: Iterable[str], total: tuple[str, str] | None = None) -> str:
    """A table with a last line that stands out."""
    foot = f"<tfoot>{row(*total)}</tfoot>" if total else ""
    return f"<table><caption hidden>{escape(caption)}</caption><tbody>{''.join(rows)}</tbody>{foot}</table>"


def sale_row(world: World, sale: Sale) -> str:
    """What is sold, and its price."""
    name = world.table("product").get(sale.price["product"])["name"]
    count = f" × {sale.quantity}" if sale.quantity and sale.quantity > 1 else ""
    return row(f"{name}{count}", price_text(sale.price, sale.quantity))


def price_text(price: Json, quantity: int | None = 1) -> str:
    """A price as people read it."""
    amount = money(prices.cost(price, 1 if quantity is None else quantity), price["currency"])
    every = f" / {_interval(price['recurring'])}" if price["recurring"] else ""
    return f"{amount} per unit used{every}" if prices.is_metered(price) else f"{amount}{every}"


def text_field(
    name: str, label: str, value: str = "", *, hint: str = "off", mode: str = "text", required: bool = True
) -> str:
    """An input with its label."""
    needed = " required" if required else ""
    return (
        f'<label for="{escape(name)}">{escape(label)}</label><input id="{escape(name)}" name="{escape(name)}" '
        f'value="{escape(value)}" autocomplete="{hint}" inputmode="{mode}"{needed}>'
    )


def choice(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str = "") -> str:
    """A list to choose from, with its label; options are (value, text)."""
    made = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    id = escape(name)
    return f'<label for="{id}">{escape(label)}</label><select id="{id}" name="{id}">{made}</select>'


def tick(name: str, label: str, *, on: bool = False) -> str:
    """A box to tick."""
    checked = " checked" if on else ""
    return (
        f'<label class="choice" for="{escape(name)}"><input type="checkbox" id="{escape(name)}" name="{escape(name)}" '
        f'value="on"{checked}>{escape(label)}</label>'
    )


def form(action: str, content: str, button: str, *, quiet: bool = False, name: str = "", value: str = "") -> str:
    """A form that is posted, with its button, which may send a value of its own."""
    sends = f' name="{escape(name)}" value="{escape(value)}"' if name else ""
    kind = ' class="quiet"' if quiet else ""
    return (
        f'<form method="post" action="{escape(action)}">{content}'
        f'<button type="submit"{sends}{kind}>{escape(button)}</button></form>'
    )


def hidden(values: Iterable[tuple[str, str]]) -> str:
    """Values that are sent along unseen."""
    return "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in values)


def card_fields(card: str = CARD) -> str:
    """The fields of a card; test cards need no other expiry or code than what stands there."""
    return (
        text_field("card", "Card number", card, hint="cc-number", mode="numeric")
        + text_field("expiry", "Expiry", "12 / 34", hint="cc-exp", mode="numeric")
        + text_field("cvc", "CVC", "123", hint="cc-csc", mode="numeric")
    )


def challenge(world: World, action: str, values: Iterable[tuple[str, str]] = ()) -> str:
    """The page of the bank, where a person authenticates or fails to."""
    carried = hidden(values)
    return frame(
        world,
        "3D Secure authentication",
        "<p>Your bank asks whether this is you. This is a test page: choose how it ends.</p>"
        + form(action, carried, "Complete authentication", name="authenticate", value="pass")
        + form(action, carried, "Fail authentication", quiet=True, name="authenticate", value="fail"),
    )


def _interval(recurring: Json) -> str:
    count = recurring["interval_count"]
    return str(recurring["interval"]) if count == 1 else f"{count} {recurring['interval']}s"
