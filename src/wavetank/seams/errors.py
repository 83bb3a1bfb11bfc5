"""Errors a client meets at the seams."""

from __future__ import annotations

from typing import final


class ProviderError(Exception):
    """The provider refused or failed a direct call.

    `status` is the HTTP status it would have sent, `retry_after` the seconds it asked to
    wait, or `None`.
    """

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimited(ProviderError):
    """429: too many requests or tokens."""


@final
class QuotaExhausted(ProviderError):
    """402, or a 429 that no waiting helps: the quota or the budget is used up."""


@final
class RequestTooLarge(ProviderError):
    """413, or a 429 that no waiting helps: the request costs more than the limit."""


@final
class Overloaded(ProviderError):
    """503 or 529: the provider is out of capacity."""


@final
class ServerError(ProviderError):
    """Another 5xx."""


@final
class ConnectionLost(ProviderError):
    """The connection broke before the answer was whole; `status` is 0."""


@final
class MalformedAnswer(ProviderError):
    """The answer came but cannot be read; `status` is that of the answer."""


@final
class UnknownHost(RuntimeError):
    """A client wanted a host that is no provider of the tank; nothing was sent."""


@final
class WrongProtocol(RuntimeError):
    """A client spoke something else than HTTP/1.1 to the fake."""


@final
class OutsideTheTank(RuntimeError):
    """The fake was called from a place where its virtual time does not run."""
