"""The same exceptions as over a real network: each fault at a real server process, and in the tank."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests

import wavetank
from wavetank import Tank
from wavetank.scenario import scenario_from_dict

PATH: Final = "/v1/chat/completions"
ASKED: Final[dict[str, Any]] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
NOWHERE: Final = ".".join(["a" * 60] * 5)
"""A name that is too long to be one, so that a look-up fails without asking anybody."""
TRUSTING: Final = ssl.create_default_context()
"""Made once: reading the certificates takes longer than all the rest of a call."""

SHORT, LONG = 0.05, 20.0
"""Seconds that a client waits where its timeout is the case, and where it is not."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault: where the real client goes, what the tank plays, and what the client is like."""

    port: str = "http"
    host: str = "127.0.0.1"
    scheme: str = "http"
    tables: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    short: str = ""
    """Which of the client's timeouts is short."""
    times: int = 1
    """How many requests the client sends, one after the other."""
    by_app: bool = False
    """Whether an application answers in the tank, and not the provider."""

    @property
    def at_once(self) -> bool:
        """Whether it sends two at once, through a pool of one connection."""
        return self.short == "pool"


def fault(kind: str, **fields: Any) -> dict[str, Any]:
    """A scenario in which all answers, or connections, meet one fault."""
    return {"fault": [{"kind": kind, "times": 99, **fields}], "latency": {"first_token": "0s"}}


WAVE: Final = {"at": "0s", "lasts": "1h"}
CASES: Final[dict[str, Case]] = {
    "refused": Case(port="nobody", tables=fault("connection-refused")),
    "dns-failure": Case(host=NOWHERE, tables=fault("dns-failure")),
    "connect-timeout": Case(port="full", tables=fault("connect-timeout"), short="connect"),
    "bad-certificate": Case(port="tls", scheme="https", tables=fault("bad-certificate")),
    "no-answer": Case(tables=fault("no-answer"), short="read"),
    "silent-body": Case(tables=fault("stall", lasts="1h"), stream=True, short="read"),
    "pool-timeout": Case(tables=fault("no-answer"), short="pool"),
    "reset": Case(tables=fault("reset")),
    "reset-after-headers": Case(tables=fault("reset-after-headers")),
    "closed": Case(tables=fault("closed")),
    "closed-later": Case(tables=fault("closed", match={"item": "1"}), times=2),
    "cut-body": Case(tables=fault("cut-mid-stream")),
    "cut-stream": Case(tables=fault("cut-mid-stream"), stream=True),
    "length-too-long": Case(tables=fault("length-too-long")),
    "length-too-short": Case(tables=fault("length-too-short")),
    "malformed-status-line": Case(tables=fault("malformed-status-line")),
    "malformed-headers": Case(tables=fault("malformed-headers")),
    "malformed-chunk-size": Case(tables=fault("malformed-chunk-size")),
    "bad-gzip": Case(tables=fault("bad-gzip")),
    "empty-body": Case(tables=fault("empty-body")),
    "html-body": Case(tables=fault("html-body")),
    "429": Case(tables={"wave": [{**WAVE, "retry_after": "7s"}]}),
    "503": Case(tables={"wave": [{**WAVE, "status": 503}]}),
    "trickle": Case(tables=fault("slow-trickle", lasts="5s")),
    "redirect": Case(by_app=True),
}

Outcome = list[str]


# -- clients ---------------------------------------------------------------------------------------


def timeouts(library: Any, case: Case) -> Any:
    """The timeouts of httpx, of either name."""
    read = {"read": 4 * SHORT} if case.at_once else {}
    return library.Timeout(LONG, **read, **({case.short: SHORT} if case.short else {}))


def options(library: Any, case: Case) -> dict[str, Any]:
    """What a client of httpx is made with."""
    limits = library.Limits(max_connections=1 if case.at_once else 10)
    return {
        "timeout": timeouts(library, case),
        "limits": limits,
        "follow_redirects": True,
        "verify": TRUSTING,
        "trust_env": False,
    }


def by_httpx(library: Any) -> Callable[[str, Case], Outcome]:
    """The sync client."""

    def ask(url: str, case: Case) -> Outcome:
        with library.Client(**options(library, case)) as client:

            def once(number: int) -> Outcome:
                with client.stream("POST", url + PATH, json=asked(case), headers=headers(number)) as answer:
                    b"".join(answer.iter_bytes())
                return seen(answer.status_code, answer.headers)

            return in_threads(once, case)

    return ask


def by_async_httpx(library: Any) -> Callable[[str, Case], Any]:
    """The async client."""

    async def ask(url: str, case: Case) -> Outcome:
        async with library.AsyncClient(**options(library, case)) as client:

            async def once(number: int) -> Outcome:
                asking = client.stream("POST", url + PATH, json=asked(case), headers=headers(number))
                async with asking as answer:
                    _ = [part async for part in answer.aiter_bytes()]
                return seen(answer.status_code, answer.headers)

            return await in_tasks(once, case)

    return ask


async def by_aiohttp(url: str, case: Case) -> Outcome:
    """aiohttp."""
    short = {"connect": "sock_connect", "read": "sock_read", "pool": "connect"}.get(case.short)
    limits = aiohttp.ClientTimeout(total=LONG, **({short: SHORT} if short else {}))
    connector = aiohttp.TCPConnector(limit=1 if case.at_once else 10, ssl=TRUSTING)
    async with aiohttp.ClientSession(timeout=limits, connector=connector) as session:

        async def once(number: int) -> Outcome:
            async with session.post(url + PATH, json=asked(case), headers=headers(number)) as answer:
                await answer.read()
            return seen(answer.status, answer.headers)

        return await in_tasks(once, case)


def by_requests(url: str, case: Case) -> Outcome:
    """requests, which has no timeout for its pool."""
    limits = (SHORT if case.short == "connect" else LONG, SHORT if case.short == "read" else LONG)
    with requests.Session() as session:
        session.trust_env = False

        def once(number: int) -> Outcome:
            answer = session.post(url + PATH, json=asked(case), headers=headers(number), timeout=limits)
            return seen(answer.status_code, answer.headers)

        return in_threads(once, case)


def by_openai(url: str, case: Case) -> Outcome:
    """The sync SDK."""
    http = httpx2.Client(**options(httpx2, case))
    with openai.OpenAI(api_key="k", base_url=url + "/v1", max_retries=0, http_client=http) as client:

        def once(number: int) -> Outcome:
            answer = client.chat.completions.create(**asked(case), extra_headers=headers(number))
            return ["read", *(["stream"] if case.stream and [*answer] else [])]

        return in_threads(once, case)


async def by_async_openai(url: str, case: Case) -> Outcome:
    """The async SDK."""
    http = httpx2.AsyncClient(**options(httpx2, case))
    async with openai.AsyncOpenAI(
        api_key="k", base_url=url + "/v1", max_retries=0, http_client=http
    ) as client:

        async def once(number: int) -> Outcome:
            answer = await client.chat.completions.create(**asked(case), extra_headers=headers(number))
            return ["read", *(["stream"] if case.stream and [part async for part in answer] else [])]

        return await in_tasks(once, case)


CLIENTS: Final[dict[str, Callable[[str, Case], Any]]] = {
    "httpx2": by_httpx(httpx2),
    "httpx2, async": by_async_httpx(httpx2),
    "httpx": by_httpx(httpx),
    "httpx, async": by_async_httpx(httpx),
    "aiohttp": by_aiohttp,
    "requests": by_requests,
    "openai": by_openai,
    "openai, async": by_async_openai,
}


def asked(case: Case) -> dict[str, Any]:
    return ASKED | ({"stream": True} if case.stream else {})


def headers(number: int) -> dict[str, str]:
    """The headers of a client's request with this number, from 0."""
    return {"authorization": "Bearer k", "x-wavetank-item": str(number)}


def seen(status: int, found: Any) -> Outcome:
    """What a client may go by in a response."""
    return [str(status), *(f"{name}={found[name]}" for name in ("retry-after",) if name in found)]


def raised(error: BaseException) -> Outcome:
    """The types of an exception and of those behind it, with what a client may go by.

    Those are left out by which anyio, asyncio and trio carry a timeout or a reset to httpcore.
    """
    found: Outcome = []
    following: BaseException | None = error
    while following is not None:
        kind = type(following)
        status = getattr(following, "status_code", None) or getattr(following, "status", None)
        number = getattr(following, "errno", None) if isinstance(following, OSError) else None
        facts = [f"{fact}" for fact in (status, number) if isinstance(fact, int)]
        if not kind.__module__.startswith(("anyio", "asyncio", "trio")):
            found.append(" ".join([f"{kind.__module__}.{kind.__qualname__}", *facts]))
        hidden = following.__suppress_context__ or following.__cause__ is not None
        following = following.__cause__ if hidden else following.__context__
    return found


def in_threads(once: Callable[[int], Outcome], case: Case) -> Outcome:
    """What came of the last request."""

    def caught(number: int = 0) -> Outcome:
        try:
            return once(number)
        except Exception as error:
            return raised(error)

    if not case.at_once:
        return [caught(number) for number in range(case.times)][-1]
    first = threading.Thread(target=caught)
    first.start()
    time.sleep(SHORT / 2)
    found = caught()
    first.join()
    return found


async def in_tasks(once: Callable[[int], Any], case: Case) -> Outcome:
    """The same of a client for tasks."""

    async def caught(number: int = 0) -> Outcome:
        try:
            outcome: Outcome = await once(number)
        except Exception as error:
            return raised(error)
        return outcome

    if not case.at_once:
        return [await caught(number) for number in range(case.times)][-1]
    first = asyncio.create_task(caught())
    await asyncio.sleep(SHORT / 2)
    found = await caught()
    first.cancel()
    return found


async def all_clients(url: str, case: Case, clients: Iterable[str] = CLIENTS) -> dict[str, Outcome]:
    """What each client makes of a case, one after the other; only aiohttp and httpx know a pool's timeout."""
    found = {}
    for name in clients:
        if not (case.at_once and name == "requests"):
            outcome = CLIENTS[name](url, case)
            found[name] = await outcome if asyncio.iscoroutine(outcome) else outcome
    return found


# -- both worlds -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """A real server in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("fault_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()
        process.wait(600)


def in_real_time(ports: dict[str, int], name: str, case: Case) -> dict[str, Outcome]:
    """What each client meets at the real server."""
    server = "no-answer" if name == "pool-timeout" else name
    url = f"{case.scheme}://{case.host}:{ports[case.port]}/{server}"
    return asyncio.run(all_clients(url, case))


def in_the_tank(
    name: str, case: Case, clients: Iterable[str] = CLIENTS, backend: str = "asyncio"
) -> dict[str, Outcome]:
    """What each client meets in a run whose scenario plays the case."""

    async def main(tank: Tank) -> dict[str, Outcome]:
        tank.fake_llm.add_host("app.example", app=lambda request: (307, "", {"location": request.path}))
        host = "app.example" if case.by_app else "api.openai.com"
        return await all_clients(f"https://{host}", case, clients)

    scenario = scenario_from_dict(case.tables, name=name, source="test")
    run = wavetank.simulate(main, scenario, backend=backend, checks=())
    if run.error is not None:
        raise run.error
    assert run.value is not None
    return run.value


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of a port is silent on Linux")
@pytest.mark.parametrize("name", CASES)
def test_the_same_exceptions(ports: dict[str, int], name: str) -> None:
    """Types, those behind them, statuses and numbers of errors are those of a real network."""
    real, ours = in_real_time(ports, name, CASES[name]), in_the_tank(name, CASES[name])
    assert ours == real


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"pool-timeout", "bad-gzip"}))
def test_the_same_on_trio(name: str) -> None:
    """httpx's exceptions in the tank do not depend on the event loop.

    After gzip that is none httpx leaves a generator open, of which trio warns.
    """
    clients = ("httpx2, async", "httpx, async")
    on_trio, on_asyncio = (in_the_tank(name, CASES[name], clients, each) for each in ("trio", "asyncio"))
    assert on_trio == on_asyncio
