"""The failures of explored tests, kept from one session to the next: each is a token in a file.

Files are written whole and by one name each, so that several processes may keep failures at the same time.
A folder that cannot be written keeps none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final, final

from ..sim.token import Schedule, TokenError
from ..tank.kept_folder import make_folder

FOLDER: Final = "failures"


@final
class KeptFailures:
    """The failures of one search of a test. `key` is what they belong to: a test, its scenario, a backend."""

    def __init__(self, database: Path, *key: str) -> None:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"  # a token belongs to one
        self._database = database
        self._test = key[0]
        self._folder = database / FOLDER / _digest("\n".join((*key, python)))

    def schedules(self) -> Iterator[tuple[str, Schedule]]:
        """The tokens that are kept, and what they say; a damaged one is dropped."""
        with suppress(OSError):
            for file in sorted(self._folder.glob("*.token")):
                token = file.read_text("utf-8", errors="replace").partition("\n")[0]
                try:
                    schedule = Schedule.parse(token)
                except TokenError:
                    with suppress(OSError):
                        file.unlink()
                else:
                    yield token, schedule

    def keep(self, token: str) -> None:
        """Keep a failure."""
        file = self._file(token)
        new = file.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            make_folder(self._database)
            self._folder.mkdir(parents=True, exist_ok=True)
            new.write_text(f"{token}\n{self._test}\n", "utf-8")
            os.replace(new, file)

    def drop(self, token: str) -> None:
        """Forget a failure, and the test when it was the last one."""
        with suppress(OSError):
            self._file(token).unlink(missing_ok=True)
            self._folder.rmdir()

    def _file(self, token: str) -> Path:
        return self._folder / f"{_digest(token)}.token"


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()
