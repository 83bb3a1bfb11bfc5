"""Applications of the test's own answer for hosts that are no LLM's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import wavetank
from wavetank import FakeLLM, Scenario, Tank

HOST = "vectors.corp.example"
URL = f"https://{HOST}"

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def query(request: Request) -> Response:
    """Waits for two seconds and says what it was asked."""
    await anyio.sleep(2)
    body = await request.json()
    return JSONResponse(
        {"asked": body, "top": request.query_params["top"], "host": request.headers["host"]},
        headers={"x-served-by": "app"},
    )


async def events(_: Request) -> Response:
    """Three lines, a second apart."""

    async def lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"line %d\n" % number
            await anyio.sleep(1)

    return StreamingResponse(lines(), media_type="text/plain")


def blocking(_: Request) -> Response:
    """In a thread of a pool, as Starlette has it."""
    time.sleep(3)
    return Response(status_code=204)


async def broken(_: Request) -> Response:
    """It raises."""
    raise KeyError("no such index")


APP = Starlette(
    routes=[
        Route("/query", query, methods=["POST"]),
        Route("/events", events),
        Route("/blocking", blocking),
        Route("/broken", broken),
    ]
)


def run(
    work: Callable[[Tank], Awaitable[Any]], *, backend: str = "asyncio", app: Any = APP, host: str = HOST
) -> wavetank.Run[Any]:
    """The program, in a tank with an application at `HOST`."""

    async def main(tank: Tank) -> Any:
        tank.fake_llm.add_host(host, app=app)
        return await work(tank)

    checks = "strict,-loop_responsive"  # one of the clients blocks its loop
    return wavetank.simulate(main, scenario=Scenario(), backend=backend, checks=checks)


# -- at every way in ---------------------------------------------------------------------------------


async def ask_by(library: Any, **options: Any) -> tuple[Any, str]:
    """A question by an async client, and the headers' mark."""
    async with library.AsyncClient(**options) as client:
        answer = await client.post(f"{URL}/query?top=3", json={"text": "wave"})
        return answer.json(), answer.headers["x-served-by"]


async def with_httpx(_: Tank) -> tuple[Any, str]:
    return await ask_by(httpx)


async def with_httpx2(_: Tank) -> tuple[Any, str]:
    return await ask_by(httpx2)


async def with_transport(tank: Tank) -> tuple[Any, str]:
    return await ask_by(httpx, transport=tank.fake_llm.httpx_transport())


async def with_aiohttp(_: Tank) -> tuple[Any, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{URL}/query?top=3", json={"text": "wave"}) as answer,
    ):
        return await answer.json(), answer.headers["x-served-by"]


def ask_blocking(post: Callable[..., Any]) -> tuple[Any, str]:
    answer = post(f"{URL}/query?top=3", json={"text": "wave"})
    return answer.json(), answer.headers["x-served-by"]


async def with_requests_in_a_thread(_: Tank) -> tuple[Any, str]:
    return await anyio.to_thread.run_sync(ask_blocking, requests.post)


async def with_httpx_in_the_loop(_: Tank) -> tuple[Any, str]:
    return ask_blocking(httpx.post)


async def with_blocking_transport(tank: Tank) -> tuple[Any, str]:
    with httpx2.Client(transport=tank.fake_llm.httpx2_transport()) as client:
        return await anyio.to_thread.run_sync(ask_blocking, client.post)


WAYS = (
    with_httpx,
    with_httpx2,
    with_transport,
    with_aiohttp,
    with_requests_in_a_thread,
    with_httpx_in_the_loop,
    with_blocking_transport,
)


@on_both
@pytest.mark.parametrize("way", WAYS)
def test_an_asgi_application_answers_in_virtual_time(
    way: Callable[[Tank], Awaitable[tuple[Any, str]]], backend: str
) -> None:
    """Its sleep takes virtual time; it is none of the provider's requests; each run is the same."""
    if way is with_aiohttp and backend == "trio":
        return
    made = run(way, backend=backend)
    made.check()
    assert made.value == ({"asked": {"text": "wave"}, "top": "3", "host": HOST}, "app")
    assert made.virtual_seconds == 2
    assert not made.events.of("arrived", "unknown-host", "app-failed")
    assert run(way, backend=backend).events.to_ndjson() == made.events.to_ndjson()


@on_both
def test_a_stream_comes_part_by_part(backend: str) -> None:
    """Each when it is sent."""

    async def main(tank: Tank) -> list[tuple[float, bytes]]:
        async with httpx2.AsyncClient() as client, client.stream("GET", f"{URL}/events") as answer:
            return [(tank.now(), part) async for part in answer.aiter_raw()]

    made = run(main, backend=backend)
    made.check()
    assert made.value == [(0, b"line 0\n"), (1, b"line 1\n"), (2, b"line 2\n")]


@on_both
def test_an_endpoint_in_a_thread_answers(backend: str) -> None:
    """Its own sleep takes virtual time as well; 204 has no body, and the connection is used again."""

    async def main(tank: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            for _ in range(2):
                answer = await client.get(f"{URL}/blocking")
                assert (answer.status_code, answer.content) == (204, b"")
                assert "content-length" not in answer.headers
        assert tank.now() == 6

    run(main, backend=backend).check()


@on_both
def test_an_application_is_started_before_its_first_request(backend: str) -> None:
    """Once in an event loop, and ended with it; requests have its state."""
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        await anyio.sleep(1)
        log.append("started")
        try:
            yield {"index": "ready"}
        finally:
            log.append("ended")

    async def state(request: Request) -> Response:
        return Response(request.state.index)

    async def main(tank: Tank) -> None:
        async with httpx2.AsyncClient() as client, anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client.get, URL)
        async with httpx2.AsyncClient() as client:
            assert (await client.get(URL)).text == "ready"
        assert tank.now() == 1
        for _ in range(20):
            await anyio.sleep(3600)  # long enough for a look at what is stuck
        assert log == ["started"]

    run(main, app=Starlette(routes=[Route("/", state)], lifespan=lifespan), backend=backend).check()
    assert log == ["started", "ended"]


@on_both
def test_an_application_that_does_not_start_fails_the_test(backend: str) -> None:
    """With the line that raised."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    async def main(_: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            assert [(await client.get(URL)).status_code for _ in range(2)] == [500, 500]

    verdict = run(main, app=Starlette(lifespan=lifespan), backend=backend).verdicts["hosts"]
    assert "raised OSError: no database" in verdict.summary
    assert len(verdict.evidence) == 2
    assert "raised OSError (tests/seams/test_seams_apps.py:" in verdict.evidence[0]


@on_both
def test_clients_overlap(backend: str) -> None:
    """Eight requests take as long as one, in tasks and in threads."""

    async def main(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(with_httpx, tank)
                group.start_soon(with_requests_in_a_thread, tank)
        assert tank.now() == 2

    run(main, backend=backend).check()


def test_sync_tests_and_real_time(fake_llm: FakeLLM) -> None:
    """A test without a loop."""
    fake_llm.add_host(HOST, app=APP)
    assert ask_blocking(requests.post)[1] == "app"
    assert ask_blocking(httpx.post)[1] == "app"
    assert not fake_llm.requests
    assert fake_llm.in_flight == 0


@pytest.mark.llm_clock("real")
def test_sync_clients_in_real_time(fake_llm: FakeLLM) -> None:
    """The application's loop is in a thread of the machine's."""
    fake_llm.add_host(HOST, app=lambda request: {"path": request.path})
    assert requests.post(f"{URL}/a", timeout=60).json() == {"path": "/a"}
    assert httpx.get(f"{URL}/b").json() == {"path": "/b"}


@pytest.mark.llm_clock("real")
async def test_async_clients_in_real_time(fake_llm: FakeLLM, anyio_backend: Any) -> None:
    """In the client's own loop, and beside it in a thread."""
    del anyio_backend

    async def app(request: Any) -> Any:
        await anyio.sleep(0)
        return 201, request.json(), {"x-served-by": "app"}

    fake_llm.add_host(HOST, app=app)
    assert await ask_by(httpx2) == ({"text": "wave"}, "app")
    assert await anyio.to_thread.run_sync(ask_blocking, requests.post) == ({"text": "wave"}, "app")


@pytest.mark.parametrize("host", ["localhost:4000", "127.0.0.1:4000"])
@pytest.mark.parametrize(
    "clock", [pytest.param(clock, marks=pytest.mark.llm_clock(clock)) for clock in ("virtual", "real")]
)
def test_a_host_of_this_machine_may_be_named(fake_llm: FakeLLM, host: str, clock: str) -> None:
    """In real time as well, in which other servers here are left alone."""
    del clock
    fake_llm.add_host(host, app=lambda _: "app")
    assert httpx.get(f"http://{host}/").text == "app"
    assert requests.get(f"http://{host}/", timeout=9).text == "app"


# -- functions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "body"),
    [
        ("text", 200, "text/plain; charset=utf-8", b"text"),
        (b"\x00\x01", 200, "application/octet-stream", b"\x00\x01"),
        ({"a": [1]}, 200, "application/json", b'{"a":[1]}'),
        ([1, 2], 200, "application/json", b"[1,2]"),
        (404, 404, None, b""),
        (204, 204, None, b""),
        ((201, {"id": 7}), 201, "application/json", b'{"id":7}'),
        ((200, "<a/>", {"Content-Type": "text/xml", "x-one": 1}), 200, "text/xml", b"<a/>"),
        ((302, "", [("location", "/b")]), 302, "text/plain; charset=utf-8", b""),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_returns_what_it_likes(
    answer: Any, status: int, content_type: str | None, body: bytes, is_async: bool
) -> None:
    """Plain or async."""

    def plain(_: Any) -> Any:
        return answer

    async def waits(_: Any) -> Any:
        await anyio.sleep(1)
        return answer

    async def main(tank: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            got = await client.get(f"{URL}/a")
        assert (got.status_code, got.headers.get("content-type"), got.content) == (status, content_type, body)
        assert tank.now() == (1 if is_async else 0)

    run(main, app=waits if is_async else plain).check()


@pytest.mark.parametrize(
    "given", [{"set-cookie": ["a=1", "b=2"]}, [("set-cookie", "a=1"), ("Set-Cookie", "b=2")]]
)
def test_a_function_sets_several_cookies(given: Any) -> None:
    """As a list, or as pairs."""

    async def main(_: Tank) -> Any:
        async with httpx2.AsyncClient() as client:
            answer = await client.get(URL)
            return answer.headers.get_list("set-cookie"), dict(client.cookies), answer.headers["content-type"]

    made = run(main, app=lambda _: (200, {}, given))
    assert made.value == (["a=1", "b=2"], {"a": "1", "b": "2"}, "application/json")


def test_a_function_sees_the_request() -> None:
    """Method, host, path below the prefix, query, headers in lower case, body."""
    seen: list[Any] = []

    async def main(_: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            await client.put(f"{URL}:8443/v1/a%20b?x=1&y=2", json=[1], headers={"X-One": "1"})
            assert (await client.get(f"{URL}:8443/v2")).status_code == 404

    def app(request: Any) -> int:
        seen.append(request)
        return 204

    made = run(main, app=app, host=f"{HOST}:8443/v1")
    (one,) = seen
    assert (one.method, one.host, one.path, one.query) == ("PUT", f"{HOST}:8443", "/a%20b", "x=1&y=2")
    assert (one.headers["x-one"], one.json(), one.body) == ("1", [1], b"[1]")
    assert made.verdicts["hosts"].passed is False  # for the path beside the prefix


def test_an_application_below_a_prefix_has_a_root_path() -> None:
    """Its routes are found, as below a mount."""

    async def main(_: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{URL}/api/events")).text.endswith("line 2\n")

    run(main, host=f"{HOST}/api").check()


def test_an_application_may_ask_the_fake() -> None:
    """A gateway of one's own in front of an LLM; the provider's request has the application's place."""

    async def app(_: Any) -> Any:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(
                "https://api.openai.com/v1/chat/completions",
                headers={"authorization": "Bearer key"},
                json={"model": "m", "messages": [{"role": "user", "content": "row-1"}]},
            )
            return answer.json()["choices"][0]["message"]["content"]

    async def main(tank: Tank) -> None:
        async with httpx2.AsyncClient() as client:
            assert "row-1" in (await client.get(URL)).text
        assert len(tank.fake_llm.requests) == 1

    run(main, app=app).check()


# -- what goes wrong ---------------------------------------------------------------------------------


async def raises(_: Any) -> Any:
    raise ValueError("broken index")


async def stops_early(scope: Any, receive: Any, send: Any) -> None:
    del receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": True})


async def says_nothing(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive, send


async def lies(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"123"})


def sleeps(_: Any) -> int:
    time.sleep(1)
    return 200


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (APP, "KeyError: 'no such index'"),
        (raises, "ValueError: broken index"),
        (stops_early, "the application returned before its response was complete"),
        (says_nothing, "the application returned before its response was complete"),
        (lies, "the body has 3 bytes, and content-length says 9"),
        (lambda _: None, "returned None: it has no return"),
        (lambda _: object, "and this one returned <class 'object'>"),
        (lambda _: {"a": object}, "Encoding objects of type type is unsupported"),
        (lambda _: (99, ""), r"and this one returned (99, '')"),
        (lambda request: request.json(), "the body of GET vectors.corp.example/broken is no JSON"),
        (sleeps, "a plain function for a host must not sleep"),
    ],
)
@pytest.mark.parametrize("way", [httpx2.get, None])
def test_an_error_in_an_application_fails_the_test(app: Any, said: str, way: Any) -> None:
    """With its place, also where the program swallows what came of it; nothing hangs."""

    async def main(_: Tank) -> None:
        with suppress(httpx2.HTTPError):
            if way is not None:
                await anyio.to_thread.run_sync(way, f"{URL}/broken")
            else:
                async with httpx2.AsyncClient() as client:
                    assert (await client.get(f"{URL}/broken")).status_code == 500

    verdict = run(main, app=app).verdicts["hosts"]
    assert verdict.passed is False
    assert "the app for vectors.corp.example raised " in verdict.summary
    assert said in verdict.summary
    assert "GET /broken raised " in verdict.evidence[0]
    if app in (APP, raises, sleeps) or app.__name__ == "<lambda>":
        assert "(tests/seams/test_seams_apps.py:" in verdict.evidence[0]


@on_both
def test_a_client_may_leave_early(backend: str) -> None:
    """The application learns of it, and that is no error of its."""
    left: list[float] = []

    async def main(tank: Tank) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            assert (await receive())["type"] == "http.disconnect"
            left.append(tank.now())
            await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": True})

        tank.fake_llm.add_host("streams.example", app=app)
        async with httpx2.AsyncClient() as client:
            with anyio.move_on_after(3):
                async with client.stream("GET", "https://streams.example") as answer:
                    async for part in answer.aiter_raw():
                        assert part == b"a"
        await anyio.sleep(1)

    made = run(main, backend=backend)
    made.check()
    assert left == [3]


@on_both
def test_a_client_may_give_up(backend: str) -> None:
    """A read timeout of the client's comes in virtual time; what still runs at the end harms nothing."""

    async def app(_: Any) -> int:
        await anyio.sleep(3600)
        return 200

    async def main(tank: Tank) -> None:
        async with httpx2.AsyncClient(timeout=5) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.get(URL)
        with pytest.raises(requests.ReadTimeout):
            await anyio.to_thread.run_sync(lambda: requests.get(URL, timeout=5))
        assert tank.now() == 10

    run(main, backend=backend, app=app).check()


def test_a_lock_of_the_application_is_shared_by_threads() -> None:
    """All blocking clients meet one loop."""
    lock = asyncio.Lock()

    async def app(_: Any) -> int:
        async with lock:
            await anyio.sleep(1)
        return 200

    async def main(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(anyio.to_thread.run_sync, lambda: requests.get(URL, timeout=9))
        assert tank.now() == 3

    run(main, app=app).check()


def test_a_deadlock_of_an_application_is_reported() -> None:
    """It does not hang the test."""

    async def app(_: Any) -> int:
        await anyio.Event().wait()
        return 200

    async def main(_: Tank) -> None:
        async with httpx2.AsyncClient(timeout=None) as client:
            await client.get(URL)

    made = run(main, app=app)
    assert made.kind == "deadlock"
    assert "app of vectors.corp.example" in made.report()


def test_a_search_chooses_the_order_of_an_application_s_tasks() -> None:
    """A race between two requests to it is found, and the token repeats it."""

    async def main(tank: Tank) -> None:
        count = 0

        async def app(_: Any) -> int:
            nonlocal count
            before = count
            await anyio.sleep(0)
            count = before + 1
            return 200

        tank.fake_llm.add_host("counts.example", app=app)
        async with httpx2.AsyncClient() as client, anyio.create_task_group() as group:
            group.start_soon(client.get, "https://counts.example")
            group.start_soon(client.get, "https://counts.example")
        assert count == 2

    failure = wavetank.search(main, Scenario(), schedules=50).failure
    assert failure is not None
    again = wavetank.simulate(main, Scenario(), schedule=failure.schedule)
    assert isinstance(again.error, AssertionError)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({}, TypeError, 'give one of dialect="openai" and app='),
        ({"app": APP, "dialect": "openai"}, TypeError, "and not both"),
        ({"app": "openai"}, TypeError, "give an ASGI application, or a function"),
        ({"app": lambda: 1}, TypeError, "give an ASGI application, or a function"),
        ({"dialect": "opnai"}, ValueError, "did you mean 'openai'"),
    ],
)
def test_what_cannot_answer_is_refused(
    given: dict[str, Any], error: type[Exception], said: str, fake_llm: FakeLLM
) -> None:
    """The text says what to give."""
    with pytest.raises(error, match=said):
        fake_llm.add_host(HOST, **given)


def test_two_answers_for_one_host_are_refused(fake_llm: FakeLLM) -> None:
    """An application and a dialect, or two applications."""
    fake_llm.add_host(HOST, app=APP)
    fake_llm.add_host(HOST, app=APP)
    with pytest.raises(
        ValueError, match=r"two dialects or apps for vectors\.corp\.example: an app and openai"
    ):
        fake_llm.add_host(HOST, dialect="openai")
    with pytest.raises(ValueError, match="an app and an app"):
        fake_llm.add_host(HOST, app=lambda _: 200)
