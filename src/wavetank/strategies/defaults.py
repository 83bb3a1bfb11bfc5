"""What a strategy draws from where it is given nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def given_or(
    given: st.SearchStrategy[T] | None, default: Callable[[], st.SearchStrategy[T]]
) -> st.SearchStrategy[T]:
    """The strategy that is given, else the one that `default` makes: made once, however often it is drawn."""
    return _made_once(default) if given is None else given


@cache
def _made_once(make: Callable[[], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """What `make` returned the first time: to make a strategy takes longer than to draw from it."""
    return make()
