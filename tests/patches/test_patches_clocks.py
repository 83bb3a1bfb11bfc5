"""The clocks of the process are the run's while it lasts, on its own threads, under every name."""

from __future__ import annotations

import datetime
import importlib
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date
from datetime import datetime as dt
from pathlib import Path
from time import monotonic as m
from time import monotonic_ns, perf_counter, perf_counter_ns, sleep, time_ns
from time import time as wall

import _pytest.timing
import pytest

from wavetank.clock import EPOCH_NS, EPOCH_SECONDS, SECOND, real_now
from wavetank.patches import clocks
from wavetank.patches.clocks import borrowed_clocks
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

REAL: dict[str, object] = {
    name: getattr(time, name)
    for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "time", "time_ns")
}


@contextmanager
def virtual_clocks() -> Iterator[Timers]:
    """A stretch of virtual time that borrows the clocks and nothing else."""
    timers = Timers()
    with borrowed_clocks(Scheduler(timers)):
        yield timers


OURS = [getattr(clocks, name) for name in REAL if hasattr(clocks, name)]


def names_here() -> dict[str, object]:
    """The clocks as this module imported them."""
    return {
        "monotonic": m,
        "monotonic_ns": monotonic_ns,
        "perf_counter": perf_counter,
        "perf_counter_ns": perf_counter_ns,
        "sleep": sleep,
        "time": wall,
        "time_ns": time_ns,
    }


def test_a_run_starts_at_its_epoch() -> None:
    """At the start the monotonic clocks read 0 and the calendar reads the first instant of 2026."""
    with virtual_clocks():
        assert (time.monotonic(), time.monotonic_ns()) == (0.0, 0)
        assert (time.perf_counter(), time.perf_counter_ns()) == (0.0, 0)
        assert (time.time(), time.time_ns()) == (float(EPOCH_SECONDS), EPOCH_NS)
        assert dt.now(UTC).isoformat() == "2026-01-01T00:00:00+00:00"


def test_every_clock_moves_with_a_sleep() -> None:
    """A sleep moves all of them by what was asked, and takes no real time."""
    started = real_now()
    with virtual_clocks():
        time.sleep(86_400.25)
        assert time.monotonic() == time.perf_counter() == 86_400.25
        assert time.monotonic_ns() == time.perf_counter_ns() == 86_400_250_000_000
        assert time.time() == EPOCH_SECONDS + 86_400.25
        assert time.time_ns() == EPOCH_NS + 86_400_250_000_000
        assert dt.now(UTC).isoformat() == "2026-01-02T00:00:00.250000+00:00"
    assert real_now() - started < 60 * SECOND


def test_names_imported_before_are_the_run_s() -> None:
    """`from time import sleep`, `monotonic as m` and `time` as imported by this module follow."""
    with virtual_clocks():
        sleep(5)
        assert (m(), monotonic_ns(), perf_counter(), perf_counter_ns()) == (5.0, 5 * SECOND, 5.0, 5 * SECOND)
        assert (wall(), time_ns()) == (EPOCH_SECONDS + 5.0, EPOCH_NS + 5 * SECOND)
    assert names_here() == REAL


def test_datetime_under_every_name() -> None:
    """The module's class, an imported class and `date` follow as well."""
    with virtual_clocks() as timers:
        timers.advance(36 * 3600 * SECOND)
        assert datetime.datetime.now(UTC) == dt(2026, 1, 2, 12, tzinfo=UTC)
        assert dt.now(UTC) == dt(2026, 1, 2, 12, tzinfo=UTC)
        assert dt.now().astimezone(UTC) == dt(2026, 1, 2, 12, tzinfo=UTC)
        assert date.today() == dt.now().date() == dt.today().date()
        assert time.gmtime()[:5] == (2026, 1, 2, 12, 0)
        assert time.strftime("%Y-%m-%d", time.gmtime()) == "2026-01-02"


@pytest.mark.filterwarnings("ignore:.*utc.*:DeprecationWarning")
def test_the_deprecated_constructors_too() -> None:
    """`utcnow` reads the run's calendar."""
    with virtual_clocks():
        assert dt.utcnow() == dt(2026, 1, 1)


def test_a_sleep_is_never_short() -> None:
    """A positive sleep takes a nanosecond at least; one of 0 takes nothing."""
    with virtual_clocks() as timers:
        time.sleep(0)
        assert timers.now() == 0
        time.sleep(1e-12)
        assert timers.now() == 1
        time.sleep(0.1)
        time.sleep(0.2)
        assert time.monotonic() >= 0.1 + 0.2


@pytest.mark.parametrize("length", [-1, -0.5])
def test_a_negative_sleep_is_an_error(length: float) -> None:
    """It raises what the real one raises, in virtual time and out of it."""
    with virtual_clocks(), pytest.raises(ValueError, match="sleep length must be non-negative"):
        time.sleep(length)
    with pytest.raises(ValueError, match="sleep length must be non-negative"):
        time.sleep(length)


@pytest.mark.parametrize("length", ["1", None])
def test_a_sleep_of_no_number_is_an_error(length: object) -> None:
    """As ever."""
    with virtual_clocks(), pytest.raises(TypeError):
        time.sleep(length)  # type: ignore[arg-type]


def test_cpu_time_stays_real() -> None:
    """What measures the work of the processor is left alone."""
    before = time.process_time, time.process_time_ns, time.thread_time
    with virtual_clocks():
        assert (time.process_time, time.process_time_ns, time.thread_time) == before
        time.sleep(3600)
        assert time.process_time() < 3600


def test_real_now_stays_real() -> None:
    """wavetank's own reading of the machine's clock does not follow."""
    before = real_now()
    with virtual_clocks():
        time.sleep(1)
        assert real_now() >= before > 0


def test_another_thread_keeps_real_time() -> None:
    """Threads that the run did not start read the machine's clocks."""
    seen: list[float] = []
    go = threading.Event()

    def foreign() -> None:
        go.wait()
        seen.extend((time.monotonic(), time.perf_counter(), time.time(), dt.now(UTC).timestamp()))

    thread = threading.Thread(target=foreign)
    thread.start()
    before = time.monotonic(), time.perf_counter(), time.time(), time.time()
    with virtual_clocks():
        go.set()
        thread.join()
    after = time.monotonic(), time.perf_counter(), time.time(), time.time()
    assert all(b <= s <= a for b, s, a in zip(before, seen, after, strict=True))


# -- giving back ------------------------------------------------------------------------------------


def assert_real() -> None:
    assert {name: getattr(time, name) for name in REAL} == REAL
    assert names_here() == REAL
    assert abs(time.time_ns() - EPOCH_NS) > 3600 * SECOND
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and not module.__name__.startswith("wavetank"):
            held = [value for value in vars(module).values() if type(value) is types.FunctionType]
            assert not [value for value in held if value in OURS], module


def test_everything_is_given_back() -> None:
    """After the block each name in each module is the machine's clock again."""
    with virtual_clocks():
        time.sleep(1)
    assert_real()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_given_back_after_an_error(kind: type[BaseException]) -> None:
    """Also when the block raises."""
    with suppress(kind), virtual_clocks():
        raise kind
    assert_real()


def test_blocks_nest() -> None:
    """An inner run has its own time, the outer goes on where it was, and after both all is real."""
    with virtual_clocks():
        time.sleep(10)
        with virtual_clocks():
            assert m() == 0.0
            sleep(3)
            assert (m(), time.time()) == (3.0, EPOCH_SECONDS + 3.0)
        assert (m(), time.time()) == (10.0, EPOCH_SECONDS + 10.0)
        with suppress(ZeroDivisionError), virtual_clocks():
            _ = 1 // 0
        sleep(1)
        assert m() == 11.0
    assert_real()


def test_the_phases_of_one_run_share_its_time() -> None:
    """A run that borrows the clocks again goes on, and between the blocks time is real."""
    scheduler = Scheduler(Timers())
    with borrowed_clocks(scheduler):
        time.sleep(5)
        with borrowed_clocks(scheduler):
            time.sleep(1)
        assert time.monotonic() == 6.0
    assert_real()
    with borrowed_clocks(scheduler):
        assert time.monotonic() == 6.0
    assert_real()


MODULE = """
from time import monotonic, sleep as nap, time as wall
import time

def naps(seconds):
    nap(seconds)
    return monotonic(), wall()
"""


@pytest.fixture
def late_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the program that has not been imported yet."""
    name = "module_of_the_program"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_module_imported_during_the_run(late_module: str) -> None:
    """It has virtual clocks while the run lasts, real ones after it, and virtual ones in the next run."""
    with virtual_clocks():
        module = importlib.import_module(late_module)
        assert module.naps(7) == (7.0, EPOCH_SECONDS + 7.0)
    assert (module.monotonic, module.nap, module.wall) == (time.monotonic, time.sleep, time.time)
    assert_real()
    with virtual_clocks():
        assert module.naps(2) == (2.0, EPOCH_SECONDS + 2.0)
    assert module.nap is REAL["sleep"]


def test_a_module_that_grows_between_runs(late_module: str) -> None:
    """A clock that a module binds later is found in the next run."""
    module = importlib.import_module(late_module)
    with virtual_clocks():
        module.naps(1)
    vars(module)["another"] = time.perf_counter
    with virtual_clocks():
        module.naps(4)
        assert module.another() == 4.0
    assert module.another is REAL["perf_counter"]


def test_what_the_test_replaces_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own stand-in for a clock holds inside a run, and taking it away leaves nothing behind."""
    slept: list[float] = []
    with virtual_clocks(), monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        time.sleep(9)
        assert time.monotonic() == 0.0
    assert slept == [9]
    assert_real()


def test_the_test_runner_keeps_working() -> None:
    """pytest's own clocks follow the run on its thread and are the machine's after it."""
    with virtual_clocks():
        sleep(3)
        assert _pytest.timing.perf_counter() == 3.0
        assert _pytest.timing.time() == EPOCH_SECONDS + 3.0
    assert _pytest.timing.perf_counter is REAL["perf_counter"]
    assert _pytest.timing.sleep is REAL["sleep"]


def test_pytest_reports_a_test_in_virtual_time(pytester: pytest.Pytester) -> None:
    """A whole session inside a block runs, reports and ends."""
    pytester.makepyfile("import time\ndef test_it():\n    time.sleep(5)\n    assert time.monotonic() == 5\n")
    calls: list[Callable[[], object]] = []
    with virtual_clocks():
        result = pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "-p", "no:wavetank", "-p", "no:asyncio"
        )
        calls.append(lambda: result.assert_outcomes(passed=1))
    calls[0]()
    assert_real()
