"""All vendors: those that come with the package, those of entry points, and those that a user adds."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Final, NamedTuple, cast

from ..extensions import Extensions
from ..text import did_you_mean
from . import vendors
from .host_patterns import answers_for
from .http import Dialect
from .vendor_card import COMPATIBLE, VendorCard

_added: Final[dict[str, VendorCard]] = {}
_dialects: Final[dict[str, Dialect]] = {}


def cards() -> Iterator[VendorCard]:
    """All cards; those of installed packages come last, and are loaded only if they are asked for.

    Raises:
        ExtensionError: that of a package cannot be used.
    """
    yield from _built_in().values()
    yield from _added.values()
    yield from _of_packages().values()


def card_named(name: str) -> VendorCard:
    """The card of a vendor.

    Raises:
        ValueError: there is no such vendor, or that of an installed package cannot be used; the text names
            those that are meant or all that there are.
    """
    found = _built_in().get(name) or _added.get(name) or _of_packages().get(name)
    if found is None:
        own = ", ".join(sorted(card.name for card in cards() if card.wire != COMPATIBLE))
        hint = did_you_mean(name, [card.name for card in cards()]) or (
            f"choose one of {own}, or a vendor that speaks OpenAI's format, such as deepseek"
        )
        raise ValueError(f"there is no dialect {name!r}: {hint}")
    return found


def add_vendor(card: VendorCard) -> None:
    """Let the fake answer for one more vendor, in all tests from now on; the same card may be added again.

    Raises:
        TypeError: it is no `VendorCard`.
        ValueError: another vendor has its name or one of its hosts.
    """
    if not isinstance(card, VendorCard):
        raise TypeError(f"add_vendor({card!r}): give a wavetank.VendorCard(name=..., hosts=...)")
    if _added.get(card.name) == card:
        return
    if isinstance(card.wire, str) and not _is_there(card.wire):
        raise ValueError(
            f"the vendor {card.name}: there is no module {card.wire!r}; give wire= one that can be imported, "
            "or the function itself"
        )
    _refuse_clash(card, cards())
    _added[card.name] = card
    vendor_at.cache_clear()
    looks.cache_clear()


def _is_there(module: str) -> bool:
    """Whether a module can be found; it is imported when it is first used."""
    try:
        return module in sys.modules or find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=256)
def vendor_at(host: str, port: int | None = None) -> VendorCard | None:
    """The vendor whose host this is; upper case and a trailing dot do not matter.

    Args:
        host: a name or an address, which may have a port itself.
        port: the port, where the host has none; a few vendors are found at one port only.

    Returns:
        The card, `None` for other hosts. Of several patterns that fit, the longest one counts.
    """
    known = (
        (len(pattern), card)
        for card in cards()
        for pattern in card.hosts
        if answers_for((pattern,), host, port)
    )
    return max(known, key=lambda found: found[0], default=(0, None))[1]


class Looks(NamedTuple):
    """By what a request to an address of our own is recognized: the vendors by their names, by the beginnings
    of paths, the longest first, and by headers."""

    names: Mapping[str, VendorCard]
    paths: tuple[tuple[str, VendorCard], ...]
    headers: tuple[tuple[str, VendorCard], ...]


@cache
def looks() -> Looks:
    """What the cards say of it, put together once: a server asks for each request."""
    known = tuple(cards())
    paths = sorted(((path, card) for card in known for path in card.paths), key=lambda each: -len(each[0]))
    headers = tuple((name, card) for card in known for name in card.headers)
    return Looks({card.name: card for card in known}, tuple(paths), headers)


def dialect_of(card: VendorCard) -> Dialect:
    """The dialect of a vendor; its module is imported when it is first used."""
    dialect = _dialects.get(card.name)
    if dialect is None or dialect.card is not card:
        make = card.wire if callable(card.wire) else import_module(card.wire).wire
        dialect = _dialects[card.name] = cast(Dialect, make(card))
    return dialect


@cache
def _built_in() -> dict[str, VendorCard]:
    found: dict[str, VendorCard] = {}
    for module in pkgutil.iter_modules(vendors.__path__):
        name = f"{vendors.__name__}.{module.name}{'.card' if module.ispkg else ''}"
        for card in _cards_in(import_module(name)):
            found[card.name] = card
    return found


def _cards_in(module: ModuleType) -> tuple[VendorCard, ...]:
    """The one card of a module, or its many."""
    return tuple(getattr(module, "CARDS", ())) or (module.CARD,)


ADDED: Final = Extensions("wavetank.vendors", "vendor", lambda: _built_in())
"""The cards that installed packages add."""


@cache
def _of_packages() -> dict[str, VendorCard]:
    found: dict[str, VendorCard] = {}
    for name in ADDED.names():
        card = cast(VendorCard, ADDED.load(name, _is_card, f"a wavetank.VendorCard(name={name!r}, ...)"))
        if card.name != name:
            raise ADDED.refused(name, f"its card has the name {card.name!r}: give both the same name")
        try:
            _refuse_clash(card, (*_built_in().values(), *_added.values(), *found.values()))
        except ValueError as error:
            raise ADDED.refused(name, str(error)) from None
        found[name] = card
    return found


def _is_card(value: object) -> bool:
    return isinstance(value, VendorCard)


def _refuse_clash(card: VendorCard, others: Iterable[VendorCard]) -> None:
    for other in others:
        if other.name == card.name:
            raise ValueError(f"there is a vendor {card.name!r} already; give the card another name")
        for host in card.hosts:
            if host in other.hosts:
                raise ValueError(
                    f"two vendors have the host {host!r}: {other.name!r} and {card.name!r}; to have a host "
                    f"answered in another dialect, write llm_hosts = {host}={card.name}"
                )
