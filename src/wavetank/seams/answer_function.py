"""The function of a test that answers requests: what it returns or raises, as the provider takes it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from copy import deepcopy
from typing import Any, Final, final

import msgspec

from ..clock import SECOND
from ..events import without_addresses
from ..provider.content import WantedRefusal
from ..provider.request import Request
from ..scenario import REFUSAL_STATUSES, Answer, Fault, RefusalError, answer_of
from ..sim.origin import Place, name_of_file, place_of_error
from ..text import error_text
from .errors import (
    ConnectionLost,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestTooLarge,
)

Function = Callable[[Request], object]

_ERRORS: Final[tuple[tuple[type[ProviderError], RefusalError], ...]] = (
    (RateLimited, "rate-limit"),
    (QuotaExhausted, "quota"),
    (RequestTooLarge, "too-large"),
    (Overloaded, "overloaded"),
)
_BY_STATUS: Final[dict[int, RefusalError]] = {402: "billing", 408: "timeout", 409: "conflict"}
_SHOWN: Final = 200


@final
class AnswerFunction:
    """Asks a function of the test's own, and logs where it failed.

    Args:
        function: is shown a request, and returns its answer or an error to refuse it with.
        note: writes an event.
    """

    def __init__(self, function: Function, note: Callable[..., object]) -> None:
        self.function = function
        self._note = note

    def __call__(self, request: Request) -> Answer | WantedRefusal | Fault | None:
        """The answer to a request, or how it is refused."""
        try:
            returned = self.function(_own_copy(request))
        except Exception as error:
            returned = error
        if returned is None:
            return None
        if isinstance(returned, ProviderError):
            try:
                return _refusal(returned)
            except ValueError as error:
                return self._failed(request, str(error), place_of_error(returned))
        if isinstance(returned, Exception):
            return self._failed(request, error_text(returned), place_of_error(returned))
        if isinstance(returned, Coroutine | Generator):
            returned.close()
            what = f"it returned a {type(returned).__name__}, which never ran: write it as a plain function"
            return self._failed(request, what, None)
        try:
            return answer_of(returned)
        except (TypeError, ValueError) as error:
            return self._failed(request, str(error), None)

    def _failed(self, request: Request, what: str, place: Place | None) -> WantedRefusal:
        """Log it at once, so that the run fails whatever the program makes of the refusal."""
        what = without_addresses(what)[:_SHOWN]
        file, line = place or _place_of(self.function) or (None, None)
        self._note("answer-failed", item=request.item, request=request.id, error=what, file=file, line=line)
        where = "" if file is None else f" ({file}:{line})"
        return WantedRefusal(
            error="server", message=f"fake_llm.answer failed{where}: {what}", status=400, invalid=True
        )

    def __repr__(self) -> str:
        return f"<AnswerFunction {getattr(self.function, '__qualname__', 'of an object')}>"


def _own_copy(request: Request) -> Request:
    """What a function does to a request is not to change the record of it."""
    return msgspec.structs.replace(request, payload=deepcopy(request.payload))


def _refusal(error: ProviderError) -> WantedRefusal | Fault:
    """The refusal or fault that an error of this package stands for."""
    if isinstance(error, ConnectionLost):
        return Fault(kind="reset")
    if isinstance(error, MalformedAnswer):
        return Fault(kind="truncated-json")
    status, own = error.status, error.has_own_status
    if own and status not in REFUSAL_STATUSES:
        raise ValueError(f"a refusal has a status from 400 to 599, not {status}")
    wait = None if error.retry_after is None else max(0, round(error.retry_after * SECOND))
    kind = next((kind for of, kind in _ERRORS if isinstance(error, of)), None) or _by_status(status)
    return WantedRefusal(error=kind, message=str(error), status=status if own else None, retry_after=wait)


def _by_status(status: int) -> RefusalError:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "server" if status >= 500 else "rate-limit"


def _place_of(function: Any) -> Place | None:
    """Where a function is defined, if it is written in Python."""
    plain = getattr(function, "func", function)
    code = getattr(plain, "__code__", None) or getattr(type(plain).__call__, "__code__", None)
    return None if code is None else (name_of_file(code.co_filename), code.co_firstlineno)
