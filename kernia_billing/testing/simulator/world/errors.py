"""What goes wrong in a simulated Stripe: refusals that travel to the client, and errors for who drives it."""

from __future__ import annotations

from typing import Any

from attrs import frozen

Json = dict[str, Any]
"""A JSON object. Keys that begin with an underscore are the simulator's own notes and are never shown."""


class ApiError(Exception):
    """A refusal in Stripe's form: `{"error": {type, code, message, param, …}}` under an HTTP status."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: Json = {"code": code, "message": message, "param": param, "type": type, **more}

    def body(self, request_id: str) -> Json:
        """The JSON body; an authentication error carries only its message and type."""
        error = {name: value for name, value in self.error.items() if value is not None}
        if self.status != 401:
            error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
            if "code" in error:
                error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(error['code']).replace('_', '-')}"
        return {"error": error}


def missing(kind: str, id: str, param: str = "id", *, in_path: bool = False) -> ApiError:
    """No such object: 404 when the id stands in the path, 400 when in a parameter, as Stripe answers."""
    message = f"No such {kind}: '{id}'"
    return ApiError(message, status=404 if in_path else 400, code="resource_missing", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that Stripe understands and refuses."""
    return ApiError(message, code=code, param=param)


def not_modelled(what: str, param: str | None = None) -> ApiError:
    """Something that Stripe takes and this simulator does not know: refused, so that nothing is silently ignored."""
    return ApiError(f"The simulator does not model {what}", code="simulator_not_modelled", param=param)


class SimulatorError(Exception):
    """The simulator was asked for something that cannot be done."""


class SimulatorBug(SimulatorError):
    """The simulator made an object that Stripe would not give out."""


@frozen
class Decline:
    """Why a card was refused, in Stripe's words."""

    code: str
    decline_code: str | None
    message: str


class CardDeclined(SimulatorError):
    """The card was refused on the checkout page; the session stays open for another try."""

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.message)
        self.code = decline.code
        self.decline_code = decline.decline_code


class ConnectionLost(Exception):
    """The connection broke by a fault rule; transports turn it into their client's own exception."""

    def __init__(self, how: str) -> None:
        super().__init__(f"simulated fault: {how}")
        self.how = how
