"""A schedule as a short printable token, such as `wt1-AAEBAAAAAAk1eQ`."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Final, final

PREFIX: Final = "wt1-"
_BACKENDS: Final = ("asyncio", "trio", "hosted")


class TokenError(ValueError):
    """The text is no token, or it belongs to another run; the message says which."""


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """What fixes one run: its backend, its seed and the digest of its scenario; the order is FIFO.

    The backend `hosted` is a test that somebody else's runner runs.
    """

    backend: str
    seed: int
    digest: str

    def token(self) -> str:
        """The token that `Schedule.parse` reads back."""
        body = bytes((_BACKENDS.index(self.backend),)) + bytes.fromhex(self.digest) + _varint(self.seed)
        checked = body + _checksum(body)
        return PREFIX + base64.urlsafe_b64encode(checked).decode().rstrip("=")

    def matching(self, *, backend: str, digest: str) -> Schedule:
        """This schedule, if it belongs to a run on `backend` of the scenario with this `digest`.

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
        return self

    @classmethod
    def parse(cls, token: str) -> Schedule:
        """Read a token.

        Raises:
            TokenError: not a token, torn, or of another version.
        """
        if not isinstance(token, str) or not token.startswith(PREFIX):
            raise TokenError(
                f"{token!r} is not a schedule token of this version: those start with {PREFIX!r}; "
                "copy the whole token from the failure message"
            )
        body = _unchecked(token)
        seed, rest = _read_varint(body[5:])
        if rest or body[0] >= len(_BACKENDS):
            raise _torn(token)
        schedule = cls(_BACKENDS[body[0]], seed, body[1:5].hex())
        if schedule.token() != token:
            raise _torn(token)
        return schedule


def _unchecked(token: str) -> bytes:
    text = token.removeprefix(PREFIX)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _torn(token) from None
    body, checksum = data[:-2], data[-2:]
    if len(body) < 6 or _checksum(body) != checksum:
        raise _torn(token)
    return body


def _torn(token: str) -> TokenError:
    return TokenError(
        f"the schedule token {token!r} is damaged: copy the whole token from the failure message"
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


def _read_varint(data: bytes) -> tuple[int, bytes]:
    number = shift = 0
    for position, byte in enumerate(data):
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, data[position + 1 :]
    return number, b"\x00"
