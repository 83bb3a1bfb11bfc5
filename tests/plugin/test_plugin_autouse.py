"""With a scenario on the command line every test meets the fake, in projects that know nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..depth import in_turn

RunPytest = Callable[..., pytest.RunResult]

SCENARIO = "--llm-scenario=cascade"

SYNC = """
import queue, threading, time
from concurrent.futures import ThreadPoolExecutor
import openai, pytest

GATE = threading.Lock()
POOL = ThreadPoolExecutor(2)

def ask(client, question="hi"):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="m", messages=messages).choices[0].message.content

@pytest.fixture(scope="session")
def client():
    return openai.OpenAI(max_retries=8)

@pytest.fixture(scope="session")
def worker(client):
    "A background thread that outlives the tests."
    jobs, done = queue.Queue(), queue.Queue()
    def work():
        while (job := jobs.get()) is not None:
            done.put(ask(client, job))
    thread = threading.Thread(target=work)
    thread.start()
    yield lambda question: (jobs.put(question), done.get())[1]
    jobs.put(None)
    thread.join()

@pytest.mark.parametrize("number", range(2))
def test_session_client(client, number):
    assert ask(client)

@pytest.mark.parametrize("number", range(2))
def test_background_thread(worker, number):
    assert worker(f"question {number}")

@pytest.mark.parametrize("number", range(3))
def test_pool_of_the_module(number):
    assert [*POOL.map(abs, [-1, -2, -3])] == [1, 2, 3]

def test_threads_at_a_lock_of_the_module(client):
    def one():
        with GATE:
            time.sleep(2)
    threads = [threading.Thread(target=one) for _ in range(3)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began == 6

def test_neither_waits_nor_asks(): ...
"""

UNITTEST = """
import asyncio, threading, unittest
from concurrent.futures import ThreadPoolExecutor
import openai

def ask(client):
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

class Threads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = openai.OpenAI(api_key="k", max_retries=8)
        cls.pool = ThreadPoolExecutor(4)

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown()

    def test_pool(self):
        self.assertEqual(len(list(self.pool.map(ask, [self.client] * 6))), 6)

    def test_pool_again(self):
        with self.subTest("it has workers"):
            self.assertEqual(len(list(self.pool.map(ask, [self.client] * 6))), 6)

class Async(unittest.IsolatedAsyncioTestCase):
    async def test_sleep(self):
        await asyncio.sleep(3600)
"""

SERVICE = """
from contextlib import asynccontextmanager
import asyncio, openai, pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

PROMPT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

@asynccontextmanager
async def lifespan(app):
    app.state.client = openai.AsyncOpenAI(api_key="k", max_retries=8)
    app.state.sync = openai.OpenAI(api_key="k", max_retries=8)
    beat = asyncio.create_task(beats())
    yield
    beat.cancel()

async def beats():
    while True:
        await asyncio.sleep(7)

async def in_a_task(request):
    await request.app.state.client.chat.completions.create(**PROMPT)
    return PlainTextResponse("done")

def in_a_thread(request):
    request.app.state.sync.chat.completions.create(**PROMPT)
    return PlainTextResponse("done")

APP = Starlette(routes=[Route("/task", in_a_task), Route("/thread", in_a_thread)], lifespan=lifespan)

@pytest.fixture(scope="module")
def client():
    with TestClient(APP) as client:
        yield client

@pytest.mark.parametrize("path", ["/task", "/thread", "/task", "/thread"])
def test_client_of_the_module(client, path):
    assert client.get(path).text == "done"

def test_own_client():
    with TestClient(APP) as client:
        assert client.get("/task").text == "done"
"""

ASYNC = """
import asyncio
import anthropic, pytest, pytest_asyncio

@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client():
    async with anthropic.AsyncAnthropic(max_retries=8) as client:
        yield client

async def ask(client):
    await client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])

@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("number", range(2))
async def test_session_loop(client, number):
    await asyncio.gather(*(ask(client) for _ in range(3)))
    assert await asyncio.to_thread(lambda: 1) == 1

@pytest.mark.asyncio
async def test_own_loop():
    async with anthropic.AsyncAnthropic(max_retries=8) as client:
        await ask(client)
"""

MOCKED = """
import httpx, pytest

def test_respx(respx_mock):
    respx_mock.post("https://api.openai.com/v1/chat/completions").respond(json={"mine": 1})
    assert httpx.post("https://api.openai.com/v1/chat/completions", json={}).json() == {"mine": 1}

def test_own_transport():
    transport = httpx.MockTransport(lambda request: httpx.Response(418))
    assert httpx.Client(transport=transport).get("https://api.openai.com").status_code == 418
"""

PROJECT = {"sync": SYNC, "unit": UNITTEST, "service": SERVICE, "aio": ASYNC, "mocked": MOCKED}


@pytest.mark.parametrize(
    ("workers", "plugins"),
    in_turn(
        0,
        [
            pytest.param((), ("asyncio", "respx"), id="alone"),
            pytest.param(("-n", "2"), ("asyncio", "respx", "xdist"), id="xdist"),
        ],
    ),
)
def test_projects_that_know_nothing_of_it(
    pytester: pytest.Pytester,
    run_pytest: RunPytest,
    workers: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """SDKs, threads, unittest, a web service, wider loops and mocks: everything passes in virtual time."""
    pytester.makepyfile(**{f"test_{name}": text for name, text in PROJECT.items()})
    result = run_pytest(SCENARIO, *workers, apart=True, plugins=plugins)
    result.assert_outcomes(passed=22)
    result.stdout.fnmatch_lines(["14 tests met the fake, 8 did not"])


def test_a_real_socket(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The error of a test that needs one says how to leave the test out, and each of the ways works."""
    pytester.makepyfile(
        """
        import socket, time
        import pytest

        def connect():
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
                server.accept()[0].close()
            assert time.time() > 1_767_225_600 + 3600

        def test_virtual():
            connect()

        @pytest.mark.llm_off
        def test_off():
            connect()

        @pytest.mark.llm_clock("real")
        def test_real():
            connect()
        """
    )
    result = run_pytest(SCENARIO)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(['*RealInputOutput*llm_off*llm_autouse*llm_clock("real")*'])
    run_pytest(SCENARIO, "-o", "llm_autouse=false").assert_outcomes(passed=3)


def test_a_server_of_the_session(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A server that polls its socket in a thread does not hold up the fixture that has started it."""
    pytester.makeconftest(
        """
        from wavetank.sim import real_time_waits as pacing

        pacing._LONGEST = 3600  # how long a thread that never waits is waited for
        """
    )
    pytester.makepyfile(
        """
        import http.server, threading, urllib.request
        import pytest

        @pytest.fixture(scope="session")
        def server():
            made = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
            thread = threading.Thread(target=made.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{made.server_port}"
            made.shutdown()
            thread.join()
            made.server_close()

        def test_virtual(server): ...

        @pytest.mark.llm_off
        def test_off(server):
            assert urllib.request.urlopen(server).status == 200
        """
    )
    run_pytest(SCENARIO, plugins=[]).assert_outcomes(passed=2)


def test_left_out_beside_a_loop_of_the_session(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test that is left out has real sockets in its own loop; in a shared one the error says why not."""
    pytester.makepyfile(
        """
        import asyncio, threading
        import pytest, pytest_asyncio

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def beats():
            count = [0]
            async def beat():
                while True:
                    await asyncio.sleep(0.01)
                    count[0] += 1
            task = asyncio.create_task(beat())
            yield count
            task.cancel()

        @pytest.fixture(scope="session")
        def loop():
            made = asyncio.new_event_loop()
            thread = threading.Thread(target=made.run_forever)
            thread.start()
            yield made
            made.call_soon_threadsafe(made.stop)
            thread.join()
            made.close()

        async def sleeps(loop):
            there = asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02, "slept"), loop)
            assert await asyncio.wrap_future(there) == "slept"

        async def serves():
            async def handle(reader, writer):
                writer.close()
            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            server.close()
            assert await asyncio.to_thread(lambda: 1) == 1

        @pytest.mark.asyncio(loop_scope="session")
        @pytest.mark.parametrize("number", range(2))
        async def test_virtual(beats, loop, number):
            before = beats[0]
            await asyncio.sleep(1)
            assert beats[0] > before
            await sleeps(loop)

        @pytest.mark.llm_off
        @pytest.mark.asyncio
        async def test_off(loop):
            await serves()
            await sleeps(loop)

        @pytest.mark.llm_clock("real")
        def test_real():
            asyncio.run(serves())

        @pytest.mark.llm_off
        @pytest.mark.asyncio(loop_scope="session")
        async def test_off_and_shared(beats):
            before = beats[0]
            await asyncio.sleep(0.05)
            assert beats[0] > before
            with pytest.raises(Exception, match="loop of its own"):
                await serves()

        @pytest.mark.asyncio(loop_scope="session")
        async def test_virtual_again(loop):
            await sleeps(loop)
        """
    )
    run_pytest(SCENARIO, apart=True, plugins=["asyncio"]).assert_outcomes(passed=6)


SEES = """
import time, pytest

@pytest.mark.{mark}
def test_it():
    print("virtual" if time.monotonic() == 0 else "real", __name__)
"""


@pytest.mark.parametrize(
    ("rule", "options", "virtual"),
    [
        ("", [SCENARIO], {"test_one", "test_two"}),
        ("", ["-o", "llm_scenario=cascade"], set()),
        ("true", ["-o", "llm_scenario=cascade"], {"test_one", "test_two"}),
        ("true", [], set()),
        ("false", [SCENARIO], set()),
        ("llm", [SCENARIO], {"test_one"}),
        ("./llm/", [SCENARIO], {"test_one"}),
        ("ll*", ["-o", "llm_scenario=cascade"], {"test_one"}),
        ("not slow", [SCENARIO], {"test_one"}),
        ("llm other slow", [SCENARIO], {"test_two"}),
        ("other not slow", [SCENARIO], set()),
    ],
)
def test_which_tests_meet_the_fake(
    pytester: pytest.Pytester, run_pytest: RunPytest, rule: str, options: list[str], virtual: set[str]
) -> None:
    """The ini option `llm_autouse` takes true, false, paths and globs, and an expression of markers."""
    for folder, name, mark in (("llm", "test_one", "quick"), ("other", "test_two", "slow")):
        pytester.mkdir(folder).joinpath(f"{name}.py").write_text(SEES.format(mark=mark), encoding="utf-8")
    result = run_pytest("-s", "-o", "markers=slow\nquick", "-o", f"llm_autouse={rule}", *options)
    lines = [line.partition("virtual ")[2] for line in result.outlines if "virtual test_" in line]
    assert set(lines) == virtual


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("tests/lm", "*llm_autouse = tests/lm: there is no file or folder 'tests/lm'*"),
        ("/llm", "*there is no file or folder*/llm*"),
        ("integratoin", "*llm_autouse = integratoin: *did you mean 'integration'?*"),
        ("not and", "*llm_autouse = not and: *no expression of markers*such as*"),
    ],
)
def test_nonsense_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest, rule: str, said: str
) -> None:
    """A rule that names nothing stops pytest, names the key, and says what is right."""
    pytester.makepyfile("def test_it(): ...")
    result = run_pytest("-o", "markers=integration", "-o", f"llm_autouse={rule}", SCENARIO)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_several_scenarios(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Every test runs once for each scenario, also one of unittest, and can be chosen by its id."""
    pytester.makepyfile(
        test_it="""
        import unittest

        def test_plain(): ...

        class Tests(unittest.TestCase):
            def setUp(self):
                self.ready = True
            def test_method(self):
                assert self.ready
        """
    )
    chosen = (SCENARIO, "--llm-scenario=calm", "-v")
    result = run_pytest(*chosen)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*test_plain?cascade? PASSED*", "*test_method?cascade? PASSED*", "*test_method?calm? PASSED*"]
    )
    run_pytest(*chosen, "test_it.py::Tests::test_method[calm]").assert_outcomes(passed=1)


def test_off_and_the_fake_do_not_go_together(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test that is left out cannot ask for the fake."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_off
        def test_it(fake_llm): ...
        """
    )
    result = run_pytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*llm_off*leave the marker out*"])
