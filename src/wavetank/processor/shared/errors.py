"""What goes wrong with a shared gate."""

from __future__ import annotations


class SharedGateError(Exception):
    """The place of a shared gate cannot be used; the text names the place and the fix."""


class StoreAway(SharedGateError):
    """The place of a shared gate cannot be reached now; it may be reached again later."""
