"""The body of a WSGI response, made piece by piece under the binding of its request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self
from wsgiref.types import StartResponse

from .errors import BillingError
from .http.gate import Binding, bind

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

Refuse = Callable[[BillingError], Iterable[bytes]]


def bound_body(
    body: Iterable[bytes], binding: Binding, environ: dict[str, Any], *, refuse: Refuse | None = None
) -> Iterable[bytes]:
    """What to hand to the server in place of `body`.

    A streaming view runs while the server asks for its pieces, after the application has returned; its gates need the
    binding then. What holds no code of a view is handed over as it is. `refuse` makes another body of one of our errors
    that is raised before the first piece.
    """
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(body, (list, tuple)) or (isinstance(file_wrapper, type) and isinstance(body, file_wrapper)):
        return body
    return _BoundBody(body, binding, refuse)


def bound_start(start_response: StartResponse, binding: Binding) -> StartResponse:
    """What to hand to an application in place of `start_response`: where gates let it pass, it tells of quotas too."""

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        added = binding.headers(int(status[:3]), [name for name, _ in headers])
        told = [*headers, *added.items()]
        return start_response(status, told) if exc_info is None else start_response(status, told, exc_info)

    return start


class _BoundBody:
    def __init__(self, body: Iterable[bytes], binding: Binding, refuse: Refuse | None) -> None:
        self._body = body
        self._binding = binding
        self._refuse = refuse
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        refuse, self._refuse = self._refuse, None
        try:
            with bind(self._binding):
                if self._pieces is None:
                    self._pieces = iter(self._body)
                return next(self._pieces)
        except BillingError as error:
            if refuse is None:
                raise
            self._pieces = iter(refuse(error))
            return next(self._pieces)

    def close(self) -> None:
        """End the body that this one stands for, which the server does not know."""
        close: Callable[[], object] | None = getattr(self._body, "close", None)
        if close is not None:
            with bind(self._binding):
                close()
