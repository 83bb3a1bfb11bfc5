"""Where a shared gate is: the URL of a server, a file, or `auto`."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

AUTO: Final = "auto"
FILE: Final = "file:"
DEFAULT_PORT: Final = 6379
DEFAULT_NAME: Final = "default"
_TCP_SCHEMES: Final = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_SOCKET_SCHEMES: Final = ("unix", "redis+unix")
_WAYS: Final = "redis://host:6379/0, rediss://… for TLS, unix:///path/to/socket, file:PATH, or auto"
_DIGEST_BYTES: Final = 8
"""Few enough to read, and by chance two accounts of a machine have the same in one of 10^19 cases."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAddress:
    """A parsed address.

    `path` is a file, or the socket of a server if `is_server`. `name` tells apart the accounts that
    share one server or file; `None`: the address names none. `shown` is the address without the password.
    """

    shown: str
    is_server: bool
    host: str = ""
    port: int = DEFAULT_PORT
    tls: bool = False
    path: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    name: str | None = None


def parse_address(text: str) -> SharedAddress:
    """Parse an address such as `redis://:secret@cache:6379/2?name=team` or `file:limits.gate`.

    >>> parse_address("redis://:secret@cache/2?name=team").shown
    'redis://cache:6379/2?name=team'

    Raises:
        ValueError: it is none; the text says what can be there.
    """
    if text == AUTO:
        return SharedAddress(shown=AUTO, is_server=False)
    scheme = text.partition(":")[0].lower()
    if text.startswith(FILE):
        path = text.removeprefix(FILE)
        # `file:///absolute` is how other tools write it.
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise ValueError("shared='file:' names no file; give a path, such as file:limits.gate")
        return SharedAddress(shown=f"{FILE}{path}", is_server=False, path=Path(path))
    if scheme in _TCP_SCHEMES or scheme in _SOCKET_SCHEMES:
        return _server(text, scheme)
    # An address that is wrong may have a password in it.
    known = f"{scheme}:…" if "://" in text else repr(text)
    raise ValueError(f"shared={known} is no place for a shared gate; give {_WAYS}")


def _server(text: str, scheme: str) -> SharedAddress:
    try:
        url = urlsplit(text)
        port = url.port or DEFAULT_PORT
    except ValueError as error:
        raise ValueError(f"shared={scheme}://… is no URL: {error}; give {_WAYS}") from None
    query = dict(parse_qsl(url.query))
    if unknown := sorted(query.keys() - {"name", "db"}):
        raise ValueError(f"shared={scheme}://…?{unknown[0]}=: there are ?name= and ?db= only")
    is_socket = scheme in _SOCKET_SCHEMES
    database = query.get("db", "0" if is_socket else url.path.strip("/") or "0")
    if not (database.isascii() and database.isdecimal()):
        raise ValueError(f"shared={scheme}://…: {database!r} is no number of a database, such as 0")
    if is_socket and not url.path:
        raise ValueError(
            f"shared={scheme}://… names no socket; give its path, such as unix:///run/redis.sock"
        )
    if not is_socket and not url.hostname:
        raise ValueError(f"shared={scheme}://… names no host; give {_WAYS}")
    name = query.get("name")
    host = url.hostname or ""
    where = unquote(url.path) if is_socket else f"{f'[{host}]' if ':' in host else host}:{port}/{database}"
    return SharedAddress(
        shown=f"{scheme}://{where}{'' if name is None else f'?name={name}'}",
        is_server=True,
        host=host,
        port=port,
        tls=_TCP_SCHEMES.get(scheme, False),
        path=Path(unquote(url.path)) if is_socket else None,
        user=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        database=int(database),
        name=name,
    )


def key_name(name: str, scope: str) -> str:
    """The name of a gate in keys of Redis: braces and spaces would change their meaning.

    >>> key_name("team", "gpt-4o {eu}")
    'team/gpt-4o%20%7Beu%7D'
    """
    return f"{quote(name, safe=':@.')}/{quote(scope, safe=':@./')}"


def account_name(provider: str, account: str, salt: bytes = b"") -> str:
    """A name for an account of a provider that does not show the key, such as `openai-9f86d081884c7d65`.

    Args:
        provider: may be read by everyone.
        account: what the limits belong to, such as an address and a key.
        salt: makes names of two machines differ.
    """
    digest = hashlib.blake2b(
        account.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=salt, person=b"wavetank"
    )
    return f"{provider}-{digest.hexdigest()}"


def auto_path(provider: str, account: str) -> Path:
    """The file that all processes of this user and machine use for an account; its folder is created.

    Raises:
        OSError: the folder cannot be created or read.
    """
    folder = _state_folder() / "wavetank"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{account_name(provider, account, _salt(folder / 'salt'))}.gate"


def _salt(path: Path) -> bytes:
    """The salt of this user and machine, made by the first process that needs it."""
    own = path.with_name(f"salt.{os.getpid()}")
    if not path.exists():
        # Linked when it is whole, so that no other process reads a part of it.
        own.write_bytes(os.urandom(32))
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    return path.read_bytes()


def _state_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    given = os.environ.get("XDG_STATE_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
