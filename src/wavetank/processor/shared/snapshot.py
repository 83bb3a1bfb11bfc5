"""What was learnt as text, for a process that joins later: each object with its class and its fields.

Text and not pickle: otherwise anything that can write to the server could run code here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from ..gate.crowd import Crowd
from ..gate.latency import LatencyEstimate
from ..gate.learner import Learner
from ..gate.limit_set import Bounds, LimitSet, Seen
from ..gate.meter import Meter
from ..gate.pace import Pace
from ..gate.pacer import Pacer
from ..gate.sent_requests import Sent, SentRequests
from ..gate.tickets import Ticket
from ..limits import Limits, Quota

_CLASSES: Final = {
    each.__name__: each
    for each in (
        *(Pace, Learner, LimitSet, Crowd, Meter, Pacer, SentRequests, Sent),
        *(LatencyEstimate, Limits, Quota, Ticket),
    )
}
_TUPLES: Final = {each.__name__: each for each in (Seen, Bounds)}
_NOT_SHARED: Final = frozenset(("_on_change", "_left"))
"""Functions of the process."""


def encode(value: object) -> str:
    """An object of the gate as one line of text."""
    return json.dumps(_encoded(value), separators=(",", ":"))


def decode(text: str) -> Any:
    """The object that `encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        return _decoded(json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is not what a shared gate has learnt: {error!r}") from error


def _encoded(value: object) -> object:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    if isinstance(value, dict):
        return {"is": "dict", "of": [[_encoded(key), _encoded(each)] for key, each in value.items()]}
    if isinstance(value, deque):
        return {"is": "deque", "most": value.maxlen, "of": [_encoded(each) for each in value]}
    name = type(value).__name__
    if isinstance(value, tuple):
        return {"is": name, "of": [_encoded(each) for each in value]}
    if name not in _CLASSES:
        raise TypeError(f"{value!r} cannot be shared")
    return {"is": name} | {field: _encoded(getattr(value, field)) for field in _fields(value)}


def _fields(value: object) -> Iterator[str]:
    names = getattr(type(value), "__slots__", None) or vars(value)
    return (name for name in sorted(names) if name not in _NOT_SHARED)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    name = value.pop("is")
    if name == "dict":
        return {_decoded(key): _decoded(each) for key, each in value["of"]}
    if name == "deque":
        return deque(map(_decoded, value["of"]), maxlen=value["most"])
    if name == "tuple":
        return tuple(map(_decoded, value["of"]))
    if name in _TUPLES:
        return _TUPLES[name](*map(_decoded, value["of"]))
    found = object.__new__(_CLASSES[name])
    for field, each in value.items():
        object.__setattr__(found, field, _decoded(each))
    return found
