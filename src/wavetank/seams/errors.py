"""Errors a client meets at the seams."""

from __future__ import annotations

from typing import ClassVar, final


class ProviderError(Exception):
    """The provider refused or failed a direct call.

    `fake_llm.answer` may raise it, so that clients get the refusal that it stands for.
    `status` is the HTTP status it would have sent, by default the usual one, and `retry_after` the
    seconds it asked to wait, or `None`.
    """

    usual_status: ClassVar[int] = 500

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = self.usual_status if status is None else status
        self.retry_after = retry_after
        self.has_own_status = status is not None
        """Whether the status was given; else each provider has its own."""


class RateLimited(ProviderError):
    """429: too many requests or tokens."""

    usual_status = 429


@final
class QuotaExhausted(ProviderError):
    """402, or a 429 that no waiting helps: the quota or the budget is used up."""

    usual_status = 429


@final
class RequestTooLarge(ProviderError):
    """413, or a 429 that no waiting helps: the request costs more than the limit."""

    usual_status = 413


@final
class Overloaded(ProviderError):
    """503 or 529: the provider is out of capacity."""

    usual_status = 503


@final
class ServerError(ProviderError):
    """Another 5xx."""


@final
class ConnectionLost(ProviderError):
    """The connection broke before the answer was whole; `status` is 0.

    If none was made, its cause is the `OSError` that says so.
    """

    usual_status = 0


@final
class MalformedAnswer(ProviderError):
    """The answer came but cannot be read; `status` is that of the answer."""

    usual_status = 200


@final
class UnknownHost(RuntimeError):
    """A client wanted a host that is no provider of the tank; nothing was sent."""


@final
class WrongProtocol(RuntimeError):
    """A client spoke something else than HTTP/1.1 to the fake."""


@final
class OutsideTheTank(RuntimeError):
    """The fake was called from a place where its virtual time does not run."""
