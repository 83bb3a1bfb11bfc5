"""A Redis in the simulated world, as a test sees it; `tank.add_redis` makes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..clock import SECOND, format_duration, parse_duration
from ..seams.desk import Desk
from ..seams.redis_server import PORT, RedisServer
from .own_choices import OwnChoices
from .strict_attributes import StrictAttributes

_AS_SEEDED: Final = (4, 1, 1)
"""How often a search takes the shortest, the middle and the longest latency: most commands are quick."""


@final
class SimulatedRedis(StrictAttributes):
    """A server that clients of Redis reach at its address; what it holds outlives them."""

    __slots__ = ("_server",)

    def __init__(self, desk: Desk, choices: OwnChoices, host: str, port: int, latency: str | float) -> None:
        name, low, high = _checked_host(host), *_latencies(latency)

        def choose(options: Sequence[int]) -> int:
            explorer = choices.explorer
            if explorer is None:
                return options[0]
            at = explorer.decide(
                len(options),
                _AS_SEEDED,
                lambda at: f"{name} takes {format_duration(options[at])} for a command",
            )
            return options[at]

        if (name, port) in desk.services:
            raise ValueError(f"add_redis({host!r}): there is a server at port {port} of this host already")
        self._server = RedisServer(desk, name, latency=(low, high), choose=choose)
        desk.services[name, port] = self._server

    @property
    def read_only(self) -> bool:
        """Whether it refuses writes, as a replica of a Redis does."""
        return self._server.commands.read_only

    @read_only.setter
    def read_only(self, value: bool) -> None:
        self._server.commands.read_only = value

    def away(self, seconds: float) -> None:
        """Let it be away for so many seconds: its connections are reset, and new ones are refused.

        It keeps what it holds.

        Raises:
            ValueError: the number is not above 0.
        """
        self._server.away(_above_zero(seconds, "away"))

    def slow(self, seconds: float, *, latency: float) -> None:
        """Let every command take `latency` seconds more, for so many seconds.

        Raises:
            ValueError: a number is not above 0.
        """
        self._server.slow(_above_zero(seconds, "slow"), _above_zero(latency, "latency"))

    def __repr__(self) -> str:
        return f"<SimulatedRedis {self._server!r}>"


def _checked_host(host: str) -> str:
    if not isinstance(host, str) or not host or any(mark in host for mark in "/:@ *"):
        raise ValueError(
            f"add_redis({host!r}): give a host alone, such as 'cache.internal'; port={PORT} is apart"
        )
    return host.lower()


def _latencies(latency: str | float) -> tuple[int, int]:
    """The shortest and the longest latency, in nanoseconds."""
    if isinstance(latency, str):
        low, dots, high = latency.partition("..")
        ends = int(parse_duration(low)), int(parse_duration(high if dots else low))
    elif isinstance(latency, bool) or not isinstance(latency, int | float) or not 0 <= latency < float("inf"):
        raise ValueError(f"latency={latency!r}: give seconds, or a text such as '1ms' or '1ms..5ms'")
    else:
        ends = round(latency * SECOND), round(latency * SECOND)
    if ends[0] > ends[1]:
        raise ValueError(f"latency={latency!r}: the shortest comes first")
    return ends


def _above_zero(seconds: float, name: str) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{name}={seconds!r}: give a number of seconds above 0")
    return round(seconds * SECOND)
