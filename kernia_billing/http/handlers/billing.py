"""`/billing/…`: may it be used, record a use, set something aside, and what there is."""

from __future__ import annotations

from ...domain.ids import event_properties
from ...domain.instants import to_datetime
from .. import answers, views
from ..call import Call
from ..messages import Response, json_response, redirect_response
from ..rate_limits import decision_headers, usage_headers
from ..wire import (
    Check,
    ListInvoices,
    ListUsage,
    Nothing,
    OneInvoice,
    Release,
    Reserve,
    Scope,
    SearchInvoices,
    Settle,
    Track,
    UsageSeries,
)
from .subscription import rows_view


async def check(call: Call[Check]) -> Response:
    """Judge a quantity. A denial is an answer, not an error."""
    asked = call.input
    decision = await call.service.check(
        call.scope, asked.feature, asked.required, entity=asked.entity_id, preview=asked.preview
    )
    return json_response(200, views.check_view(decision, preview=asked.preview), decision_headers(decision))


async def track(call: Call[Track]) -> Response:
    """Record a use."""
    asked = call.input
    usage = await call.service.track(
        call.scope,
        asked.feature,
        asked.quantity,
        mode=asked.mode,
        entity=asked.entity_id,
        properties=event_properties(asked.properties),
        occurred_at=asked.occurred_at,
        idempotency_key=asked.idempotency_key,
    )
    now = to_datetime(call.service.settings.clock.now())
    return json_response(200, views.track_view(usage, call.scope.id), usage_headers(usage, now))


async def reserve(call: Call[Reserve]) -> answers.ReservationView:
    """Set units aside."""
    asked = call.input
    found = await call.service.reserve(
        call.scope,
        asked.feature,
        asked.quantity,
        ttl=asked.ttl,
        entity=asked.entity_id,
        idempotency_key=asked.idempotency_key,
    )
    return views.reservation_view(found)


async def settle(call: Call[Settle]) -> answers.ReservationView:
    """End a reservation with what was used."""
    asked = call.input
    return views.reservation_view(await call.service.settle(call.scope, asked.reservation_id, asked.quantity))


async def release(call: Call[Release]) -> answers.ReservationView:
    """End a reservation of which nothing was used."""
    return views.reservation_view(await call.service.release(call.scope, call.input.reservation_id))


async def customer(call: Call[Scope]) -> answers.CustomerView:
    """Who is billed, by what, and what is left of every feature."""
    found = await call.service.customer(call.scope)
    balances = await call.service.balances(call.scope)
    current = None if found is None or found.subscription is None else rows_view(call.service, [found.subscription])[0]
    return views.customer_view(found, call.scope.id, call.scope.type, current, balances)


async def usage(call: Call[ListUsage]) -> answers.UsageView:
    """List recorded uses."""
    asked = call.input
    page = await call.service.usage(
        call.scope, asked.feature, start=asked.start, end=asked.end, limit=asked.limit, cursor=asked.cursor
    )
    return views.usage_view(page)


async def usage_series(call: Call[UsageSeries]) -> answers.UsageSeriesView:
    """Add recorded uses up."""
    asked = call.input
    points = await call.service.usage_series(
        call.scope,
        asked.feature,
        bin=asked.bin,
        start=asked.start,
        end=asked.end,
        tz=asked.tz,
        group_by=asked.group_by,
    )
    return views.series_view(points, grouped=asked.group_by is not None)


async def invoices(call: Call[ListInvoices]) -> answers.InvoicesView:
    """List invoices."""
    asked = call.input
    page = await call.service.invoices(
        call.scope,
        status=asked.status,
        charged=asked.charged,
        start=asked.start,
        end=asked.end,
        limit=asked.limit,
        cursor=asked.cursor,
    )
    return views.invoices_view(page)


async def search_invoices(call: Call[SearchInvoices]) -> answers.FoundInvoicesView:
    """List invoices of all references."""
    asked = call.input
    page = await call.service.search_invoices(
        status=asked.status,
        charged=asked.charged,
        start=asked.start,
        end=asked.end,
        limit=asked.limit,
        cursor=asked.cursor,
    )
    return views.found_invoices_view(page)


async def invoice_pdf(call: Call[OneInvoice]) -> Response:
    """Send the browser to the document: where Stripe keeps it changes."""
    return redirect_response(await call.service.invoice_pdf(call.scope, call.input.invoice_id))


async def plans(call: Call[Nothing]) -> answers.PlansView:
    """What is sold, for pricing pages."""
    return views.plans_view(await call.service.plans())
