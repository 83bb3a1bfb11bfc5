"""The event stream encoding of AWS: messages of headers and a payload, with checksums.

Source: the specification of Smithy, "Amazon Event Stream", and `botocore.eventstream`, which reads it.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

_STRING: Final = b"\x07"
"""The type of a header whose value is text."""
_PRELUDE: Final = 12
"""Both lengths and their checksum."""
_CHECKSUM: Final = 4


def message(kind: str, name: str, payload: bytes) -> bytes:
    """One message: `kind` is `event` or `exception`, and `name` which one.

    >>> len(message("event", "messageStart", b'{"role":"assistant"}'))
    118
    """
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return _framed(b"".join(_header(*each) for each in headers.items()), payload)


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + _STRING + len(text).to_bytes(2, "big") + text


def _framed(headers: bytes, payload: bytes) -> bytes:
    size = _PRELUDE + len(headers) + len(payload) + _CHECKSUM
    lengths = size.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    data = lengths + crc32(lengths).to_bytes(4, "big") + headers + payload
    return data + crc32(data).to_bytes(4, "big")


def is_event_stream(data: bytes) -> bool:
    """Whether bytes begin with a message: text does not begin with a zero, the first byte of a length."""
    return data[:1] == b"\0" and crc32(data[:8]).to_bytes(4, "big") == data[8:_PRELUDE]


def first_message(data: bytes) -> bytes:
    """The first message of a stream."""
    return data[: int.from_bytes(data[:4], "big")]


def last_message(data: bytes) -> bytes:
    """The last message of whole ones."""
    found = data
    while len(first_message(found)) < len(found):
        found = found[len(first_message(found)) :]
    return found


def with_half_payload(data: bytes) -> bytes:
    """A message whose payload ends in the middle; its lengths and checksums are right."""
    start = _PRELUDE + int.from_bytes(data[4:8], "big")
    payload = data[start:-_CHECKSUM]
    return _framed(data[_PRELUDE:start], payload[: len(payload) // 2])
