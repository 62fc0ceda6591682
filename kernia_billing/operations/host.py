"""The host's own functions that operations ask: about members, organizations, and new customers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from attrs import frozen

from ..ports.guard import refuse_inside_unit

Asked = Callable[..., Any]


@frozen
class Host:
    """What the configuration gives; None is not given. Functions may be coroutine functions under `AsyncBilling`."""

    member_count: Asked | None = None
    organization_name: Asked | None = None
    get_customer_create_params: Asked | None = None
    on_customer_create: Asked | None = None
    organization_create_params: Asked | None = None
    on_organization_customer_create: Asked | None = None


NOBODY = Host()
"""A host that says nothing."""


async def ask(function: Asked, *arguments: object) -> object:
    """What a function of the host answers, waited for if it is to be. Refused inside a unit of work."""
    refuse_inside_unit("a function of the host")
    answer: object = function(*arguments)
    return await cast("Awaitable[object]", answer) if isinstance(answer, Awaitable) else answer
