"""Locks, what is built on them, and executors, between threads that take turns in virtual time."""

from __future__ import annotations

import concurrent.futures as cf
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavetank.patches import threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

from ..depth import n_of

T = TypeVar("T")


def run(program: Callable[[], T], *, attentive: bool = False) -> T:
    """Run a sync program in virtual time."""
    scheduler = Scheduler(Timers())
    scheduler.renew(scheduler.timers, attentive=attentive)
    with virtual_process(scheduler):
        try:
            return program()
        finally:
            scheduler.close()


def start(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def now() -> float:
    return time.monotonic()


# -- locks and what is built on them --------------------------------------------------------------


def test_a_lock_goes_round_in_order() -> None:
    """Threads get a lock in the order in which they began to wait."""

    def program() -> list[tuple[int, float]]:
        lock, out = threading.Lock(), list[tuple[int, float]]()

        def work(number: int) -> None:
            with lock:
                time.sleep(1)
                out.append((number, now()))

        join(start(*(lambda number=number: work(number) for number in range(4))))
        return out

    assert run(program) == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]


def test_waiting_for_a_lock_with_a_timeout() -> None:
    """A wait ends at its instant with False, or earlier with the lock."""

    def program() -> list[tuple[bool, float]]:
        lock, out = threading.Lock(), list[tuple[bool, float]]()

        def holder() -> None:
            with lock:
                time.sleep(10)

        threads = start(holder)
        time.sleep(1)
        out.append((lock.acquire(timeout=3), now()))
        out.append((lock.acquire(timeout=0), now()))
        out.append((lock.acquire(blocking=False), now()))
        out.append((lock.acquire(timeout=100), now()))
        lock.release()
        join(threads)
        return out

    assert run(program) == [(False, 4.0), (False, 4.0), (False, 4.0), (True, 10.0)]


def test_a_release_at_the_instant_of_the_timeout() -> None:
    """When a lock is released at the very instant a wait for it ends, no waiter is lost or woken twice."""

    def program() -> list[tuple[str, bool, float]]:
        lock, out = threading.Lock(), list[tuple[str, bool, float]]()

        def waits(name: str, timeout: float) -> None:
            got = lock.acquire(timeout=timeout)
            out.append((name, got, now()))
            time.sleep(7)
            out.append((name, got, now()))
            if got:
                lock.release()

        lock.acquire()
        threads = start(lambda: waits("a", 5), lambda: waits("b", 50))
        time.sleep(5)
        lock.release()
        join(threads)
        return out

    out = run(program)
    assert [entry for entry in out if entry[0] == "a"] in (
        [("a", True, 5.0), ("a", True, 12.0)],
        [("a", False, 5.0), ("a", False, 12.0)],
    )
    other = [entry for entry in out if entry[0] == "b"]
    start_of_b = 12.0 if ("a", True, 5.0) in out else 5.0
    assert other == [("b", True, start_of_b), ("b", True, start_of_b + 7)]


Step = tuple[int, int, int]
PLANS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), max_size=4),
    min_size=1,
    max_size=5,
)


@settings(max_examples=n_of(25, 2000))
@given(PLANS)
def test_a_lock_is_held_by_one_at_a_time(plans: list[list[Step]]) -> None:
    """However waits, time-outs and releases fall together, one thread holds the lock and all end."""

    def program() -> tuple[list[tuple[int, int, bool, float]], int]:
        lock, inside = threading.Lock(), list[int]()
        seen: list[tuple[int, int, bool, float]] = []
        most = [0]

        def work(number: int, plan: list[Step]) -> None:
            for before, timeout, held in plan:
                time.sleep(before)
                asked = now()
                got = lock.acquire(timeout=timeout) if timeout else lock.acquire()
                seen.append((number, timeout, got, now() - asked))
                if got:
                    inside.append(number)
                    most[0] = max(most[0], len(inside))
                    time.sleep(held)
                    inside.remove(number)
                    lock.release()

        join(start(*(lambda n=n, plan=plan: work(n, plan) for n, plan in enumerate(plans))))
        assert not lock.locked()
        return seen, most[0]

    seen, most = run(program)
    assert most <= 1
    assert len(seen) == sum(map(len, plans))
    for _, timeout, got, waited in seen:
        assert got or waited == timeout
        assert not timeout or waited <= timeout
    assert run(program) == (seen, most)


def test_misuse_of_locks_fails_as_usual() -> None:
    """Errors of locks and conditions of the run read like those of real ones."""

    def errors() -> list[str]:
        lock, rlock, condition = threading.Lock(), threading.RLock(), threading.Condition()
        held = threading.Lock()
        held.acquire()
        calls: list[Callable[[], object]] = [
            lock.release,
            rlock.release,
            condition.wait,
            condition.notify,
            condition.release,
            lambda: lock.acquire(False, 5),
            lambda: lock.acquire(True, -5),
            lambda: held.acquire(False, 5),
            lambda: rlock.acquire(False, 5),
            lambda: threading.Semaphore(-1),
            lambda: threading.BoundedSemaphore(1).release(),
        ]
        return [f"{type(error).__name__}: {error}" for error in map(error_of, calls)]

    def error_of(call: Callable[[], object]) -> Exception:
        with pytest.raises((RuntimeError, ValueError)) as caught:
            call()
        return caught.value

    real = errors()
    assert run(errors) == real


def test_rlock() -> None:
    """A re-entrant lock counts its owner's entries and is free when the last is left."""

    def program() -> list[tuple[str, float]]:
        lock, out = threading.RLock(), list[tuple[str, float]]()

        def other() -> None:
            with lock:
                out.append(("other", now()))

        with lock:
            threads = start(other)
            with lock:
                time.sleep(1)
            assert lock.acquire(blocking=False)
            lock.release()
            time.sleep(1)
            out.append(("main", now()))
        join(threads)
        return out

    assert run(program) == [("main", 2.0), ("other", 2.0)]


def test_only_the_owner_releases_an_rlock() -> None:
    """Another thread cannot release it."""

    def program() -> list[str]:
        lock, out = threading.RLock(), list[str]()

        def other() -> None:
            try:
                lock.release()
            except RuntimeError as error:
                out.append(str(error))

        with lock:
            join(start(other))
        return out

    assert run(program) == ["cannot release un-acquired lock"]


def test_condition() -> None:
    """Waiters of a condition wake in order when notified, or at their time-out."""

    def program() -> list[tuple[int, bool, float]]:
        condition, out = threading.Condition(), list[tuple[int, bool, float]]()

        def wait(number: int, timeout: float | None) -> None:
            with condition:
                out.append((number, condition.wait(timeout), now()))

        threads = start(
            lambda: wait(0, None), lambda: wait(1, 2), lambda: wait(2, None), lambda: wait(3, None)
        )
        for _ in range(2):
            time.sleep(3)
            with condition:
                condition.notify() if now() == 3.0 else condition.notify_all()
        join(threads)
        return out

    assert run(program) == [(1, False, 2.0), (0, True, 3.0), (2, True, 6.0), (3, True, 6.0)]


def test_condition_on_an_rlock_that_is_held_twice() -> None:
    """Waiting gives the lock up wholly and takes it back as deep as it was."""

    def program() -> float:
        condition = threading.Condition(threading.RLock())

        def notify() -> None:
            time.sleep(4)
            with condition:
                condition.notify()

        threads = start(notify)
        with condition, condition:
            condition.wait()
            woken = now()
        join(threads)
        return woken

    assert run(program) == 4.0


def test_event() -> None:
    """An event releases all its waiters at once, and `wait` returns whether it was set."""

    def program() -> list[tuple[bool, float]]:
        event, out = threading.Event(), list[tuple[bool, float]]()
        threads = start(
            lambda: out.append((event.wait(), now())),
            lambda: out.append((event.wait(1), now())),
            lambda: out.append((event.wait(50), now())),
        )
        time.sleep(9)
        event.set()
        join(threads)
        out.append((event.wait(5), now()))
        return out

    assert run(program) == [(False, 1.0), (True, 9.0), (True, 9.0), (True, 9.0)]


def test_semaphore() -> None:
    """A semaphore lets as many in as it has permits."""

    def program() -> list[float]:
        permits, out = threading.Semaphore(3), list[float]()

        def work() -> None:
            with permits:
                time.sleep(2)
                out.append(now())

        join(start(*[work] * 7))
        assert not threading.Semaphore(0).acquire(timeout=1)
        return [*out, now()]

    assert run(program) == [2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 6.0, 7.0]


def test_barrier() -> None:
    """A barrier opens when it is full and breaks at its time-out."""

    def program() -> list[object]:
        barrier, out = threading.Barrier(3), list[object]()

        def work(delay: float) -> None:
            time.sleep(delay)
            barrier.wait()
            out.append(now())

        join(start(lambda: work(1), lambda: work(5), lambda: work(3)))
        with suppress(threading.BrokenBarrierError):
            out.append(barrier.wait(2))
        return [*out, barrier.broken, now()]

    assert run(program) == [5.0, 5.0, 5.0, True, 7.0]


@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_a_bounded_queue(kind: type[queue.Queue[int]]) -> None:
    """A full queue holds its producer back until something is taken out."""

    def program() -> tuple[list[float], list[float]]:
        items, put, got = kind(2), list[float](), list[float]()

        def produce() -> None:
            for number in range(5):
                items.put(number)
                put.append(now())

        threads = start(produce)
        for _ in range(5):
            time.sleep(1)
            items.get()
            items.task_done()
            got.append(now())
        items.join()
        join(threads)
        return put, got

    assert run(program) == ([0.0, 0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0])


def test_queue_timeouts() -> None:
    """A get from an empty queue and a put into a full one end at their instants."""

    def program() -> list[float]:
        items: queue.Queue[int] = queue.Queue(1)
        out: list[float] = []
        with pytest.raises(queue.Empty):
            items.get(timeout=2.5)
        out.append(now())
        items.put(1)
        with pytest.raises(queue.Full):
            items.put(2, timeout=4)
        out.append(now())
        with pytest.raises(queue.Empty):
            queue.SimpleQueue[int]().get(timeout=1)
        return [*out, now()]

    assert run(program) == [2.5, 6.5, 7.5]


def test_locks_of_a_run_work_after_it() -> None:
    """What the run made goes on as a real lock, also between real threads."""

    def program() -> tuple[threading.Lock, Any, threading.Event, queue.Queue[int]]:
        return threading.Lock(), threading.RLock(), threading.Event(), queue.Queue(1)

    lock, rlock, event, items = run(program)
    out: list[str] = []

    def work() -> None:
        event.wait()
        with lock, rlock:
            out.append("in")
        items.put(1)

    lock.acquire()
    thread = threading.Thread(target=work)
    thread.start()
    event.set()
    lock.release()
    assert items.get() == 1
    thread.join()
    assert out == ["in"]
    assert repr(lock) == "<BatonLock unlocked>"
    assert repr(rlock) == "<BatonRLock count=0>"


def test_locks_of_one_run_work_in_the_next() -> None:
    """A lock that a module made in one run blocks and wakes in another."""
    lock = run(lambda: threading.Lock())

    def program() -> float:
        def holder() -> None:
            with lock:
                time.sleep(3)

        threads = start(holder)
        time.sleep(1)
        with lock:
            woken = now()
        join(threads)
        return woken

    assert run(program) == 3.0
    assert run(program) == 3.0


def struck_at(number: int, call: Callable[[], object]) -> bool:
    """Call `call` and raise KeyboardInterrupt at this place of our locks; False if it has fewer places.

    CPython looks for signals where a function begins and when one that is written in C has returned.
    """
    left = [number]

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event not in ("call", "c_return") or frame.f_code.co_filename != threads.__file__:
            return
        left[0] -= 1
        if left[0] < 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_no_thread_waits_for_itself_after_the_run(name: str) -> None:
    """A lock that Ctrl-C has left held in a run is had by its own thread, and by that alone."""
    lock = run(lambda: getattr(threading, name)())
    run(lock.acquire)
    got: list[bool] = []
    join(start(lambda: got.append(lock.acquire(timeout=0.001))))
    assert got == [False]
    with lock:
        assert lock.locked()
    if name == "Lock":
        assert not lock.locked()
        lock.acquire()  # outside of runs it is a real lock: it may wait for another thread
        other = threading.Timer(0.001, lock.release)
        other.start()
        with lock:
            other.join()


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_ctrl_c_leaves_no_lock_without_an_owner(name: str, held: bool) -> None:
    """Wherever it strikes while a lock is acquired, others get it; while it is released, it is so or not."""

    def program(number: int, released: bool) -> bool:
        lock, got = getattr(threading, name)(), list[bool]()

        def hold() -> None:
            with lock:
                time.sleep(1)

        def take() -> None:
            got.append(lock.acquire(timeout=5))
            lock.release()

        others = start(hold) if held else []
        time.sleep(held and 0.5)
        if released:
            lock.acquire()
        struck = struck_at(number, lock.release if released else lock.acquire)
        if (released and lock.locked() and getattr(lock, "_is_owned", lambda: True)()) or (
            not released and not struck
        ):
            lock.release()
        join([*others, *start(take)])
        assert got == [True]
        assert not lock.locked()
        return struck

    for released in (False, True):
        places = 0
        while run(lambda: program(places, released), attentive=True):  # noqa: B023
            places += 1
        assert places > 3


def spins_on_a_lock(lock: threading.Lock, _: threading.Thread) -> None:
    while not lock.acquire(blocking=False):
        pass


def spins_on_a_timeout_of_zero(lock: threading.Lock, _: threading.Thread) -> None:
    while not lock.acquire(timeout=0):
        pass


def spins_on_is_alive(_: threading.Lock, thread: threading.Thread) -> None:
    while thread.is_alive():
        pass


def spins_on_join(lock: threading.Lock, thread: threading.Thread) -> None:
    while lock.locked():
        thread.join(0)


def spins_on_sleep(lock: threading.Lock, _: threading.Thread) -> None:
    while lock.locked():
        time.sleep(0)


@pytest.mark.parametrize(
    "spin",
    [spins_on_a_lock, spins_on_a_timeout_of_zero, spins_on_is_alive, spins_on_join, spins_on_sleep],
)
def test_a_thread_that_only_ever_asks(
    spin: Callable[[threading.Lock, threading.Thread], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that polls without waiting does not stop time: after many rounds a nanosecond passes."""
    monkeypatch.setattr("wavetank.sim.scheduler.QUESTIONS_AT_ONE_INSTANT", 20)

    def program() -> float:
        lock = threading.Lock()

        def holder() -> None:
            with lock:
                time.sleep(50e-9)

        (thread,) = start(holder)
        time.sleep(0)
        spin(lock, thread)
        return now()

    assert 50e-9 <= run(program) <= 51e-9


# -- executors ---------------------------------------------------------------------------------------


def test_a_pool_overlaps_and_keeps_order() -> None:
    """Ten jobs on eight threads end when they should, and come back in order."""

    def program() -> list[float]:
        def work(number: int) -> float:
            time.sleep(10 + number)
            return now()

        with cf.ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, range(10)))

    assert run(program) == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 28.0, 30.0]


def test_results_errors_and_timeouts_of_futures() -> None:
    """A future gives its result, its error, or a time-out at the right instant."""

    def program() -> list[object]:
        def work(delay: float) -> float:
            time.sleep(delay)
            if delay == 2:
                raise KeyError(delay)
            return delay

        out: list[object] = []
        with cf.ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work, delay) for delay in (2, 4, 8)]
            out += [repr(futures[0].exception()), now(), futures[1].result(), now()]
            with pytest.raises(cf.TimeoutError):
                futures[2].result(timeout=1)
            out.append(now())
        return [*out, now()]

    assert run(program) == ["KeyError(2)", 2.0, 4, 4.0, 5.0, 8.0]


def test_wait_and_as_completed() -> None:
    """Waiting for some futures, for all, or for each as it ends takes as long as it should."""

    def program() -> list[object]:
        out: list[object] = []
        with cf.ThreadPoolExecutor(8) as pool:

            def after(delay: float) -> float:
                time.sleep(delay)
                return delay

            futures = [pool.submit(after, delay) for delay in (5, 3, 9, 1)]
            done, left = cf.wait(futures, return_when=cf.FIRST_COMPLETED)
            out.append(([future.result() for future in done], len(left), now()))
            done, left = cf.wait(futures, timeout=3)
            out.append((sorted(future.result() for future in done), len(left), now()))
            with pytest.raises(cf.TimeoutError):
                list(cf.as_completed(futures, timeout=1.5))
            out.append(now())
            out.append([(future.result(), now()) for future in cf.as_completed(left)])
        return out

    out = run(program)
    assert out == [([1], 3, 1.0), ([1, 3], 2, 4.0), 5.500000001, [(5, 5.500000001), (9, 9.0)]]


def test_finished_futures_come_in_a_fixed_order() -> None:
    """Futures that have all ended come out of sets in the same order in every run."""

    def program() -> tuple[list[int], list[int]]:
        with cf.ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(int, number) for number in range(30)]
            time.sleep(1)
            completed = [future.result() for future in cf.as_completed(futures)]
            return completed, [future.result() for future in cf.wait(futures).done]

    first = run(program)
    assert all(run(program) == first for _ in range(10))


def test_nested_pools() -> None:
    """A job that runs a pool of its own waits for it in virtual time."""

    def program() -> list[float]:
        def inner(delay: float) -> float:
            time.sleep(delay)
            return now()

        def outer(delay: float) -> float:
            with cf.ThreadPoolExecutor(2) as pool:
                return max(pool.map(inner, [delay, delay + 1, delay + 2]))

        with cf.ThreadPoolExecutor(2) as pool:
            return list(pool.map(outer, [1, 10]))

    assert run(program) == [4.0, 22.0]


# -- the kinds themselves --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_our_locks_have_the_whole_interface_of_the_real_ones(name: str) -> None:
    """With its private part: modules first imported in a run keep our kind for good."""
    make = getattr(threading, name)
    real, ours = make(), run(lambda: getattr(threading, name)())
    assert type(ours) is not type(real)
    assert set(dir(real)) - set(dir(object)) <= set(dir(ours))


def test_our_queue_has_the_whole_interface_of_the_real_one() -> None:
    """So has the simple queue."""
    real, ours = queue.SimpleQueue[int](), run(lambda: queue.SimpleQueue[int]())
    assert type(ours) is not type(real)
    assert set(dir(real)) <= set(dir(ours))


def test_our_re_entrant_lock_answers_like_the_real_one() -> None:
    """Also what `multiprocessing` and `threading.Condition` ask of it."""

    def answers(lock: Any) -> list[object]:
        out: list[object] = [lock._is_owned(), count(lock)]
        with lock, lock:
            out += [lock._is_owned(), count(lock)]
            saved = lock._release_save()
            out += [lock._is_owned(), count(lock)]
            lock._acquire_restore(saved)
            out += [lock._is_owned(), count(lock)]
        with suppress(RuntimeError):
            lock._release_save()
            out.append("released twice")
        return out

    def count(lock: Any) -> int:
        return int(lock._recursion_count()) if hasattr(real, "_recursion_count") else 0

    real = threading.RLock()
    assert run(lambda: answers(threading.RLock())) == answers(real)


def test_instances_are_shown_as_usual() -> None:
    """Where `threading.Lock` is a class, what it makes is an instance of it, in a run and after it."""
    lock = run(lambda: threading.Lock())
    if isinstance(threading.Lock, type):
        real = threading.Lock()
        assert run(lambda: (isinstance(threading.Lock(), threading.Lock), isinstance(real, threading.Lock)))
    assert not run(lambda: isinstance(lock, queue.SimpleQueue))


def test_processes_start_when_their_modules_were_first_imported_in_a_run() -> None:
    """In a process of its own: `multiprocessing` keeps a lock of the run, and works all the same."""
    program = """
import multiprocessing, wavetank
def child(): pass
async def main(tank):
    import multiprocessing.resource_tracker
if __name__ == "__main__":
    wavetank.simulate(main)
    assert "Baton" in repr(multiprocessing.resource_tracker._resource_tracker._lock)
    for method in ("spawn", "fork"):
        process = multiprocessing.get_context(method).Process(target=child)
        process.start()
        process.join(600)
        assert process.exitcode == 0
"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "program.py")
        file.write_text(program)
        subprocess.run([sys.executable, str(file)], check=True, timeout=600)
