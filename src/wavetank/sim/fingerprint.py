"""A fingerprint of a program: sixteen bits of its compiled code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

from .token import checksum


def fingerprint(program: Any) -> int:
    """The fingerprint of a function and what is defined inside it; 0 for what has no Python code.

    It is the same in every process of one minor version of Python, and does not change with the
    function's name, its place in the file or its comments.
    """
    code = getattr(_function_of(program), "__code__", None)
    return checksum(b"\0".join(_parts(code))) if isinstance(code, CodeType) else 0


def is_coroutine_function(program: Any) -> bool:
    """Whether a program is `async def`, or wraps one; a function that only returns a coroutine is not."""
    return inspect.iscoroutinefunction(_function_of(program))


def _function_of(program: Any) -> Any:
    """What runs when a program is called, which may be a partial, wrap another or be an object to call."""
    while isinstance(program, functools.partial):
        program = program.func
    program = inspect.unwrap(program)
    if not hasattr(program, "__code__") and callable(program):
        return type(program).__call__
    return program


def _parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield " ".join((*code.co_names, *code.co_varnames, *code.co_freevars)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, str | bytes | int | float | complex | tuple | None):
            yield repr(constant).encode("utf-8", "backslashreplace")
        elif isinstance(constant, frozenset):
            yield " ".join(sorted(map(repr, constant))).encode("utf-8", "backslashreplace")
