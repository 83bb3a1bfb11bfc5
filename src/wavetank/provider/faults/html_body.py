"""`html-body`: a gateway's page where JSON should be."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame, Head
from .mishap import Mishap, Spot

_HTML: Final = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""


def _change(frame: Frame, spot: Spot) -> Frame:
    return replace(frame, head=_head(frame.head), data=b"" if spot.index else _HTML)


def _head(head: Head | None) -> Head | None:
    if head is None:
        return None
    date = tuple(pair for pair in head.headers if pair[0] == "date")
    return Head(502, (("content-type", "text/html"), *date))


MISHAP: Final = Mishap(damage="unreadable", change=_change)
"""The client gets status 502 and a page of HTML, without any header of the provider's own."""
