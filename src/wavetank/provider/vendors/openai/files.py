"""Small files that the fake makes: one pixel, a moment of silence."""

from __future__ import annotations

import struct
import zlib
from hashlib import blake2b
from typing import Final

_RATE: Final = 8000
"""Samples a second of the silence."""
_SAMPLES: Final = bytes(_RATE // 10 * 2)
"""A tenth of a second, 16 bits a sample."""
_MP3_FRAME: Final = b"\xff\xfb\x90\x64" + bytes(413)
"""MPEG 1, layer 3, 128 kbit/s, 44.1 kHz, without a sound: 144 * 128000 / 44100 bytes (ISO 11172-3)."""


def png(text: str) -> bytes:
    """A picture of one pixel, whose colour depends on the text (PNG specification, 11.2)."""
    colour = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=3).digest()
    chunks = (
        (b"IHDR", struct.pack(">2I5B", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + colour, 0)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def wav() -> bytes:
    """Silence, 16 bits a sample, mono."""
    form = struct.pack("<HHIIHH", 1, 1, _RATE, _RATE * 2, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(_SAMPLES))
    return b"RIFF" + struct.pack("<I", len(body) + len(_SAMPLES)) + body + _SAMPLES


def mp3() -> bytes:
    """Silence in four frames, about a tenth of a second."""
    return _MP3_FRAME * 4


def pcm() -> bytes:
    """Silence without a header."""
    return _SAMPLES
