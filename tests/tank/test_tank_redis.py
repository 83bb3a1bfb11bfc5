"""A Redis in the simulated network: real clients, its clock, its latency and its outages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import redis
import redis.asyncio

from wavetank import Run, SimulatedRedis, Tank, search, simulate

from .resp_client import RespClient, RespError

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def checked(main: Callable[[Tank], Any], backend: str = "asyncio") -> Run[Any]:
    run = simulate(main, backend=backend, checks=())
    assert run.error is None, run.error
    assert run.kind is None, run.report()
    return run


@both_backends
def test_commands_and_scripts_have_virtual_time(backend: str) -> None:
    """`TIME`, expiry and a script read the clock of the run, whatever replica asks."""
    script = (
        "local t = redis.call('TIME') redis.call('HSET', KEYS[1], 'at', t[1]) "
        "return redis.call('HGETALL', KEYS[1])"
    )

    async def ask() -> Any:
        client = await RespClient.connect()
        found = [await client("TIME"), await client("EVAL", script, 1, "h"), time.time()]
        await client.aclose()
        return found

    async def main(tank: Tank) -> Any:
        tank.add_redis("cache.internal", latency="1ms")
        one = tank.replica("one", clock_offset=3600)
        await anyio.sleep(10)
        client = await RespClient.connect()
        assert await client("SET", "key", "value", "PX", 1500) == "OK"
        assert await client("PTTL", "key") == 1499
        await anyio.sleep(1.4)
        assert await client("GET", "key") == "value"
        await anyio.sleep(0.2)
        assert await client("GET", "key") is None
        await client.aclose()
        return await one.run(ask)

    seen: Any = checked(main, backend).value
    assert seen[0][0] == str(1_767_225_600 + 11)
    assert seen[1] == ["at", str(1_767_225_600 + 11)]
    assert seen[2] > 1_767_225_600 + 3600


def test_redis_py_is_met_on_asyncio_and_in_threads() -> None:
    """The client that programs use, unmodified: pipelines, blocking commands and messages."""

    async def main(tank: Tank) -> Any:
        tank.add_redis("cache.internal", latency=0.002)
        async with redis.asyncio.Redis.from_url("redis://cache.internal:6379") as client:
            async with client.pipeline(transaction=True) as pipe:
                pipe.incr("n")
                pipe.expire("n", 3)
                pipe.ttl("n")
                assert await pipe.execute() == [1, True, 3]
            await client.rpush("queue", "a")
            assert await client.blpop("queue") == (b"queue", b"a")
            before = tank.now()
            assert await client.blpop("queue", timeout=2) is None
            assert tank.now() - before == pytest.approx(2.002)
            async with client.pubsub() as messages:
                await messages.subscribe("channel")
                await messages.get_message(timeout=1)
                await client.publish("channel", "hello")
                message = await messages.get_message(timeout=1)
                return message and message["data"]

    def plain(tank: Tank) -> Any:
        tank.add_redis("cache.internal")
        with redis.Redis(host="cache.internal") as client:
            client.set("key", "value")
            client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")(["n"], [3])
            return client.get("key"), client.get("n")

    assert checked(main).value == b"hello"
    assert checked(plain).value == (b"value", b"3")


@both_backends
def test_those_that_wait_longest_go_first(backend: str) -> None:
    """Blocking commands are answered in the order in which they came."""
    got: list[str] = []

    async def pop(name: str) -> None:
        client = await RespClient.connect()
        got.append(f"{name} {(await client('BLPOP', 'queue', 0))[1]}")
        await client.aclose()

    async def main(tank: Tank) -> None:
        tank.add_redis("cache.internal", latency=0.001)
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(pop, name)
                await anyio.sleep(1)
            client = await RespClient.connect()
            await client("RPUSH", "queue", 1, 2, 3)
            await client.aclose()

    checked(main, backend)
    assert got == ["a 1", "b 2", "c 3"]


@both_backends
def test_outages_are_seen_by_clients(backend: str) -> None:
    """Away: reset, refused, then back with its data. Slow: late. Read-only: no write, nor in a script."""

    async def main(tank: Tank) -> None:
        server = tank.add_redis("cache.internal", latency="1ms")
        client = await RespClient.connect()
        await client("SET", "key", "kept")
        server.slow(10, latency=0.5)
        before = tank.now()
        await client("GET", "key")
        assert tank.now() - before == pytest.approx(0.501)
        server.read_only = True
        for command in (("SET", "key", "x"), ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "key")):
            with pytest.raises(RespError, match="READONLY"):
                await client(*command)
        assert await client("GET", "key") == "kept"
        server.read_only = False
        server.away(5)
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead)):
            await client("GET", "key")
        await client.aclose()
        with pytest.raises(OSError, match=r"refused|connection"):
            await RespClient.connect()
        await anyio.sleep(5)
        again = await RespClient.connect()
        assert await again("GET", "key") == "kept"
        await again.aclose()

    checked(main, backend)


@both_backends
def test_a_crash_keeps_what_was_sent(backend: str) -> None:
    """A command that was on its way when its replica crashed is run; its reply is lost; others are served."""

    async def program() -> None:
        client = await RespClient.connect()
        await client("SET", "lock", "one")
        await client("SET", "never", "x")

    async def main(tank: Tank) -> Any:
        tank.add_redis("cache.internal", latency="10ms")
        one = tank.replica("one")
        one.start(program)
        await anyio.sleep(0.001)
        one.crash()
        await anyio.sleep(1)
        client = await RespClient.connect()
        found = await client("MGET", "lock", "never"), await client("CLIENT", "LIST")
        await client.aclose()
        return found

    run = checked(main, backend)
    found, clients = run.value or (None, "")
    assert found == ["one", None]
    assert len(clients.splitlines()) == 1
    [command, *_] = run.events.of("command")
    assert (command.host, command.target, command.sent, command.at) == (
        "cache.internal",
        "SET lock",
        0,
        5_000_000,
    )
    assert command.task is not None
    assert command.task.startswith("one/")


@both_backends
def test_a_search_finds_a_check_then_act(backend: str) -> None:
    """Latencies and the order of clients are explored, and repeat byte by byte."""

    async def add() -> None:
        client = await RespClient.connect()
        seen = int(await client("GET", "n") or 0)
        await client("SET", "n", seen + 1)
        await client.aclose()

    async def main(tank: Tank) -> None:
        tank.add_redis("cache.internal")
        one, two = tank.replica("one"), tank.replica("two")
        one.start(add)
        await anyio.sleep(0.02)
        two.start(add)
        await one.wait()
        await two.wait()
        client = await RespClient.connect()
        assert await client("GET", "n") == "2"
        await client.aclose()

    checked(main, backend)
    failure = search(main, schedules=300, backend=backend, checks=()).failure
    assert failure is not None
    again = simulate(main, backend=backend, schedule=failure.schedule, checks=())
    assert again.events.to_ndjson(waits=False) == failure.events.to_ndjson(waits=False)


@pytest.mark.parametrize(
    ("host", "options", "text"),
    [
        ("redis://cache", {}, "give a host alone"),
        ("cache:6379", {}, "give a host alone"),
        ("cache", {"latency": "5ms..1ms"}, "the shortest comes first"),
        ("cache", {"latency": -1}, "give seconds"),
        ("cache", {"latency": "soon"}, "soon"),
    ],
)
def test_a_wrong_address_or_latency_is_named(host: str, options: dict[str, Any], text: str) -> None:
    """What is no host, or no latency, is refused."""

    def main(tank: Tank) -> None:
        with pytest.raises(ValueError, match=text):
            tank.add_redis(host, **options)
        server = tank.add_redis("cache")
        with pytest.raises(ValueError, match="a server at port 6379"):
            tank.add_redis("cache")
        wrongs: list[Callable[[], object]] = [
            lambda: server.away(0),
            lambda: server.slow(1, latency=-1),
            lambda: server.slow(True, latency=1),
        ]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="above 0"):
                wrong()

    checked(main)


def test_without_fakeredis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "wavetank.seams.redis_commands", None)

    def main(tank: Tank) -> None:
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'wavetank\[fleet\]'"):
            tank.add_redis("cache")

    checked(main)


def test_what_is_no_command_ends_the_connection() -> None:
    """A client that speaks something else gets an error and the end, as from a Redis."""

    async def main(tank: Tank) -> Any:
        tank.add_redis("cache.internal")
        stream = await anyio.connect_tcp("cache.internal", 6379)
        await stream.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = await stream.receive()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await stream.aclose()
        return answer

    assert b"-ERR Protocol error" in (checked(main).value or b"")


def test_its_handle_is_public() -> None:
    """`tank.add_redis` returns what `wavetank.SimulatedRedis` names."""

    def main(tank: Tank) -> None:
        assert isinstance(tank.add_redis("cache"), SimulatedRedis)
        assert (
            repr(tank.add_redis("other", latency=0))
            == "<SimulatedRedis <RedisServer other, 0s..0s, 0 connections>>"
        )

    checked(main)
