"""Tax ids of customers. Nobody is asked whether they are real: three numbers of Stripe's test mode decide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..api import lists
from ..world.errors import ApiError, Json, not_modelled
from ..world.events import emit, updating
from ..world.rendering import includable

if TYPE_CHECKING:
    from ..world.world import World

MOST = 5
"""How many tax ids a customer may have."""
_SHAPES = {
    "au_abn": r"\d{11}",
    "br_cnpj": r"\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}",
    "ca_bn": r"\d{9}",
    "ca_gst_hst": r"\d{9}RT\d{4}",
    "ch_vat": r"CHE-\d{3}\.\d{3}\.\d{3} (MWST|TVA|IVA)",
    "es_cif": r"[A-Z]\d{7}[0-9A-J]",
    "eu_vat": r"[A-Z]{2}[0-9A-Z]{6,12}",
    "gb_vat": r"GB\d{9}(\d{3})?",
    "in_gst": r"\d{2}[A-Z0-9]{10}\d[A-Z]\d",
    "jp_cn": r"\d{13}",
    "no_vat": r"\d{9}MVA",
    "nz_gst": r"\d{9}",
    "us_ein": r"\d{2}-\d{7}",
    "za_vat": r"4\d{9}",
}
"""The kinds that are modelled, with how their values look."""
_COUNTRIES_OF_EU_VAT = (
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
    *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
)
_VERIFIED = frozenset({"au_abn", "eu_vat", "gb_vat"})
"""The kinds that have a register which Stripe asks."""
_VERDICTS = {"000000000": "verified", "111111111": "unverified"}
"""Digits by which test mode decides; every other number stays pending (https://docs.stripe.com/billing/customer/tax-ids)."""


def check(type: str, value: str, at: str) -> None:
    """See that a value looks like a tax id of its type.

    Raises:
        ApiError: it does not, or the type is not modelled.
    """
    if type not in _SHAPES:
        raise not_modelled(f"tax ids of the type {type}", f"{at}[type]" if at else "type")
    prefix = value[:2].replace("EL", "GR")
    if not re.fullmatch(_SHAPES[type], value) or (type == "eu_vat" and prefix not in _COUNTRIES_OF_EU_VAT):
        raise ApiError(f"Invalid value for {type}.", code="tax_id_invalid", param=f"{at}[value]" if at else "value")


def give(world: World, customer: Json, type: str, value: str) -> Json:
    """Give a customer a tax id that was checked; emits `customer.tax_id.created`, and later what the register says."""
    found: Json = {
        "id": world.ids.new("txi"),
        "object": "tax_id",
        "country": value[:2].replace("EL", "GR") if type == "eu_vat" else type[:2].upper(),
        "created": world.clock.seconds(),
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "owner": {"customer": customer["id"], "customer_account": None, "type": "customer"},
        "type": type,
        "value": value,
        "verification": {
            "status": "pending" if type in _VERIFIED else "unavailable",
            "verified_address": None,
            "verified_name": None,
        },
    }
    world.table("tax_id").add(found)
    emit(world, "customer.tax_id.created", found)
    world.agenda.add(world.clock.seconds(), _verify, found["id"])
    return found


def of_customer(world: World, customer: str) -> list[Json]:
    """The tax ids of a customer, newest first."""
    return lists.filtered(world.table("tax_id"), customer=customer)


def print_on(world: World, invoice: Json) -> None:
    """Note the tax ids that the customer has as an invoice is finalised."""
    known = reversed(of_customer(world, invoice["customer"]))
    invoice["customer_tax_ids"] = [{"type": row["type"], "value": row["value"]} for row in known]


def _verify(world: World, id: str) -> None:
    found = world.table("tax_id").rows.get(id)
    if found is None or found["verification"]["status"] != "pending":
        return
    digits = re.sub(r"\D", "", found["value"])
    verdict = next((verdict for number, verdict in _VERDICTS.items() if digits.startswith(number)), "pending")
    with updating(world, found, "customer.tax_id.updated"):
        found["verification"]["status"] = verdict


@includable("customer", "tax_ids")
def _tax_ids(world: World, customer: Json) -> Json:
    shown = [world.render(row) for row in of_customer(world, customer["id"])]
    return lists.embedded(shown, f"/v1/customers/{customer['id']}/tax_ids")
