"""Attributes may be set by their own names only: a misspelt one would be accepted and do nothing."""

from __future__ import annotations

from ..text import did_you_mean


class StrictAttributes:
    """Refuses to set an attribute that is no slot, method or property of its class."""

    __slots__ = ("__dict__", "__weakref__")  # a test may replace a method of one object, or refer to it

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute.

        Raises:
            AttributeError: there is none of that name; the text has the nearest one.
        """
        if not hasattr(type(self), name):
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            meant = did_you_mean(name, known, start="; ") or f". There are: {', '.join(known)}"
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} to set{meant}")
        object.__setattr__(self, name, value)
