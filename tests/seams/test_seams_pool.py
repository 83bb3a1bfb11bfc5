"""No client can tell whether its request went the short way through the pool of httpcore."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from wavetank import Tank, search, simulate
from wavetank.seams import httpcore_pool, installed

from ..depth import by_turns

URL = "https://api.openai.com/v1/chat/completions"


def ask(row: int) -> dict[str, Any]:
    return {"model": "m", "stream": row % 4 == 0, "messages": [{"role": "user", "content": f"row-{row}"}]}


def trail_of(library: Any, backend: Any, limits: dict[str, Any]) -> list[object]:
    """What a program can see of its pool after every step, its errors, and the events, of a few schedules."""
    trail: list[object] = []

    async def main(tank: Tank) -> None:
        timeout = library.Timeout(5, pool=1)
        async with library.AsyncClient(limits=library.Limits(**limits), timeout=timeout) as client:
            pool, rows = client._transport._pool, list(range(6))

            def seen() -> bool:
                trail.append((tank.now(), repr(pool), *map(repr, pool.connections)))
                return True

            tank.always(seen, name="seen")

            async def attempt(row: int, patience: float, number: int) -> bool:
                with anyio.move_on_after(patience):
                    async with client.stream("POST", URL, json=ask(row)) as answer:
                        if row % 5 or number != 1:
                            await answer.aread()
                        return bool(answer.status_code == 200)
                return False

            async def worker(which: int) -> None:
                while rows:
                    row = rows.pop()
                    for number in range(9):
                        try:
                            if await attempt(row, 9 if which % 3 else 0.7 * number, number):
                                break
                        except library.HTTPError as error:
                            trail.append(repr(error))
                        await anyio.sleep(1)

            async with anyio.create_task_group() as group:
                for which in range(3):
                    group.start_soon(worker, which)
        trail.append(tank.events.to_ndjson(waits=False))

    found = search(main, scenario="cascade", schedules=2, backend=backend, checks=())
    assert found.failure is None, found.failure
    return trail


@by_turns(
    limits=[{}, {"max_connections": 2}, {"max_keepalive_connections": 1, "keepalive_expiry": 2}],
    client=[(httpx2, "asyncio"), (httpx2, "trio"), (httpx, "asyncio")],
)
def test_pool_errors_and_events_are_the_same_either_way(
    limits: dict[str, Any], client: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, backend = client
    original, taken = httpcore_pool._idle_connections, []

    def watched(core: Any) -> Any:
        idle_of = original(core)

        def idle_connections(pool: Any) -> Any:
            taken.append(bool(idle_of(pool)))
            return idle_of(pool)

        return idle_connections

    monkeypatch.setattr(installed, "_made", {})
    monkeypatch.setattr(httpcore_pool, "_idle_connections", watched)
    short = trail_of(library, backend, limits)
    monkeypatch.setattr(installed, "_made", {})
    monkeypatch.setattr(httpcore_pool, "_idle_connections", lambda _: lambda _: None)
    assert short == trail_of(library, backend, limits)
    assert sum(taken) > 10


@pytest.mark.parametrize("library", [httpx2, httpx], ids=lambda library: library.__name__)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_connection_is_taken_while_the_body_is_still_being_made(library: Any, backend: Any) -> None:
    body = json.dumps(ask(1)).encode()

    async def slowly() -> AsyncIterator[bytes]:
        await anyio.sleep(1)
        yield body

    async def main(_: Tank) -> None:
        async with library.AsyncClient() as client:
            pool = client._transport._pool

            async def post(content: Any) -> None:
                headers = {"authorization": "Bearer k", "content-length": str(len(body))}
                answer = await client.post(URL, content=content, headers=headers)
                assert answer.status_code == 200

            await post(body)
            async with anyio.create_task_group() as group:
                group.start_soon(post, slowly())
                await anyio.sleep(0.5)
                assert "1 active, 0 idle" in repr(pool)
                group.start_soon(post, body)
            assert len(pool.connections) == 2

            async def broken() -> AsyncIterator[bytes]:
                raise OSError("no body")
                yield

            with pytest.raises(OSError, match="no body"):
                await post(broken())
            assert len(pool.connections) == 1

    simulate(main, scenario="calm", backend=backend, checks=()).check()
