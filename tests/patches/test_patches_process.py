"""The smaller things a run borrows: attributes, imports, sockets, hashes, runners, and all together."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import importlib
import socket
import sys
import threading
import time
import types
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import anyio
import pytest
from anyio._backends import _asyncio as anyio_backend

from wavetank.patches.attributes import replaced
from wavetank.patches.hash_order import creation_order
from wavetank.patches.imports import on_import
from wavetank.patches.runners import runners_on
from wavetank.patches.sockets import no_network
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.errors import RealInputOutput
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

# -- attributes -----------------------------------------------------------------------------------


class Base:
    """Has an attribute that a subclass inherits."""

    inherited = "base"


class Owner(Base):
    """Has one of its own, and one of each kind of method."""

    own = "own"

    @staticmethod
    def static() -> str:
        return "static"

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__


def test_replaced_puts_back_what_was_there() -> None:
    """An attribute of the owner itself is its own again, descriptors included."""
    before = dict(vars(Owner))
    for name in ("own", "static", "of_class"):
        with replaced(Owner, name, "ours"):
            assert getattr(Owner, name) == "ours"
    assert dict(vars(Owner)) == before
    assert (Owner.static(), Owner().of_class()) == ("static", "Owner")


def test_replaced_leaves_nothing_where_nothing_was() -> None:
    """An inherited attribute is inherited again, and an absent one absent."""
    with replaced(Owner, "inherited", "ours"), replaced(Owner, "absent", "ours"):
        assert (Owner.inherited, vars(Owner)["absent"], Base.inherited) == ("ours", "ours", "base")
    assert Owner.inherited == "base"
    assert "inherited" not in vars(Owner)
    assert "absent" not in vars(Owner)


def test_replaced_after_an_error_and_nested() -> None:
    """Blocks nest, and an error inside gives back as well."""
    with suppress(ValueError), replaced(Owner, "own", 1), replaced(Owner, "own", 2):
        raise ValueError
    assert Owner.own == "own"


def test_replaced_none_is_a_value() -> None:
    """An attribute that was `None` is `None` again."""
    module = types.ModuleType("module")
    vars(module)["nothing"] = None
    with replaced(module, "nothing", 1):
        assert vars(module)["nothing"] == 1
    assert vars(module)["nothing"] is None


# -- imports ---------------------------------------------------------------------------------------


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Writes modules that can be imported, and forgets them after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name: str, text: str) -> None:
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        importlib.invalidate_caches()

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def acted() -> list[tuple[str, object]]:
    """The modules acted upon, each with what was in it then."""
    return []


@pytest.fixture
def act(acted: list[tuple[str, object]]) -> Callable[[types.ModuleType], None]:
    return lambda module: acted.append((module.__name__, getattr(module, "VALUE", None)))


Make = Callable[[str, str], None]
Act = Callable[[types.ModuleType], None]
Acted = list[tuple[str, object]]


def test_a_module_that_is_there_is_acted_upon_now(make_module: Make, act: Act, acted: Acted) -> None:
    """Entering the block is enough, and importing it again changes nothing."""
    make_module("there", "VALUE = 1")
    importlib.import_module("there")
    with on_import(("there",), act):
        assert acted == [("there", 1)]
        importlib.import_module("there")
        importlib.reload(sys.modules["there"])
    assert acted == [("there", 1)]


def test_a_module_is_acted_upon_when_it_is_whole(make_module: Make, act: Act, acted: Acted) -> None:
    """Right after its import, once, also when another module imports it first."""
    make_module("later", "VALUE = 1\nVALUE = 2")
    make_module("importer", "import later")
    with on_import(("later", "never_imported"), act):
        assert acted == []
        importlib.import_module("importer")
        assert acted == [("later", 2)]
        importlib.import_module("later")
        importlib.reload(sys.modules["later"])
    assert acted == [("later", 2)]
    spec = sys.modules["later"].__spec__
    assert spec is not None
    assert spec.loader is sys.modules["later"].__loader__
    assert type(spec.loader).__module__.endswith("importlib_external")


def test_other_modules_are_not_touched(make_module: Make, act: Act, acted: Acted) -> None:
    """A module that was not named is imported as usual."""
    make_module("unnamed", "VALUE = 1")
    with on_import(("named",), act):
        importlib.import_module("unnamed")
    assert acted == []


def test_an_import_after_the_block(make_module: Make, act: Act, acted: Acted) -> None:
    """After the block nothing is acted upon, and the import system is as it was."""
    before = list(sys.meta_path)
    make_module("after", "VALUE = 1")
    with suppress(ValueError), on_import(("after",), act):
        raise ValueError
    importlib.import_module("after")
    assert acted == []
    assert sys.meta_path == before


def test_nested_blocks_each_act(make_module: Make, act: Act, acted: Acted) -> None:
    """The outer block acts first, as it would have, had the module been there."""
    make_module("nested", "VALUE = 1")
    outer: list[str] = []
    with on_import(("nested",), lambda module: outer.append(module.__name__)), on_import(("nested",), act):
        importlib.import_module("nested")
        assert (outer, acted) == (["nested"], [("nested", 1)])


def test_a_module_that_imports_another_of_the_names(make_module: Make, act: Act, acted: Acted) -> None:
    """Each is acted upon when it is whole: the inner one first."""
    make_module("inner", "VALUE = 'inner'")
    make_module("outer", "import inner\nVALUE = 'outer'")
    with on_import(("outer", "inner"), act):
        importlib.import_module("outer")
    assert acted == [("inner", "inner"), ("outer", "outer")]


def test_a_failing_import(make_module: Make, act: Act, acted: Acted) -> None:
    """A module that fails is not acted upon; when it is imported again with success, it is."""
    make_module("fails", "import sys\nif not hasattr(sys, '_may'): raise LookupError('not yet')\nVALUE = 1")
    with on_import(("fails", "missing"), act):
        for _ in range(2):
            with pytest.raises(LookupError, match="not yet"):
                importlib.import_module("fails")
            with pytest.raises(ModuleNotFoundError, match="No module named 'missing'"):
                importlib.import_module("missing")
        assert acted == []
        with replaced(sys, "_may", True):
            importlib.import_module("fails")
        assert acted == [("fails", 1)]


def test_an_error_of_the_act_fails_the_import(make_module: Make) -> None:
    """What goes wrong while a library is met is not lost."""
    make_module("refused", "VALUE = 1")

    def refuse(_: types.ModuleType) -> None:
        raise RuntimeError("cannot meet this version")

    with on_import(("refused",), refuse), pytest.raises(RuntimeError, match="cannot meet this version"):
        importlib.import_module("refused")
    assert "refused" not in sys.modules


def test_a_module_inside_a_package(
    make_module: Make, act: Act, acted: Acted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dotted names work, and `import package` alone does not act."""
    monkeypatch.syspath_prepend(tmp_path / "root")
    (tmp_path / "root" / "package").mkdir(parents=True)
    (tmp_path / "root" / "package" / "__init__.py").write_text("")
    (tmp_path / "root" / "package" / "part.py").write_text("VALUE = 3")
    make_module("uses_it", "from package import part")
    with on_import(("package.part",), act):
        importlib.import_module("package")
        assert acted == []
        importlib.import_module("uses_it")
        assert acted == [("package.part", 3)]


# -- sockets ---------------------------------------------------------------------------------------


def connects() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def connects_ex() -> None:
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", 9))


CALLS: list[tuple[Callable[[], object], str]] = [
    (connects, "('127.0.0.1', 9)"),
    (connects_ex, "('127.0.0.1', 9)"),
    (lambda: socket.create_connection(("localhost", 9)), "localhost:9"),
    (lambda: socket.getaddrinfo("example.com", 443), "example.com:443"),
]


@pytest.mark.parametrize(("call", "place"), CALLS)
def test_connections_and_look_ups_are_refused(call: Callable[[], object], place: str) -> None:
    """The error names the place and the fix."""
    with no_network(lambda: True), pytest.raises(RealInputOutput) as caught:
        call()
    assert place in str(caught.value)
    assert '@pytest.mark.llm_clock("real")' in str(caught.value)


def test_a_library_s_request_is_refused() -> None:
    """So is what a library does with them."""
    with no_network(lambda: True), pytest.raises((RealInputOutput, URLError)) as caught:
        urllib.request.urlopen("http://127.0.0.1:9/")
    assert "real network" in str(caught.value)


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """A socket that listens on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def test_other_threads_reach_the_network(server: tuple[str, int]) -> None:
    """Threads that are not the run's connect as ever."""
    out: list[str] = []

    def connect() -> None:
        with socket.create_connection(server, timeout=5):
            out.append("connected")

    mine = threading.get_ident()
    with no_network(lambda: threading.get_ident() == mine):
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
    assert out == ["connected"]


def test_the_network_is_given_back(server: tuple[str, int]) -> None:
    """After the block sockets are the process's again, with nothing left on their class."""
    before = dict(vars(socket.socket)), socket.getaddrinfo
    with no_network(lambda: True), suppress(RealInputOutput):
        connects()
    assert (dict(vars(socket.socket)), socket.getaddrinfo) == before
    with socket.create_connection(server, timeout=5) as connected:
        assert connected.getpeername() == server


# -- hashes ----------------------------------------------------------------------------------------


def test_scopes_threads_and_futures_count() -> None:
    """What the run makes hashes by its number; equality and later look-ups stay as they were."""
    with creation_order(Scheduler(Timers())):
        threads = [threading.Thread() for _ in range(20)]
        futures = [cf.Future[int]() for _ in range(20)]
        assert list(set(threads)) == threads
        assert list(set(futures)) == futures
        assert threads[0] != threads[1]
    assert {hash(thread) for thread in threads} != set(range(1, 21))


def test_what_was_made_before_keeps_its_hash() -> None:
    """A set of older threads and futures goes on finding them."""
    thread, future = threading.Thread(), cf.Future[int]()
    kept: set[object] = {thread, future}
    with creation_order(Scheduler(Timers())):
        assert thread in kept
        assert future in kept


def test_what_another_thread_makes_hashes_by_address() -> None:
    """Threads outside the run do not use up its numbers."""
    made: list[cf.Future[int]] = []
    scheduler = Scheduler(Timers())
    thread = threading.Thread(target=lambda: made.append(cf.Future()))
    with creation_order(scheduler):
        thread.start()
        thread.join()
        assert hash(made[0]) == object.__hash__(made[0])
        assert hash(cf.Future()) == 1


def test_scopes_of_a_real_loop_hash_by_address() -> None:
    """A cancel scope made on another loop is as it was."""

    async def main() -> bool:
        scope = anyio.CancelScope()
        return hash(scope) == object.__hash__(scope)

    original = anyio_backend.CancelScope
    with creation_order(Scheduler(Timers())):
        assert anyio_backend.CancelScope is not original
        assert asyncio.run(main())
    assert anyio_backend.CancelScope is original


# -- runners ---------------------------------------------------------------------------------------


@contextmanager
def simulated_runners() -> Iterator[list[SimulatedLoop]]:
    """Runners of this thread get simulated loops; yields those that were made."""
    scheduler, loops = Scheduler(Timers()), list[SimulatedLoop]()

    def make() -> SimulatedLoop:
        loops.append(SimulatedLoop(scheduler))
        return loops[-1]

    with ExitStack() as stack:
        stack.enter_context(virtual_process(scheduler))
        stack.enter_context(runners_on(make, where=scheduler.is_mine))
        stack.callback(scheduler.close)
        yield loops


async def two_seconds() -> float:
    await asyncio.sleep(2)
    return asyncio.get_running_loop().time()


def test_runners_get_simulated_loops() -> None:
    """`asyncio.run`, `asyncio.Runner` and `anyio.run` go in the run's time, one after the other."""
    with simulated_runners() as loops:
        assert asyncio.run(two_seconds()) == 2.0
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert runner.run(two_seconds()) == 4.0
            assert runner.run(two_seconds()) == 6.0
        assert anyio.run(two_seconds) == 8.0
    assert len(loops) == 3
    assert all(loop.is_closed() for loop in loops)


class TheirTask(asyncio.Task[Any]):
    """A task of somebody's own making."""


class SlowStart(asyncio.SelectorEventLoop):
    """A loop whose tasks are of somebody's own making."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(lambda loop, coro, **_: TheirTask(coro, loop=loop))


async def is_theirs() -> bool:
    return isinstance(asyncio.current_task(), TheirTask)


def test_a_runner_s_own_factory_says_how_tasks_are_made() -> None:
    """The task factory of the loop that a runner asked for, eager tasks for instance, is kept."""
    with simulated_runners() as loops:
        with asyncio.Runner(loop_factory=SlowStart) as runner:
            assert runner.run(is_theirs())
        assert not asyncio.run(is_theirs())
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            assert not runner.run(is_theirs())
    assert len(loops) == 3


def test_a_runner_without_a_factory_sets_the_event_loop() -> None:
    """As on asyncio, sync code between two runs of a runner finds the runner's loop."""
    with simulated_runners() as loops, asyncio.Runner() as runner:
        assert runner.get_loop() is asyncio.get_event_loop() is loops[0]


def test_loops_made_by_hand_are_simulated() -> None:
    """`asyncio.new_event_loop` gives a loop of the run, one for a thread of the program included."""
    with simulated_runners():
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(two_seconds()) == 2.0
        loop.close()

        async def main() -> float:
            beside = asyncio.new_event_loop()
            thread = threading.Thread(target=beside.run_forever)
            thread.start()
            future = asyncio.run_coroutine_threadsafe(two_seconds(), beside)
            ended = await asyncio.wrap_future(future)
            beside.call_soon_threadsafe(beside.stop)
            await asyncio.to_thread(thread.join)
            beside.close()
            return ended

        assert asyncio.run(main()) == 4.0


def test_a_thread_s_timer_outlives_the_loop_that_took_it() -> None:
    """A thread sleeps on while one loop ends and another starts."""
    out: list[float] = []

    def work() -> None:
        for _ in range(4):
            time.sleep(1)
            out.append(time.monotonic())

    async def one_second() -> None:
        await asyncio.sleep(1)

    with simulated_runners():
        thread = threading.Thread(target=work)
        thread.start()
        asyncio.run(one_second())
        asyncio.run(one_second())
        thread.join()
    assert out == [1.0, 2.0, 3.0, 4.0]


def test_runners_elsewhere_are_not_touched() -> None:
    """Another thread's runner keeps the loop it asks for, and so does everybody's after the block."""
    kinds: list[type] = []

    async def kind() -> None:
        kinds.append(type(asyncio.get_running_loop()))

    def foreign() -> None:
        go.wait()
        asyncio.run(kind())

    go, thread = threading.Event(), threading.Thread(target=foreign)
    thread.start()
    before = asyncio.Runner.__init__
    with simulated_runners() as loops:
        go.set()
        thread.join()
        asyncio.run(kind())
    asyncio.run(kind())
    assert [issubclass(one, SimulatedLoop) for one in kinds] == [False, True, False]
    assert len(loops) == 1
    assert asyncio.Runner.__init__ is before


# -- all together ----------------------------------------------------------------------------------


def test_a_virtual_process_gives_everything_back() -> None:
    """After the block, also after an error and when blocks nest, nothing of the run is left."""
    owners = [threading, threading.Thread, socket.socket, socket, cf.Future, anyio_backend]
    before = [dict(vars(owner)) for owner in owners]
    with suppress(ZeroDivisionError), virtual_process(Scheduler(Timers())):
        with virtual_process(Scheduler(Timers())):
            threading.Thread()
        _ = 1 // 0
    assert [dict(vars(owner)) for owner in owners] == before
