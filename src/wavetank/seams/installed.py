"""All HTTP libraries of this process at once: clients meet the fake at their real URLs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Final

from ..patches.attributes import replaced
from ..patches.imports import on_import
from ..provider.vendor_registry import cards
from . import aiohttp, httpcore, urllib3
from .desk import Desk
from .network import sockets_meet_the_fake
from .reception import Patch, receiving

NO_PROXY: Final = ("NO_PROXY", "no_proxy")
"""Under both names, since each library reads one of them first: a proxy is no provider's host."""

_OFFLINE: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""litellm would fetch its list of prices when it is imported; it has one of its own."""

_PATCHES_OF: Final[dict[str, Callable[[ModuleType], Sequence[Patch]]]] = {
    name: seam.patches for seam in (httpcore, aiohttp, urllib3) for name in seam.LIBRARIES
}
_made: Final[dict[str, tuple[ModuleType, Sequence[Patch]]]] = {}
"""By name the module and its patches; a module may be dropped and imported again."""

_borrowed: Final = ExitStack()

_set: Final[dict[str, str]] = {}
"""The variables that are set until the last block ends."""
_names: Final[set[bytes]] = set()
"""Their names, as the process has them."""


@contextmanager
def installed(desk: Desk) -> Iterator[None]:
    """Patch every supported library, now or when it is imported; set dummy API keys that are unset.

    Proxies that the environment names are left aside, and litellm uses the prices it came with.

    Blocks may overlap in any way: clients meet the desk that came last, and the libraries are as
    they were once the last block has ended.
    """
    with receiving(desk, opened=_borrow, closed=_borrowed.close):
        _set_again()
        yield


def _borrow() -> None:
    _borrowed.enter_context(_environment())
    _borrowed.enter_context(sockets_meet_the_fake())
    _borrowed.enter_context(on_import(tuple(_PATCHES_OF), _patch))


def _set_again() -> None:
    """Set what a program has deleted: each of the runs of a search is to find the same."""
    # Looked up where `os.environ` keeps it: by name it would cost as much as ten steps of a run.
    if not _names <= os.environ._data.keys():  # type: ignore[attr-defined]
        os.environ.update({name: value for name, value in _set.items() if name not in os.environ})


def _patch(library: ModuleType) -> None:
    name = library.__name__
    if name not in _made or _made[name][0] is not library:
        _made[name] = library, _PATCHES_OF[name](library)
    for owner, attribute, ours in _made[name][1]:
        _borrowed.enter_context(replaced(owner, attribute, ours))


def dummy_keys() -> dict[str, str]:
    """By the name of its variable, the key that a client gets where none is set."""
    now = dict(os.environ)  # each look at `os.environ` itself encodes the name
    return {
        name: card.dummy_key
        for card in cards()
        if now.keys().isdisjoint(card.key_aliases)
        for name in card.key_variables
    }


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    ours = dict.fromkeys(NO_PROXY, "*") | {
        name: value for name, value in (dummy_keys() | _OFFLINE).items() if name not in before
    }
    os.environ.update(ours)
    _set.update(ours)
    _names.update(map(os.fsencode, ours))
    try:
        yield
    finally:
        _set.clear()
        _names.clear()
        now = dict(os.environ)
        for name, value in ours.items():
            if now.get(name) != value:
                continue  # the program has set it meanwhile
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
