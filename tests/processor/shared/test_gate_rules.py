"""The script in Redis and the rules for a file are the same: random calls get the same replies from both."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from wavetank.processor.shared.gate_rules import FIELDS, GateState, call_gate
from wavetank.processor.shared.redis_store import script
from wavetank.processor.shared.resp import RedisError, RespStream, decode, encode
from wavetank.processor.shared.stores import LAYOUT

from .redis_server import NEEDS_REDIS, RedisServer, running_redis

KEYS = [f"wavetank:{{x}}:{key}" for key in ("state", "members", "tickets", "log", "learnt")]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for the tests of this file."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Calls:
    """Random calls of a few members; the names of requests and members come from the replies."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.born = ""
        self.cursors: dict[str, int] = {}
        self.tickets: list[str] = []
        self.head = 0

    def next(self) -> list[str]:
        """The arguments of a call."""
        pick = self.random.choice
        me = pick([*self.cursors] if len(self.cursors) > 5 else ["", *self.cursors])
        operations = list[str]()
        for _ in range(self.random.randrange(4)):
            operations.append(self._operation(me))
            if operations[-1] == "G":
                break
        lease = pick([3000, 30000, 100000])
        cursor = pick([self.cursors.get(me, 0), 0])
        born = self.born if self.random.random() < 0.99 else "5"
        return [born, me, str(lease), str(cursor), self._pace(), *operations]

    def learn(self, reply: list[str], arguments: list[str]) -> None:
        """Take in a reply."""
        _, self.born, me, *_, head, _, _, count = reply[0].split()
        self.cursors[me] = self.head = int(head)
        if arguments[-1] == "G":
            del self.cursors[me]
        results = reply[2 : 2 + int(count)]
        self.tickets += [result.split()[1] for result in results if result.startswith("start")]

    def _operation(self, me: str) -> str:
        pick, below = self.random.choice, self.random.randrange
        number = pick(self.tickets[-6:] or ["1"])
        goes = "G" if self.random.random() < 0.1 else ""
        kind = pick("EEEEEEEEEEAAAAARRLWPQITXS" + goes) if me else "E"
        words: dict[str, Callable[[], str]] = {
            "E": lambda: f"{pick(['0', '10', '7.5'])} {below(50)}",
            "A": lambda: f"{number} {pick(['-', '12'])}",
            "R": lambda: (
                f"{number} {below(3000)} {pick([0, 0, 1500])} {pick(['1e300', '200'])} {pick('001')}"
            ),
            "L": lambda: number,
            "W": lambda: number,
            "P": lambda: f"{below(1000)}",
            "Q": lambda: f"{pick('rt')} {pick('01')} {below(20)} {below(max(1, len(self.tickets)))}",
            "I": lambda: f"{number} 1234567|a b | c",
            "T": lambda: "|[600, null, null, null]",
            "X": lambda: f"{number}|the quota is spent",
            "S": lambda: f'{below(max(1, self.head + 1))}|{{"a": 1}}',
            "G": lambda: "",
        }
        return f"{kind} {words[kind]()}".strip()

    def _pace(self) -> str:
        pick, below = self.random.choice, self.random.randrange
        if self.random.random() < 0.6:
            return ""
        numbers: list[Any] = [below(self.head + 2), pick([0, 200, 5000, 33.3]), pick([1, 3, 2.5])]
        numbers += [pick([0, 20000]), 40, pick([0, 8]), pick([2, 5, "1e300"]), below(2000)]
        return " ".join(map(str, [*numbers, pick([0, 0, time.time_ns() // 1000 + 500]), below(1500)]))


@NEEDS_REDIS
@pytest.mark.parametrize("seed", range(6))
def test_the_script_and_the_rules_give_the_same_replies(seed: int, redis: RedisServer) -> None:
    """Also when leases end and pauses pass: the rules are given the instants of the server."""
    calls, state = Calls(seed), None

    async def main() -> None:
        nonlocal state
        async with await anyio.connect_tcp("127.0.0.1", redis.port) as stream:
            resp = RespStream(stream)
            await resp.ask("FLUSHALL")
            for _ in range(150):
                arguments = calls.next()
                reply = await resp.ask("EVAL", script()[0], "5", *KEYS, LAYOUT, *arguments)
                if reply == ["new"]:
                    continue
                now, born, *_ = reply[0].split()
                state = state or GateState(born)
                assert call_gate(state, int(now), arguments) == reply
                calls.learn(reply, arguments)
                flat = await resp.ask("HGETALL", KEYS[0])
                stored = dict(zip(flat[::2], flat[1::2], strict=True))
                assert {name: float(stored.get(name, 0)) for name in FIELDS} == state.numbers
                assert await resp.ask("HLEN", KEYS[1]) == len(state.members)
                assert await resp.ask("HLEN", KEYS[2]) == len(state.tickets)

    anyio.run(main)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":12\r\n", 12),
        (b"$-1\r\n", None),
        (b"$3\r\na\r\n\r\n", "a\r\n"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]]),
    ],
)
def test_answers_are_read_whole(data: bytes, value: object) -> None:
    """Each kind of RESP2, to its end."""
    assert decode(data + b"+next\r\n") == (value, len(data))


def test_commands_and_errors() -> None:
    """Text of any kind is sent, and an error has its code."""
    assert encode(["SET", "\xe4"]) == b"*2\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n"
    error, _ = decode(b"-NOAUTH Authentication required.\r\n")
    assert isinstance(error, RedisError)
    assert error.code == "NOAUTH"
    with pytest.raises(ValueError, match="is no answer of Redis"):
        decode(b"HTTP/1.1 400\r\n")
