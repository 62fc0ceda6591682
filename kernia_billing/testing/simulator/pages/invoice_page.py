"""The page of a final invoice: what it is for, and a form that pays it while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import pages

if TYPE_CHECKING:
    from ..state import State
    from ..world.errors import Json
    from ..world.world import World

_WORDS = {"paid": "Paid", "open": "Open", "void": "Void", "uncollectible": "Uncollectible"}


def invoice_page(state: State, invoice_id: str, *, error: str | None = None, card: str = pages.CARD) -> str:
    """The page of an invoice, with the message of a declined card when there is one.

    Raises:
        ApiError: no such invoice.
    """
    world = state.world
    with world.lock:
        invoice = world.table("invoice").get(invoice_id)
        number, currency = invoice["number"], invoice["currency"]
        amount = pages.money(invoice["amount_remaining"], currency)
        content = pages.table("Invoice", _rows(world, invoice), ("Amount due", amount)) + pages.alert(error)
        if invoice["status"] in ("open", "uncollectible"):
            content += pages.form(path_of(invoice), pages.card_fields(card), f"Pay {amount}")
        else:
            content += f"<p>{_WORDS[invoice['status']]}.</p>"
        return pages.frame(world, f"Invoice {number}", content)


def path_of(invoice: Json) -> str:
    """Where the page is."""
    return "/" + str(invoice["hosted_invoice_url"]).partition("://")[2].partition("/")[2]


def _rows(world: World, invoice: Json) -> list[str]:
    currency = invoice["currency"]
    rows = [pages.row(str(line["description"]), pages.money(line["amount"], currency)) for line in _lines(invoice)]
    reductions = invoice["total"] - invoice["subtotal"]
    if reductions:
        rows.append(pages.row("Discounts and taxes", pages.money(reductions, currency)))
    rows.append(pages.row("Total", pages.money(invoice["total"], currency)))
    rows.append(pages.row("Status", _WORDS[invoice["status"]]))
    if invoice["due_date"] is not None:
        rows.append(pages.row("Due", pages.day(invoice["due_date"])))
    return rows


def _lines(invoice: Json) -> list[Json]:
    lines: list[Json] = invoice["lines"]["data"]
    return lines
