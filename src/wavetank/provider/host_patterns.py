"""Hosts and paths, and their patterns."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase


def split_host(host: str) -> tuple[str, str]:
    """A host without its port, and the port, `""` if it has none; the brackets of IPv6 are taken off.

    >>> split_host("Localhost.:11434"), split_host("[::1]:80"), split_host("::1")
    (('localhost', '11434'), ('::1', '80'), ('::1', ''))
    """
    host = host.strip().lower()
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    if host.count(":") > 1:
        return host, ""
    name, _, port = host.partition(":")
    return name.removesuffix("."), port


def answers_for(patterns: Iterable[str], host: str, port: int | None = None) -> bool:
    """Whether a host is among some patterns; a pattern with a port is for that port only.

    >>> answers_for(["*.openai.azure.com"], "mine.openai.azure.com", 443)
    True
    """
    name, given = split_host(host)
    at = given or (str(port) if port is not None else "")
    return any(
        fnmatchcase(name, bare) and wanted in ("", at)
        for bare, wanted in (split_host(pattern) for pattern in patterns)
    )


def path_ends(path: str) -> list[str]:
    """A path and all that it ends with, from the longest on.

    >>> path_ends("/a/b")
    ['/a/b', '/b']
    """
    return [path[at:] for at, letter in enumerate(path) if letter == "/"]


def path_pattern(path: str) -> str:
    """A regular expression for a path in which a `*` stands for any one part.

    >>> path_pattern("/v1/*/compat")
    '/v1/[^/]+/compat'
    """
    return re.escape(path).replace(r"\*", "[^/]+")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, or an address that is loopback by definition.

    >>> is_loopback("127.0.0.2:8080"), is_loopback("[::1]"), is_loopback("127.0.0.1.evil.example")
    (True, True, False)
    """
    name, _ = split_host(host)
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback
