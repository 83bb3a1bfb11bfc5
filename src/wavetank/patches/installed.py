"""Whether a file is the program's own, or came with Python or with a package."""

from __future__ import annotations

import functools
import os
import sysconfig
from typing import Final

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD: Final = tuple(
    os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")
)
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@functools.cache
def is_installed(file: str) -> bool:
    """Whether a file belongs to the standard library, an installed package or wavetank."""
    return file.startswith((_PACKAGE, "<frozen ", *_STANDARD)) or any(part in file for part in _INSTALLED)
