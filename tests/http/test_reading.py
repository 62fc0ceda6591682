"""Use over time and invoices on the wire, and paths that name what is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kernia_billing.domain.references import Reference
from tests.http.support import USER, Recorder, outcome, parsed, send

ME = Reference("user_1", "user")
PDF = "https://pay.stripe.com/invoice/in_1/pdf"


def test_use_over_time() -> None:
    """What was asked for reaches the operation as it was written, and a group is there where one was asked for."""
    service = Recorder()
    span = "from=2026-03-01T00:00:00Z&to=%222026-03-02T00:00:00.000Z%22"
    query = f"feature=messages&bin=hour&tz=Europe%2FBerlin&groupBy=model&{span}"
    response = send(service, "GET", "/billing/usage/series", query=query)
    plain = send(Recorder(), "GET", "/billing/usage/series", query="feature=messages")

    assert parsed(response) == {"series": [{"start": "2026-03-01T12:00:00.123Z", "quantity": 2, "group": "small"}]}
    assert parsed(plain) == {"series": [{"start": "2026-03-01T12:00:00.123Z", "quantity": 2}]}
    day = datetime(2026, 3, 1, tzinfo=UTC)
    asked = {"bin": "hour", "start": day, "end": day.replace(day=2), "tz": "Europe/Berlin", "group_by": "model"}
    assert service.calls == [("usage_series", (ME, "messages", asked))]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("feature=a&bin=week", "query.bin"),
        ("feature=a&from=yesterday", "query.from"),
        ("feature=a&groupBy=a b", "query.groupBy"),
        ("feature=a&tz=", "query.tz"),
        ("feature=a&to=2026-03-01T00:00:00", "query.to"),
    ],
)
def test_use_over_time_refuses(query: str, named: str) -> None:
    """What does not fit is named, and nothing is read."""
    service = Recorder()
    response = send(service, "GET", "/billing/usage/series", query=query)

    assert outcome(response) == (400, "VALIDATION_ERROR")
    assert f"[{named}]" in parsed(response)["message"]
    assert service.calls == []


def test_invoices() -> None:
    """Amounts in minor units beside one currency, and dates as everywhere."""
    service = Recorder()
    response = send(
        service, "GET", "/billing/invoices", query="status=paid&charged=true&limit=2&cursor=c&customerType=user"
    )

    at = "2026-03-01T12:00:00.123Z"
    invoice = {
        "id": "in_1",
        "number": "A-1",
        "status": "paid",
        "currency": "eur",
        "total": 1000,
        "amountDue": 1000,
        "amountPaid": 1000,
        "amountRemaining": 1000,
        "createdAt": at,
        "periodStart": at,
        "periodEnd": at,
        "dueAt": None,
    }
    assert parsed(response) == {"invoices": [invoice], "nextCursor": "cursor_2"}
    asked = {"status": "paid", "charged": True, "start": None, "end": None, "limit": 2, "cursor": "c"}
    assert service.calls == [("invoices", (ME, asked))]


@pytest.mark.parametrize("query", ["status=draft", "status=deleted", "charged=1", "limit=201", "limit=0"])
def test_invoices_refuses(query: str) -> None:
    """A draft is nothing that a customer was billed; what does not fit is refused."""
    assert outcome(send(Recorder(), "GET", "/billing/invoices", query=query)) == (400, "VALIDATION_ERROR")


def test_invoices_of_all() -> None:
    """An administrator is told whose each invoice is, and may ask for drafts; a reference in the query says nothing."""
    service = Recorder()
    service.admin = True
    span = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"
    response = send(
        service, "GET", "/billing/invoices/search", query=f"status=draft&charged=true&{span}&limit=2&referenceId=x"
    )

    (found,) = parsed(response)["invoices"]
    assert (found["id"], found["referenceId"], found["customerType"]) == ("in_1", "org_1", "organization")
    assert found["amountDue"] == 1000
    assert parsed(response)["nextCursor"] == "cursor_2"
    day = datetime(2026, 3, 1, tzinfo=UTC)
    asked = {"status": "draft", "charged": True, "start": day, "end": day.replace(day=2), "limit": 2, "cursor": None}
    assert service.calls == [("search_invoices", (asked,))]
    assert service.asked == []


@pytest.mark.parametrize("query", ["status=deleted", "charged=1", "limit=201", "limit=0", "from=yesterday"])
def test_invoices_of_all_refuses(query: str) -> None:
    """What does not fit is refused."""
    service = Recorder()
    service.admin = True
    assert outcome(send(service, "GET", "/billing/invoices/search", query=query)) == (400, "VALIDATION_ERROR")
    assert service.calls == []


def test_an_invoice_as_a_pdf() -> None:
    """A redirect that no cache keeps, to an address that is read anew each time."""
    service = Recorder()
    response = send(service, "GET", "/billing/invoices/{invoiceId}/pdf")

    assert (response.status, response.headers["location"], response.headers["cache-control"]) == (302, PDF, "no-store")
    assert service.calls == [("invoice_pdf", (ME, "in_1"))]
    assert send(Recorder(), "HEAD", "/billing/invoices/in_1/pdf").headers["location"] == PDF
    assert outcome(send(Recorder(), "GET", "/billing/invoices/in_2/pdf")) == (404, "INVOICE_NOT_FOUND")
    assert outcome(send(Recorder(), "POST", "/billing/invoices/in_1/pdf")) == (405, "METHOD_NOT_ALLOWED")


def test_the_path_says_which_invoice() -> None:
    """A member of the same name in the query says nothing, not even a wrong one."""
    service = Recorder()
    send(service, "GET", "/billing/invoices/in_1/pdf", query="invoiceId=in_9")

    assert service.calls == [("invoice_pdf", (ME, "in_1"))]


@pytest.mark.parametrize(
    "path",
    [
        "/billing/invoices//pdf",
        "/billing/invoices/in_1/pdf/",
        "/billing/invoices/in_1%2Fpdf",
        "/billing/invoices/in_1/x/pdf",
        "/billing/invoices/%69n_1/pdf",
        "/billing/invoices/in_1;a/pdf",
        "/billing/invoices/in_1/pdf\n",
        "/billing/invoices/{{invoiceId}}/pdf",
        "/billing/invoices/" + "a" * 256 + "/pdf",
    ],
)
def test_no_other_path_is_one(path: str) -> None:
    """A member of a path is plain: nothing that anybody might read otherwise is one."""
    service = Recorder()

    assert outcome(send(service, "GET", path)) == (404, "NOT_FOUND")
    assert service.calls == []


def test_invoices_are_for_who_may_open_the_portal() -> None:
    """The host is asked for the leave that shows the same invoices at Stripe."""
    service = Recorder()
    send(service, "GET", "/billing/invoices", query="referenceId=org_1&customerType=organization")
    send(service, "GET", "/billing/invoices/in_1/pdf", query="referenceId=org_1&customerType=organization")

    assert service.asked == [(USER.user_id, "org_1", "billing-portal")] * 2
    service.allows = False
    refused: Any = send(
        service, "GET", "/billing/invoices/in_1/pdf", query="referenceId=org_1&customerType=organization"
    )
    assert outcome(refused) == (401, "UNAUTHORIZED")
