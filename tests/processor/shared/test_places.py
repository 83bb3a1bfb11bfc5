"""The places of a shared gate: a real Redis and a file, on both backends, and what can be wrong with them."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from wavetank.processor import (
    BatchResult,
    Limits,
    LLMWorkItem,
    ParallelBatchProcessor,
    SharedGateError,
    SharedLimits,
)
from wavetank.processor.shared import stores
from wavetank.processor.shared.address import auto_path, key_name, parse_address
from wavetank.processor.shared.errors import StoreAway
from wavetank.processor.shared.file_store import FileStore
from wavetank.processor.shared.link import LEASE_SECONDS
from wavetank.processor.shared.redis_store import RedisStore
from wavetank.processor.shared.resp import RespStream

from .kills import ITEMS, PROCESSES, outcome_of, place_of, run, started
from .redis_server import NEEDS_REDIS, SERVER, WHY_NOT, RedisServer, running_redis

BACKENDS = ("asyncio", "trio")
JOIN = ["", "", "10000000", "0", "1 0 1 0 1 0 1e300 1000000 0 1000000"]


async def answer(prompt: str) -> str:
    """A provider that answers at once."""
    return prompt


def run_batch(shared: Any, *, backend: str = "asyncio", items: int = 12, **options: Any) -> BatchResult[str]:
    """A batch whose limits are shared."""

    async def main() -> BatchResult[str]:
        async with ParallelBatchProcessor(answer, shared=shared, **options) as processor:
            for number in range(items):
                await processor.add_work(LLMWorkItem(id=str(number), prompt="x"))
            return await processor.process_all()

    return anyio.run(main, backend=backend)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for the tests of this file."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["redis", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of each kind."""
    if request.param == "file":
        return f"file:{tmp_path / 'limits.gate'}"
    if SERVER is None:
        pytest.skip(WHY_NOT)
    return str(request.getfixturevalue("redis").url)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_runs_over_a_file(backend: str, tmp_path: Path) -> None:
    """At the rate that is told, and the next run finds the file again."""
    shared = f"file:{tmp_path / 'limits.gate'}"
    for _ in range(2):
        batch = run_batch(shared, backend=backend, limits=Limits(requests_per_minute=6000, burst=1))
        assert batch.succeeded == 12
        assert batch.seconds >= 0.1


@NEEDS_REDIS
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_runs_over_redis(backend: str, redis: RedisServer) -> None:
    """The same over a real server; the keys are those of the page, and expire."""
    batch = run_batch(
        f"{redis.url}/1?name={backend}", backend=backend, limits=Limits(requests_per_minute=6000, burst=1)
    )
    assert batch.succeeded == 12
    assert batch.seconds >= 0.1

    async def main() -> None:
        async with await anyio.connect_tcp("127.0.0.1", redis.port) as stream:
            resp = RespStream(stream)
            await resp.ask("SELECT", "1")
            state = f"wavetank:{{{backend}/account}}:state"
            assert await resp.ask("HGET", state, "layout") == stores.LAYOUT
            assert 0 < await resp.ask("PTTL", state) <= 86_400_000
            assert await resp.ask("HLEN", f"wavetank:{{{backend}/account}}:members") == 0

    anyio.run(main)


@NEEDS_REDIS
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_waiter_is_woken_over_redis(backend: str, redis: RedisServer) -> None:
    """The end of a probe wakes the others; nothing is polled for it."""
    woken = list[float]()

    async def main() -> None:
        one, other = (RedisStore(parse_address(redis.url), f"wake-{backend}") for _ in range(2))
        await one.connect()
        await other.connect()
        async with anyio.create_task_group() as group:
            group.start_soon(one.listen, lambda: woken.append(anyio.current_time()))
            joined = await other.call(JOIN)
            again = [*joined[0].split()[1:3], *JOIN[2:]]
            with anyio.fail_after(10):
                # Until it listens.
                while not woken:
                    reply = await other.call([*again, "P 0", "E 0 1"])
                    assert reply[3].startswith("start ")
                    await other.call([*again, f"A {reply[3].split()[1]} -"])
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        await one.aclose()
        await other.aclose()

    anyio.run(main, backend=backend)


@NEEDS_REDIS
def test_a_server_that_comes_back_is_used_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is ended in the middle of a batch and started again: every item is answered."""

    answered = list[str]()

    async def count(prompt: str) -> str:
        answered.append(prompt)
        return prompt

    async def reach(items: int) -> None:
        with anyio.fail_after(30):
            while len(answered) < items:
                await anyio.sleep(0.01)

    async def main() -> BatchResult[str]:
        with running_redis(tmp_path) as server:
            limits = Limits(requests_per_minute=3000)
            processor = ParallelBatchProcessor(count, shared=server.url, limits=limits)
            for number in range(60):
                await processor.add_work(LLMWorkItem(id=str(number), prompt="x"))
            results = list[BatchResult[str]]()

            async def process() -> None:
                results.append(await processor.process_all())

            async with anyio.create_task_group() as group:
                group.start_soon(process)
                await reach(10)
                server.stop()
                await reach(25)
                server.start()
            return results[0]

    batch = anyio.run(main)
    assert batch.succeeded == 60
    assert "until it is back this process keeps to 1/1 of the limit" in caplog.text


def test_a_killed_process_blocks_the_others_no_longer_than_its_lease(place: str, tmp_path: Path) -> None:
    """Real processes, one of them killed, early, halfway or late; `kills.py` does it at more points."""
    whole = run(tmp_path / "whole", place_of(place, 0), 0)
    folders = {sixth: tmp_path / f"killed {sixth}" for sixth in (1, 3, 5)}
    # Each has a gate of its own, so all of them may wait at once.
    runs = {
        sixth: started(folder, place_of(place, sixth), whole.steps * sixth // 6)
        for sixth, folder in folders.items()
    }
    outcomes = {sixth: outcome_of(folders[sixth], children) for sixth, children in runs.items()}
    for sixth, outcome in outcomes.items():
        assert outcome.answered == [ITEMS] * (PROCESSES - 1), sixth
        assert outcome.longest_gap <= LEASE_SECONDS, sixth


# -- what can be wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "give redis://"),
        ("http://host", "http:… is no place for a shared gate"),
        ("limits.gate", "file:PATH"),
        ("file:", "names no file"),
        ("redis://", "names no host"),
        ("redis://host:port", "is no URL"),
        ("redis://host/first", "'first' is no number"),
        ("redis://host?nam=x", "there are [?]name="),
        ("unix://", "names no socket"),
    ],
)
def test_a_wrong_address_is_refused_with_what_can_be_there(text: str, words: str) -> None:
    """Before anything is sent, also in the options."""
    with pytest.raises(ValueError, match=words):
        SharedLimits(address=text)
    with pytest.raises(ValueError, match=words):
        ParallelBatchProcessor(answer, shared=text)


def test_addresses_show_no_password() -> None:
    """Neither in an error, nor in a representation."""
    address = parse_address("rediss://user:s%65cret@[::1]:7000/2?name=team")
    assert (address.host, address.port, address.tls, address.database) == ("::1", 7000, True, 2)
    assert (address.user, address.password, address.name) == ("user", "secret", "team")
    assert address.shown == "rediss://[::1]:7000/2?name=team"
    assert "secret" not in repr(address)
    with pytest.raises(ValueError, match="no number") as error:
        parse_address("redis://:hunter2@host/x")
    assert "hunter2" not in str(error.value)
    assert parse_address("unix:///run/redis.sock?db=3").path == Path("/run/redis.sock")
    assert key_name("a", "{b} c") == "a/%7Bb%7D%20c"


def failure(store: RedisStore | FileStore, *calls: list[str]) -> str:
    """What the store says."""

    async def main() -> str:
        try:
            await store.connect()
            for arguments in calls:
                await store.call(arguments)
        except SharedGateError as error:
            return str(error)
        finally:
            await store.aclose()
        return "nothing"

    return anyio.run(main)


def test_a_server_that_is_not_there_needs_a_share_to_start() -> None:
    """The error says so, and with it the batch runs at its share."""
    server = RedisServer(Path())
    with pytest.raises(SharedGateError, match=r"cannot be reached.*share_of"):
        run_batch(server.url)
    shared = SharedLimits(address=server.url, share_of=4)
    batch = run_batch(shared, items=6, limits=Limits(requests_per_minute=4 * 3000))
    assert batch.succeeded == 6
    assert batch.seconds >= 0.05


@NEEDS_REDIS
def test_a_login_that_is_refused_says_what_to_give(tmp_path: Path) -> None:
    """Without a password, with a wrong one, and with the right one."""
    with running_redis(tmp_path, "--requirepass", "right") as server:
        for login in ("", ":wrong@"):
            url = server.url.replace("//", f"//{login}")
            said = failure(RedisStore(parse_address(url), "x"))
            assert "refuses the login" in said
            assert "redis://user:password@host" in said
            assert "wrong@" not in said
        assert run_batch(server.url.replace("//", "//:right@")).succeeded == 12


@NEEDS_REDIS
def test_a_read_only_replica_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    """Requests are booked in its primary."""
    with running_redis(tmp_path, "--replicaof", "127.0.0.1", str(redis.port)) as server:
        assert "read-only replica" in failure(RedisStore(parse_address(server.url), "x"))


@NEEDS_REDIS
@pytest.mark.parametrize(
    "command",
    [
        ["SET", "wavetank:{foreign}:state", "1"],
        ["HSET", "wavetank:{foreign}:state", "colour", "blue"],
    ],
)
def test_foreign_keys_are_not_changed(command: list[str], redis: RedisServer) -> None:
    """The error names the key and the ways out."""

    async def prepare(*words: str) -> Any:
        async with await anyio.connect_tcp("127.0.0.1", redis.port) as stream:
            return await RespStream(stream).ask(*words)

    anyio.run(prepare, "DEL", command[1])
    anyio.run(prepare, *command)
    said = failure(RedisStore(parse_address(redis.url), "foreign"), JOIN)
    assert "other data in 'wavetank:{foreign}:state'" in said
    assert "?name=" in said
    assert anyio.run(prepare, "TYPE", command[1]) == ("string" if command[0] == "SET" else "hash")


@pytest.fixture
def new_store(place: str, tmp_path: Path) -> Callable[[], RedisStore | FileStore]:
    """Makes stores of one gate."""
    address = parse_address(place)
    if address.path is not None:
        path = address.path
        return lambda: FileStore(path, "x")
    return lambda: RedisStore(address, f"versions{tmp_path.name}")


def test_two_versions_on_one_key_are_told_apart(
    new_store: Callable[[], RedisStore | FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one of the first version has a lease; then the second one begins anew."""

    async def call(*arguments: str) -> list[str]:
        store = new_store()
        await store.connect()
        try:
            return await store.call(arguments)
        finally:
            await store.aclose()

    lease = "200000"
    first = anyio.run(call, "", "", lease, *JOIN[3:])
    for module in ("redis_store", "file_store"):
        monkeypatch.setattr(f"wavetank.processor.shared.{module}.LAYOUT", "2")
    said = failure(new_store(), JOIN)
    assert "another version of wavetank (layout 1, this one has 2)" in said

    async def wait_and_join() -> list[str]:
        with anyio.fail_after(30):
            while True:
                try:
                    return await call(*JOIN)
                except SharedGateError:
                    await anyio.sleep(0.02)

    second = anyio.run(wait_and_join)
    assert second[0].split()[1] != first[0].split()[1]


def test_a_server_of_something_else_is_refused() -> None:
    """What answers is no RESP."""

    async def main() -> None:
        async def speak(stream: SocketStream) -> None:
            async with stream:
                await stream.receive()
                await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, speak)
            port = listener.extra(SocketAttribute.local_port)
            store = RedisStore(parse_address(f"redis://127.0.0.1:{port}"), "x")
            with pytest.raises(SharedGateError, match="is no Redis or Valkey"):
                await store.connect()
            await store.aclose()
            group.cancel_scope.cancel()

    anyio.run(main)


def test_a_file_of_something_else_is_not_changed(tmp_path: Path) -> None:
    """Neither text, nor a database of another program, nor a folder."""
    text, database = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("no database, but long enough to look at: " + "x" * 200, "utf-8")
    with sqlite3.connect(database) as file:
        file.execute("CREATE TABLE other (x)")
    file.close()
    for path, words in (
        (text, "is no file of shared gates"),
        (database, "something else"),
        (tmp_path, "cannot"),
    ):
        before = path.read_bytes() if path.is_file() else b""
        assert words in failure(FileStore(path, "x"))
        assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_file_that_stays_locked_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped in the middle of a call does not stop the others for ever."""
    monkeypatch.setattr("wavetank.processor.shared.file_store.BUSY_SECONDS", 0.05)
    path = tmp_path / "limits.gate"

    async def main() -> None:
        store = FileStore(path, "x")
        await store.connect()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAway, match="has been locked"):
            await store.call(JOIN)
        other.execute("ROLLBACK")
        other.close()
        assert len(await store.call(JOIN)) > 1
        await store.aclose()

    anyio.run(main)


def test_auto_is_one_file_for_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name shows the provider and neither the key nor anything that another machine would call it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "one"))
    monkeypatch.setenv("HOME", str(tmp_path / "one"))
    first = auto_path("openai", "https://api sk-secret")
    assert first == auto_path("openai", "https://api sk-secret")
    assert first != auto_path("openai", "https://api sk-other")
    assert first.name.startswith("openai-")
    assert "secret" not in str(first)
    assert not stat.S_IMODE(os.stat(first.parent).st_mode) & 0o077
    assert run_batch("auto").succeeded == 12
    assert len(list(first.parent.glob("default-*.gate"))) == 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "two"))
    monkeypatch.setenv("HOME", str(tmp_path / "two"))
    assert auto_path("openai", "https://api sk-secret").name != first.name
