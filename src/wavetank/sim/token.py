"""A schedule as a short printable token, such as `wt1-AAEBAAAAAAk1eQ`."""

from __future__ import annotations

import base64
import binascii
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from ..shown import shortened
from .choices import LEVELS, Deviation, Level

PREFIX: Final = "wt1-"
FIFO: Final = Level("fifo", stalls=False)

_SEED_BITS: Final = 64
_LONGEST: Final = 512
"""Bytes of a number: the cut has two bits for each wave and fault, and no scenario has 1792 of them.
Reading a number takes the square of its length."""

THREADS: Final = "threads"
"""The backend of a plain function, which runs in no event loop."""

_BACKENDS: Final = ("asyncio", "trio", "hosted", THREADS)
_CHOSEN: Final = 0x80
"""Set in the first byte when a search has found the schedule."""


class TokenError(ValueError):
    """The text is no token, or it belongs to another run; the message says which."""


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """What a search found it could leave out: of the scenario, and all but the first items.

    `scenario` is a number for `wavetank.scenario.cut_down`; `items` and `workers` 0 mean all of them.
    """

    scenario: int = 0
    items: int = 0
    workers: int = 0


NOTHING: Final = Cut()


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """What fixes one run: its backend, its seed, the digest of its scenario and its deviations from FIFO.

    The backend `hosted` is a test that somebody else's runner runs. `program` is the fingerprint of
    the program and `outcome` that of its event log, 16 bits each, if a search has found it; `python`
    is the minor version it was made on. `cpu_spent_at` is where its CPU time was spent, if it was.
    """

    backend: str
    seed: int
    digest: str
    level: Level = FIFO
    deviations: tuple[Deviation, ...] = ()
    cut: Cut = NOTHING
    program: int = 0
    outcome: int = 0
    python: int = sys.version_info.minor
    cpu_spent_at: int | None = None

    @property
    def chosen(self) -> bool:
        """Whether it is more than plain FIFO order of any program: a search has found it."""
        found = self.deviations or self.program or self.outcome or self.cpu_spent_at is not None
        return bool(found) or self.cut != NOTHING

    def token(self) -> str:
        """The token that `Schedule.parse` reads back."""
        first = _BACKENDS.index(self.backend) | (_CHOSEN if self.chosen else 0)
        body = bytes((first,)) + bytes.fromhex(self.digest) + _varint(self.seed)
        if self.chosen:
            body += bytes((LEVELS.index(self.level), self.python))
            body += self.program.to_bytes(2, "big") + self.outcome.to_bytes(2, "big")
            body += b"".join(map(_varint, self._numbers()))
        checked = body + _checksum(body)
        return PREFIX + base64.urlsafe_b64encode(checked).decode().rstrip("=")

    def _numbers(self) -> Iterator[int]:
        """What is left out, each deviation with the number of zeros before it, and where CPU time was spent.

        A deviation has three numbers, so that one number left over is the last of these.
        """
        yield from (self.cut.scenario, self.cut.items, self.cut.workers)
        behind = 0
        for deviation in self.deviations:
            yield from (deviation.place - behind, deviation.choice, deviation.width)
            behind = deviation.place + 1
        if self.cpu_spent_at is not None:
            yield self.cpu_spent_at

    def matching(self, *, backend: str, digest: str, program: int | None = None) -> Schedule:
        """This schedule, if it belongs to a run of `program` on `backend` of the scenario with this `digest`.

        Raises:
            TokenError: it does not; the text says what to pass.
        """
        if self.backend != backend:
            raise TokenError(
                f"the schedule token was made on {self.backend}, and this run is on {backend}: "
                f"repeat it where it was made (backend={self.backend!r})"
            )
        if self.digest != digest:
            raise TokenError(
                "the schedule token was made with another scenario, or the scenario has changed since: "
                "pass the scenario named beside the token, or run again without the token"
            )
        if self.chosen and self.python != sys.version_info.minor:
            raise TokenError(
                f"the schedule token was made on Python 3.{self.python}, and this is "
                f"3.{sys.version_info.minor}: event loops differ between them, so repeat it there"
            )
        if self.chosen and program is not None and program != self.program:
            raise TokenError(
                "the program or its workload has changed since the schedule token was made, and its steps "
                "may mean something else: search again without the token"
            )
        return self

    @classmethod
    def parse(cls, token: str) -> Schedule:
        """Read a token; white space around it, which is easily pasted along, does not count.

        Raises:
            TokenError: not a token, torn, or of another version.
        """
        text = token.strip() if isinstance(token, str) else ""
        if not text.startswith(PREFIX):
            raise TokenError(
                f"{shortened(repr(token))} is not a schedule token of this version: those start with "
                f"{PREFIX!r}; copy the whole token from the failure message"
            )
        try:
            schedule = cls._read(_unchecked(text))
        except (IndexError, ValueError):
            raise _torn(token) from None
        if schedule.token() != text:
            raise _torn(token)
        return schedule

    @classmethod
    def _read(cls, body: bytes) -> Schedule:
        backend, digest = _BACKENDS[body[0] & ~_CHOSEN], body[1:5].hex()
        seed, start = _read_varint(body, 5)
        if seed >> _SEED_BITS:
            raise ValueError("no seed is so large")
        rest = body[start : start + 6]
        if not body[0] & _CHOSEN:
            return cls(backend, seed, digest)
        of_scenario, items, workers, *numbers = _read_varints(body, start + 6)
        cpu_spent_at = numbers.pop() if len(numbers) % 3 == 1 else None
        return cls(
            backend,
            seed,
            digest,
            level=LEVELS[rest[0]],
            deviations=tuple(_deviations(numbers)),
            cut=Cut(of_scenario, items, workers),
            program=int.from_bytes(rest[2:4], "big"),
            outcome=int.from_bytes(rest[4:6], "big"),
            python=rest[1],
            cpu_spent_at=cpu_spent_at,
        )


def checksum(data: bytes) -> int:
    """Sixteen bits of the data, the same in every process."""
    return zlib.crc32(data) & 0xFFFF


def _deviations(numbers: list[int]) -> Iterator[Deviation]:
    place = 0
    for gap, choice, width in zip(*[iter(numbers)] * 3, strict=True):
        place += gap
        yield Deviation(place, choice, width)
        place += 1


def _unchecked(token: str) -> bytes:
    text = token.removeprefix(PREFIX)
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    body, check = data[:-2], data[-2:]
    if len(body) < 6 or _checksum(body) != check:
        raise binascii.Error("the checksum differs")
    return body


def _torn(token: str) -> TokenError:
    return TokenError(
        f"the schedule token {shortened(repr(token))} is damaged: copy the whole token from the failure "
        "message"
    )


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")[:2]


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _read_varints(data: bytes, start: int) -> Iterator[int]:
    while start < len(data):
        number, start = _read_varint(data, start)
        yield number


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number that begins there, and where the next one does."""
    number = 0
    for position, byte in enumerate(data[start : start + _LONGEST]):
        number |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return number, start + position + 1
    raise ValueError("the number has no end, or is longer than any")
