"""Whether JSON is nested too deep to be taken, the same wherever it is read.

The parsers stop where the stack of the caller happens to end, and what they let through may be too
deep for the next who walks it. One bound far below both gives one answer.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

DEEPEST: Final = 200
"""Levels of arrays and objects; tool schemas of real programs have about 20, and each level of a walk
takes up to three of Python's 1000 calls."""

# One that is not closed takes the rest, so that each byte is looked at once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]


def too_deep(data: bytes) -> bool:
    """Whether JSON, whole or not, opens more than `DEEPEST` arrays and objects inside one another.

    >>> too_deep(b"[" * 200), too_deep(b"[" * 201), too_deep(b'"' + b"[" * 201 + b'"')
    (False, True, False)
    """
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKET)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEEPEST
