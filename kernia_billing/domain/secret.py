"""Text that must not be shown: keys and signing secrets."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, final

REDACTED = "[redacted]"


@final
class Secret:
    """Holds one secret text and shows it to nobody who does not ask with `reveal()`.

    `repr`, `str` and `format` give a fixed text that does not even tell the length. It is no `str`, so `json` refuses
    it; pickling is refused because the pickle would carry the text. Two secrets compare in constant time.
    """

    __slots__ = ("__text",)
    __text: str

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise TypeError("a secret must be text")
        object.__setattr__(self, "_Secret__text", str.__str__(text))

    def reveal(self) -> str:
        """The text itself. Call it where the text is used, and keep the result in no variable that lives on."""
        return self.__text

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__text), _bytes(other.__text))

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
