"""Refusals that are not the provider's own JSON: a proxy's page, no body, an agent's words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from ..http import Frame, Head
from ..model import Refusal, WireRetryAfter
from ..wire_formats import agent_clock, date_header
from .retry_after import retry_headers

# What Claude Code prints, from its list of errors (code.claude.com/docs/en/errors).
_AGENT: Final = {
    "billing": "Credit balance is too low",
    "overloaded": (
        "API Error: Repeated 529 Overloaded errors. The API is at capacity - "
        "this is usually temporary. Try again in a moment."
    ),
    "throttle": "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited",
    "server": "API Error: 500 Internal server error",
    "timeout": "API Error: Request timed out",
    "too-large": "Prompt is too long",
}


def wrapped(refusal: Refusal, sent: int) -> Frame:
    """A refusal in its wrapping `html`, `empty` or `text`, as it is sent at a Unix time in nanoseconds."""
    body, content_type = b"", None
    if refusal.wrapping == "html":
        body, content_type = page(refusal.status), "text/html"
    elif refusal.wrapping == "text":
        words = agent_words(refusal.error, refusal.retry_after, sent)
        body, content_type = f"{words}\n".encode(), "text/plain; charset=utf-8"
    headers = (
        *((("content-type", content_type),) if content_type else ()),
        ("date", date_header(sent)),
        *retry_headers(refusal.retry_after, sent),
        *(
            (("x-should-retry", str(refusal.should_retry).lower()),)
            if refusal.should_retry is not None
            else ()
        ),
    )
    return Frame(head=Head(refusal.status, headers), data=body, end=True)


def page(status: int) -> bytes:
    """The page that nginx makes for a status."""
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    return (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n"
        f"<center><h1>{title}</h1></center>\n<hr><center>nginx</center>\n</body>\n</html>\n"
    ).encode()


def agent_words(error: str, retry_after: WireRetryAfter | None, sent: int) -> str:
    """What a command-line agent prints for a refusal; a limit names the minute at which it resets.

    >>> agent_words("rate-limit", WireRetryAfter("seconds", 3600 * 10**9), 1_767_225_600 * 10**9)
    "You've hit your limit · resets 5pm (America/Los_Angeles)"
    """
    if error in _AGENT:
        return _AGENT[error]
    if retry_after is None:
        return "API Error: Request rejected (429) · this may be a temporary capacity issue."
    return f"You've hit your limit · resets {agent_clock(sent, sent + retry_after.value)}"
