"""What endpoints declare: who is billed for the request, and which feature it needs."""

from __future__ import annotations

import inspect
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from kernia_billing.domain.answers import Decision
from kernia_billing.domain.ids import feature_key, quantity
from kernia_billing.errors import InvalidInput
from kernia_billing.http.gate import current, demand_feature


async def _reference() -> str:
    return (await current().resolve()).id


CurrentReference = Annotated[str, Depends(_reference)]
"""Who is billed for what the caller does: the active organization or the user, as `subscription_for` says.

The request is refused with 401 where nobody is signed in, and with 400 where there is no active organization.
"""


class RequiresFeature:
    """A dependency that lets a request pass only if `required` more of `feature` may be used; nothing is counted.

    `Depends(RequiresFeature("tokens"))`, for `def` and `async def` endpoints; its value is the `Decision`.
    `reference_from` names a path parameter, or else a query parameter, that holds a reference: then the host's
    `authorize_reference` is asked; without it the request is about the caller's own.

    A request that may not pass is answered with 402 (401, 400), or for people in a browser by a redirect to the
    paywall.

    Raises:
        InvalidInput: at once: not a key, or a number below 0 or above 10^9.
    """

    # FastAPI cannot evaluate the annotations of an object's `__call__`, only those of functions.
    __signature__ = inspect.Signature(
        [inspect.Parameter("connection", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)]
    )

    def __init__(self, feature: str, required: int = 1, *, reference_from: str | None = None) -> None:
        self._feature = feature_key(feature)
        self._required = quantity(required, "required", minimum=0)
        self._name = reference_from

    async def __call__(self, connection: HTTPConnection) -> Decision:
        """The decision, if it is a yes.

        Raises:
            FeatureDenied, NotFound, Unauthorized, InvalidInput, NotBound: as `requires_feature`.
        """
        return await demand_feature(current(), self._feature, self._required, self._named(connection))

    def _named(self, connection: HTTPConnection) -> str | None:
        name = self._name
        if name is None:
            return None
        in_path: object = connection.path_params.get(name)
        values = connection.query_params.getlist(name) if in_path is None else [str(in_path)]
        if len(values) != 1 or not values[0]:
            raise InvalidInput("names no reference, or more than one", field=name)
        return values[0]
