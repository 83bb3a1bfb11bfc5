"""Bugs that only a passed deadline or an interruption shows, each with its correct twin.

A program is made by a function of `correct`; what it keeps for a second session it clears when it begins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import anyio

from wavetank import Tank

ROWS: Final = [f"row-{number}" for number in range(4)]

Main = Callable[[Tank], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A program, what shows its bug, and what runs after an interruption."""

    make: Callable[[bool], tuple[Main, Main | None]]
    check: str
    """The check that fails, or the kind of the failure."""

    def options(self, correct: bool, *, interrupt: bool = False) -> tuple[Main, dict[str, Any]]:
        """`main`, and the options of a search."""
        main, again = self.make(correct)
        options: dict[str, Any] = {"checks": "+permits_returned"}
        if interrupt:
            options |= {"interrupt": True, "after_interrupt": again}
        return main, options


def first_session(kept: dict[str, Any], again: Main) -> Main:
    """A session that has kept nothing yet: it submits all rows, and goes on as the next one does."""

    async def main(tank: Tank) -> None:
        kept.clear()
        for row in ROWS:
            tank.ledger.submit(row)
        await again(tank)

    return main


async def all_rows(tank: Tank, work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    for row in ROWS:
        tank.ledger.submit(row)
    async with anyio.create_task_group() as group:
        for row in ROWS:
            group.start_soon(work, row)


async def ask(tank: Tank, row: str) -> str:
    return (await tank.fake_llm.call(f"Do {row}.", item=row)).text


# -- deadlines -----------------------------------------------------------------------------------


def slot_lost(correct: bool) -> tuple[Main, None]:
    """A slot is taken inside the deadline, and given back only if the call comes to its end."""

    async def main(tank: Tank) -> None:
        used = [0]
        tank.watch("used", lambda: used[0])

        async def work(row: str) -> None:
            for _ in range(3):
                try:
                    with anyio.fail_after(30):
                        used[0] += 1
                        try:
                            text = await ask(tank, row)
                            await anyio.sleep(0.1)
                        finally:
                            used[0] -= correct
                        used[0] -= not correct
                except TimeoutError:
                    continue
                tank.ledger.complete(row, text)
                return
            tank.ledger.fail(row)

        await all_rows(tank, work)

    return main, None


def half_moved(correct: bool) -> tuple[Main, None]:
    """Something is moved in two halves, with an await of the deadline between them."""

    async def main(tank: Tank) -> None:
        todo, done = [len(ROWS)], [0]

        async def work(row: str) -> None:
            for _ in range(3):
                with anyio.move_on_after(60):
                    text = await ask(tank, row)
                    with anyio.CancelScope(shield=correct):
                        todo[0] -= 1
                        await anyio.sleep(0.1)
                        done[0] += 1
                    tank.ledger.complete(row, text)
                    return
            tank.ledger.fail(row)
            todo[0] -= 1
            done[0] += 1

        await all_rows(tank, work)
        assert todo[0] + done[0] == len(ROWS)

    return main, None


def pays_twice(correct: bool) -> tuple[Main, None]:
    """The deadline of the request is over the store, too, and a row may be paid once only."""

    async def main(tank: Tank) -> None:
        tank.expect(paid_per_item=1)

        async def work(row: str) -> None:
            for _ in range(3):
                try:
                    with anyio.fail_after(30):
                        text = await ask(tank, row)
                        with anyio.CancelScope(shield=correct):
                            await anyio.sleep(0.2)
                except TimeoutError:
                    if not correct:
                        continue
                tank.ledger.complete(row, text)
                return
            tank.ledger.fail(row)

        await all_rows(tank, work)

    return main, None


def row_dropped(correct: bool) -> tuple[Main, None]:
    """A worker leaves when nothing comes for a while; the deadline is over the work as well."""

    async def main(tank: Tank) -> None:
        send, receive = anyio.create_memory_object_stream[str](len(ROWS))
        for row in ROWS:
            tank.ledger.submit(row)
            send.send_nowait(row)

        async def worker() -> None:
            while True:
                row = None
                with anyio.move_on_after(20):
                    row = await receive.receive()
                    if not correct:
                        tank.ledger.complete(row, await ask(tank, row))
                if row is None:
                    if receive.statistics().current_buffer_used:
                        continue  # it was late, not the row
                    return
                if correct:
                    tank.ledger.complete(row, await ask(tank, row))

        async with send, receive, anyio.create_task_group() as group:
            group.start_soon(worker)
            group.start_soon(worker)

    return main, None


def followers_wait(correct: bool) -> tuple[Main, None]:
    """One row asks for all; when its deadline passes, the others wait for ever."""

    async def main(tank: Tank) -> None:
        first, answered = list[str](), anyio.Event()

        async def work(row: str) -> None:
            if not first:
                first.append(row)
                try:
                    with anyio.move_on_after(30):
                        await ask(tank, row)
                        await anyio.sleep(0.1)
                        if not correct:
                            answered.set()
                finally:
                    if correct:
                        answered.set()
            await answered.wait()

        async with anyio.create_task_group() as group:
            for row in ROWS:
                group.start_soon(work, row)

    return main, None


def reported_twice(correct: bool) -> tuple[Main, None]:
    """A row is reported as completed inside the deadline, and as failed when that passes afterwards."""

    async def main(tank: Tank) -> None:
        async def work(row: str) -> None:
            reported = False
            try:
                with anyio.fail_after(30):
                    tank.ledger.complete(row, await ask(tank, row))
                    reported = True
                    await anyio.sleep(0.1)
            except TimeoutError:
                if not (correct and reported):
                    tank.ledger.fail(row)

        await all_rows(tank, work)

    return main, None


DEADLINES: Final = {
    "slot_lost": Bug(make=slot_lost, check="permits_returned"),
    "half_moved": Bug(make=half_moved, check="error"),
    "pays_twice": Bug(make=pays_twice, check="exactly_once"),
    "row_dropped": Bug(make=row_dropped, check="exactly_once"),
    "followers_wait": Bug(make=followers_wait, check="liveness"),
    "reported_twice": Bug(make=reported_twice, check="exactly_once"),
}


# -- interruptions -------------------------------------------------------------------------------


def pool_leaks(correct: bool) -> tuple[Main, None]:
    """A connection is given back only if the query comes to its end."""

    async def main(tank: Tank) -> None:
        used = [0]
        tank.watch("used", lambda: used[0])

        async def query() -> None:
            used[0] += 1
            try:
                await anyio.sleep(0.01)
            finally:
                used[0] -= correct
            used[0] -= not correct

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(query)

    return main, None


def forgets_what_was_under_way(correct: bool) -> tuple[Main, Main]:
    """A row is taken off the list before it is answered; the next session goes on with the list."""
    todo: list[str] = []

    async def main(tank: Tank) -> None:
        todo[:] = ROWS
        for row in ROWS:
            tank.ledger.submit(row)
        await again(tank)

    async def again(tank: Tank) -> None:
        while todo:
            row = todo[0] if correct else todo.pop(0)
            tank.ledger.complete(row, await ask(tank, row))
            if correct:
                del todo[0]

    return main, again


def reports_before_it_keeps(correct: bool) -> tuple[Main, Main]:
    """A row is reported, and only then kept, with an await between: the next session asks again."""
    kept: dict[str, str] = {}

    async def again(tank: Tank) -> None:
        async def work(row: str) -> None:
            text = await ask(tank, row)
            if correct:
                await anyio.sleep(0.1)
                kept[row] = text
                tank.ledger.complete(row, text)
            else:
                tank.ledger.complete(row, text)
                await anyio.sleep(0.1)
                kept[row] = text

        async with anyio.create_task_group() as group:
            for row in ROWS:
                if row not in kept:
                    group.start_soon(work, row)

    return first_session(kept, again), again


def waits_for_a_cancelled_task(correct: bool) -> tuple[Main, None]:
    """The clean-up waits for a task that was cancelled before it could say that it is over."""

    async def main(tank: Tank) -> None:
        over = anyio.Event()

        async def work() -> None:
            try:
                await ask(tank, "row")
            finally:
                if correct:
                    over.set()
            over.set()

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            try:
                await anyio.sleep(5)
            finally:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await over.wait()

    return main, None


def calls_off_all(correct: bool) -> tuple[Main, None]:
    """When it is interrupted it reports all rows as cancelled, also those that were completed."""

    async def main(tank: Tank) -> None:
        open_rows = dict.fromkeys(ROWS)
        for row in ROWS:
            tank.ledger.submit(row)
        try:
            for row in ROWS:
                tank.ledger.complete(row, await ask(tank, row))
                del open_rows[row]
        except BaseException:
            for row in open_rows if correct else ROWS:
                tank.ledger.cancel(row)
            raise

    return main, None


def keeps_half(correct: bool) -> tuple[Main, Main]:
    """It keeps that a row is done before it keeps its text: the next session reports no text."""
    done: dict[str, str | None] = {}

    async def again(tank: Tank) -> None:
        for row in ROWS:
            if row not in done:
                if not correct:
                    done[row] = None
                text = await ask(tank, row)
                done[row] = text
                tank.ledger.complete(row, text)
        assert None not in done.values()

    return first_session(done, again), again


def keeps_all_at_the_end(correct: bool) -> tuple[Main, Main]:
    """The answers are kept when the worker has all of them; the rows are reported after that, too.

    The twin hands each answer to a task that takes a while to store it.
    """
    kept: dict[str, str] = {}

    async def again(tank: Tank) -> None:
        todo = [row for row in ROWS if row not in kept]
        send, receive = anyio.create_memory_object_stream[tuple[str, str]](len(ROWS))

        async def worker() -> None:
            answers: dict[str, str] = {}
            while todo:
                row = todo.pop(0)
                answers[row] = await ask(tank, row)
                if correct:
                    send.send_nowait((row, answers[row]))
            if not correct:
                kept.update(answers)

        async def store() -> None:
            async for row, text in receive:
                await anyio.sleep(0.02)
                kept[row] = text

        async with receive, anyio.create_task_group() as storing:
            storing.start_soon(store)
            async with send, anyio.create_task_group() as group:
                group.start_soon(worker)
        for row in ROWS:
            tank.ledger.complete(row, kept[row])

    return first_session(kept, again), again


INTERRUPTIONS: Final = {
    "pool_leaks": Bug(make=pool_leaks, check="permits_returned"),
    "forgets_what_was_under_way": Bug(make=forgets_what_was_under_way, check="exactly_once"),
    "reports_before_it_keeps": Bug(make=reports_before_it_keeps, check="exactly_once"),
    "waits_for_a_cancelled_task": Bug(make=waits_for_a_cancelled_task, check="liveness"),
    "calls_off_all": Bug(make=calls_off_all, check="exactly_once"),
    "keeps_half": Bug(make=keeps_half, check="error"),
    "keeps_all_at_the_end": Bug(make=keeps_all_at_the_end, check="exactly_once"),
}
