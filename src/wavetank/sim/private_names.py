"""Names of other libraries that are private, or may go: each is looked for when it is imported."""

from __future__ import annotations

from typing import Any


def require(owner: Any, *names: str, of: str, supported: str) -> None:
    """Check that `owner` has the names.

    Args:
        owner: a module or class.
        names: its attributes that wavetank needs.
        of: the library or the Python, with its version.
        supported: what to install instead.

    Raises:
        ImportError: one is missing; the text says of which version, and what to install.
    """
    for name in names:
        if not hasattr(owner, name):
            raise ImportError(
                f"{of} has no {getattr(owner, '__qualname__', owner.__name__)}.{name}; wavetank needs it "
                f"for virtual time: {supported}"
            )
