"""Real time, checks by name, kept event logs, replay, fresh fakes, and all runners in one session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wavetank.events import EventLog
from wavetank.rehearsal.sandbox import make_sandbox
from wavetank.scenario import digest, load_scenario
from wavetank.sim.token import Schedule

from ..depth import in_turn

RunPytest = Callable[..., pytest.RunResult]

EVERY_RUNNER = """
import asyncio, time
import openai, pytest

PROMPT = [{"role": "user", "content": "hi"}]
LATENCY = {"first_token": "20ms"}

def ask():
    with openai.OpenAI(max_retries=0) as client:
        return client.chat.completions.create(model="m", messages=PROMPT).choices[0].message.content

async def ask_async():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        answer = await client.chat.completions.create(model="m", messages=PROMPT)
    return answer.choices[0].message.content

def virtual(clock):
    return clock == "virtual"

class Tests:
    def test_sync(self, fake_llm, clock):
        if virtual(clock):
            time.sleep(1000)
        assert "[wt:hi]" in ask()

    def test_asyncio_run(self, fake_llm, clock):
        async def main():
            await asyncio.sleep(1000 if virtual(clock) else 0)
            return await ask_async()
        assert "[wt:hi]" in asyncio.run(main())

    def test_trio_run(self, fake_llm, clock):
        import trio
        async def main():
            await trio.sleep(1000 if virtual(clock) else 0)
            return await ask_async()
        assert "[wt:hi]" in trio.run(main)

    @pytest.mark.anyio
    async def test_anyio(self, fake_llm, anyio_backend, clock):
        import anyio
        await anyio.sleep(1000 if virtual(clock) else 0)
        assert "[wt:hi]" in await ask_async()
        assert "q" in (await fake_llm.call("q", item="q")).text

    @pytest.mark.asyncio
    async def test_pytest_asyncio(self, tank, clock):
        await asyncio.sleep(1000 if virtual(clock) else 0)
        assert "[wt:hi]" in await ask_async()
        assert "q" in (await tank.fake_llm.call("q", item="q")).text

    @pytest.mark.trio
    async def test_pytest_trio(self, tank, clock):
        import trio
        await trio.sleep(1000 if virtual(clock) else 0)
        assert "[wt:hi]" in await ask_async()
        assert "q" in (await tank.fake_llm.call("q", item="q")).text

@pytest.mark.llm_scenario("calm", latency=LATENCY)
class TestVirtual(Tests):
    @pytest.fixture
    def clock(self):
        return "virtual"

@pytest.mark.llm_clock("real")
@pytest.mark.llm_scenario("calm", latency=LATENCY)
class TestReal(Tests):
    @pytest.fixture
    def clock(self):
        return "real"

del Tests

def test_nothing_is_left_behind():
    import socket
    assert time.sleep.__module__ == "time"
    assert asyncio.Runner.__init__.__module__ == "asyncio.runners"
    assert "connect" not in vars(socket.socket)
"""


@pytest.mark.parametrize(
    ("workers", "plugins"),
    # Beside an automatic mode they are alone too.
    in_turn(
        0,
        [
            pytest.param(("-n", "2"), ("anyio", "asyncio", "trio", "xdist"), id="xdist"),
            pytest.param((), ("anyio", "asyncio", "trio"), id="alone"),
        ],
    ),
)
def test_every_runner_in_both_times(
    pytester: pytest.Pytester,
    run_pytest: RunPytest,
    workers: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Sync tests, asyncio.run, trio.run, anyio, pytest-asyncio and pytest-trio live together."""
    pytester.makepyfile(EVERY_RUNNER)
    result = run_pytest(*workers, apart=True, plugins=plugins)
    result.assert_outcomes(passed=15)
    result.stdout.fnmatch_lines(["14 tests: 22 requests, 0 refused, 0 unanswered, 0 wasted"])


@pytest.mark.parametrize(
    ("ini", "plugin"),
    [
        ("asyncio_mode=auto", "asyncio"),
        ("anyio_mode=auto", "anyio"),
        ("trio_mode=true", "trio"),
    ],
    ids=["pytest-asyncio", "anyio", "pytest-trio"],
)
def test_the_automatic_modes(pytester: pytest.Pytester, run_pytest: RunPytest, ini: str, plugin: str) -> None:
    """An async test without a marker runs in virtual time under whichever plugin takes it by itself."""
    request = ", anyio_backend" if plugin == "anyio" else ""
    pytester.makepyfile(
        f"""
        import time
        async def test_it(tank{request}):
            import anyio
            await anyio.sleep(3600)
            assert tank.now() == 3600
        """
    )
    if request:
        pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'")
    result = run_pytest("-o", ini, apart=True, plugins=[plugin])
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "left_out", "passed"),
    in_turn(
        0,
        [
            ("anyio_mode=auto", "", 19),
            ("asyncio_mode=auto", "test_pytest_trio", 13),
            ("trio_mode=true", "test_pytest_asyncio", 13),
        ],
    ),
)
def test_every_runner_beside_an_automatic_mode(
    pytester: pytest.Pytester, run_pytest: RunPytest, ini: str, left_out: str, passed: int
) -> None:
    """All other runners go on; pytest-asyncio and pytest-trio take each other's tests, also without us."""
    pytester.makepyfile(EVERY_RUNNER)
    deselect = f"not {left_out}" if left_out else ""
    result = run_pytest("-o", ini, "-k", deselect, apart=True, plugins=["anyio", "asyncio", "trio"])
    result.assert_outcomes(passed=passed, deselected=15 - passed if left_out else 0)


def test_real_time_by_option_and_marker(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`--llm-clock=real` is for every test, a marker for one, and the marker wins."""
    pytester.makepyfile(
        """
        import pytest, time
        def test_option(tank):
            assert time.time() > 1.78e9
        @pytest.mark.llm_clock("virtual")
        def test_marker(tank):
            time.sleep(3600)
            assert tank.now() == 3600
        """
    )
    run_pytest("--llm-clock=real", plugins=[]).assert_outcomes(passed=2)


def test_a_server_of_ones_own_in_real_time(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """In real time connections to this machine go through; in virtual time the error tells the fix."""
    pytester.makepyfile(
        """
        import http.server, threading, httpx, pytest
        class Hello(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(204); self.end_headers()
            def log_message(self, *args): pass
        @pytest.fixture(scope="module")
        def server():
            with http.server.HTTPServer(("127.0.0.1", 0), Hello) as server:
                thread = threading.Thread(target=server.serve_forever); thread.start()
                yield f"http://127.0.0.1:{server.server_port}/"
                server.shutdown(); thread.join()
        @pytest.mark.llm_expect(unknown_hosts=["127.0.0.1"])
        def test_virtual(fake_llm, server):
            with pytest.raises(Exception, match='llm_clock."real"'):
                httpx.get(server)
        @pytest.mark.llm_clock("real")
        def test_real(fake_llm, server):
            assert httpx.get(server).status_code == 204
        """
    )
    run_pytest(plugins=[]).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--llm-clock=reel", "did you mean 'real'"),
        ("--llm-report=always", "off, retain-on-failure, on"),
        ("--llm-checks=exactly_onec", "did you mean 'exactly_once'"),
        ("--llm-replay=wt1-nonsense", "damaged"),
        ("--llm-replay=nonsense", "is not a schedule token"),
    ],
)
def test_a_wrong_word_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest, option: str, said: str
) -> None:
    """Each option names the mistake and the fix."""
    pytester.makepyfile("def test_it(tank): pass")
    result = run_pytest(option)
    text = "\n".join(result.outlines + result.errlines)
    assert said in text
    assert result.ret != 0


def test_checks_by_name(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`llm_checks` judges a test that uses `fake_llm` alone, and the option all of them."""
    source = """
        import httpx2, pytest, time
        def ask(item):
            headers = {"authorization": "Bearer k", "x-wavetank-item": item}
            body = {"model": "m", "messages": [{"role": "user", "content": item}]}
            return httpx2.post("https://api.openai.com/v1/chat/completions", json=body, headers=headers)
        """
    hasty = """
        def test_hasty(fake_llm):
            time.sleep(7)
            while ask("a").status_code == 429:
                time.sleep(1)
        """
    pytester.makepyfile(test_marked=source + '\n        @pytest.mark.llm_checks("retry_after")' + hasty)
    pytester.makepyfile(test_plain=source + hasty)
    scenario = pytester.makefile(".toml", wave="[[wave]]\nat = '5s'\nlasts = '9s'\nretry_after = '5s'")
    result = run_pytest(f"--llm-scenario={scenario}", plugins=[])
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*retry_after failed: item 'a' asked again * too early*"])
    run_pytest(f"--llm-scenario={scenario}", "--llm-checks=strict", plugins=[]).assert_outcomes(failed=2)


def test_event_logs_are_kept(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`--llm-report` writes one readable log for each test, or for each that failed."""
    pytester.makepyfile(
        """
        def test_good(tank):
            pass
        def test_bad(tank):
            tank.ledger.submit("a")
        """
    )
    run_pytest("--llm-report=retain-on-failure", "--llm-report-dir=kept").assert_outcomes(passed=1, failed=1)
    (kept,) = (pytester.path / "kept").glob("*.ndjson")
    log = EventLog.from_ndjson(kept.read_bytes())
    assert [(event.kind, event.item) for event in log] == [("submitted", "a")]
    result = run_pytest("-v", "--llm-report=on", "--llm-report-dir=all", "-n2", apart=True, plugins=["xdist"])
    result.stdout.fnmatch_lines(["*test_good: event log in all*"])
    assert len(list((pytester.path / "all").glob("*.ndjson"))) == 2


CANCELLED = """
import os
from concurrent.futures import ThreadPoolExecutor
import anyio, openai, pytest

pytestmark = pytest.mark.llm_scenario("mixed")
BALLAST = [[number] for number in range(int(os.environ.get("BALLAST", 0)))]
PROMPT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}

async def ask(client):
    await client.chat.completions.create(**PROMPT)

@pytest.mark.anyio
@pytest.mark.parametrize("number", range(2))
async def test_cancelled(fake_llm, number):
    async with openai.AsyncOpenAI(max_retries=9) as client:
        for length in (0.1, 0.3, 1, 3):
            with anyio.move_on_after(length):
                async with anyio.create_task_group() as group:
                    for _ in range(12):
                        group.start_soon(ask, client)

def test_threads(fake_llm):
    with openai.OpenAI(max_retries=9) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.chat.completions.create(**PROMPT), range(24)))
"""


def test_workers_of_xdist_write_the_bytes_of_a_plain_run(
    pytester: pytest.Pytester, run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled groups and threads leave the same log in any process, after any other test."""
    pytester.makepyfile(CANCELLED)
    kept: list[dict[str, bytes]] = []
    for number, workers in enumerate((("-n", "2"), ())):
        if not workers:
            monkeypatch.setenv("PYTHONHASHSEED", "4242")
        monkeypatch.setenv("BALLAST", str(number * 7919))
        folder = f"kept{number}"
        run = run_pytest(
            "--llm-report=on", f"--llm-report-dir={folder}", *workers, apart=True, plugins=["anyio", "xdist"]
        )
        run.assert_outcomes(passed=5)
        kept.append({path.name: path.read_bytes() for path in (pytester.path / folder).iterdir()})
    assert kept[0] == kept[1]
    for backend in ("asyncio", "trio"):
        logs = {
            log.partition(b'{"notes"')[0]  # which have the name of the test
            for name, log in kept[0].items()
            if backend in name and name.endswith(".ndjson")
        }
        assert len(logs) == 1
        assert b'"left"' in logs.pop()


def test_a_token_repeats_one_test(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`--llm-replay` brings its seed, wants one test, and knows another scenario when it sees one."""
    pytester.makepyfile(
        """
        def test_one(tank):
            assert tank.events.header.seed == 77
        def test_two(tank):
            assert tank.events.header.seed == 77
        """
    )
    token = Schedule("hosted", 77, digest(load_scenario("calm"))).token()
    run_pytest(f"--llm-replay={token}", "-k", "test_one").assert_outcomes(passed=1)
    both = run_pytest(f"--llm-replay={token}")
    assert both.ret == pytest.ExitCode.USAGE_ERROR
    assert any("repeats one test, and 2 are selected" in line for line in both.errlines)
    other = run_pytest(f"--llm-replay={token}", "-k", "test_one", "--llm-scenario=cascade")
    other.assert_outcomes(errors=1)
    other.stdout.fnmatch_lines(["*made with another scenario*"])


def test_a_fresh_fake_for_each_example(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`fake_llm_factory` gives every Hypothesis example a provider whose time starts at zero."""
    pytester.makepyfile(
        """
        import httpx2, pytest, time
        from hypothesis import given, settings, strategies as st
        HEADERS = {"authorization": "Bearer k", "x-wavetank-item": "a"}
        BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        @settings(max_examples=20, deadline=None, database=None)
        @given(seed=st.integers(0, 99), wait=st.integers(1, 5000))
        def test_it(fake_llm_factory, seed, wait):
            fake = fake_llm_factory("calm", seed=seed)
            time.sleep(wait)
            response = httpx2.post("https://api.openai.com/v1/chat/completions", json=BODY, headers=HEADERS)
            assert response.status_code == 200
            (record,) = fake.requests
            assert record.sent == wait
            fake.check(exactly_once=["a"])
        """
    )
    run_pytest(apart=True, plugins=["hypothesispytest"]).assert_outcomes(passed=1)


def test_a_clash_of_options_names_the_other_plugin(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Two plugins with one option: the error says whose it is and how to leave one out."""
    pytester.makepyfile(
        rival="""
        def pytest_addoption(parser):
            parser.addoption("--llm-seed")
        """
    )
    pytester.makepyfile("def test_it(): pass")
    result = run_pytest("-p", "rival", apart=True, plugins=None)
    assert any("the plugin 'rival'" in line and "-p no:" in line for line in result.errlines)


def test_a_marker_alone_puts_a_test_in_a_world(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test that only has the marker meets the fake too, and overrides shape its scenario."""
    pytester.makepyfile(
        """
        import httpx2, pytest, time
        @pytest.mark.llm_scenario("calm", latency={"first_token": "5s"})
        def test_it():
            headers = {"authorization": "Bearer k"}
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            before = time.monotonic()
            httpx2.post("https://api.openai.com/v1/chat/completions", json=body, headers=headers, timeout=60)
            assert time.monotonic() - before == 5
        """
    )
    run_pytest(plugins=[]).assert_outcomes(passed=1)


def test_the_next_test_is_unharmed(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """After a killed test and a hang on a wider loop, tests run in a fresh world, or in none."""
    pytester.makepyfile(
        """
        import asyncio, threading, time
        import anyio, pytest

        @pytest.fixture(scope="module")
        async def wide():
            return 1

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.asyncio(loop_scope="module")
        async def test_wide_loop(tank):
            await asyncio.Event().wait()

        def test_killed(tank):
            threading.Thread(target=time.sleep, args=(9999,)).start()
            raise SystemError("the test is killed")

        @pytest.mark.anyio
        async def test_hangs(tank):
            await anyio.Event().wait()

        @pytest.mark.anyio
        async def test_fine(tank):
            await anyio.sleep(10)
            assert tank.now() == 10

        @pytest.mark.asyncio
        async def test_real():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            assert time.monotonic() > before
            assert threading.active_count() == 1
        """
    )
    result = run_pytest(apart=True, plugins=["anyio", "asyncio"])
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(["*deadlock*", "*SystemError: the test is killed*", "*deadlock*"])


def test_a_client_that_outlives_a_test_meets_the_next_fake(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A module-level client, sync or async, is refused by the scenario of each test it is used in."""
    pytester.makepyfile(
        """
        import httpx, openai, pytest
        CLIENT = openai.OpenAI(api_key="k", max_retries=0)
        ASYNC = openai.AsyncOpenAI(api_key="k", max_retries=0)
        PROMPT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def test_first(tank):
            CLIENT.chat.completions.create(**PROMPT)
            assert len(tank.fake_llm.requests) == 1

        @pytest.mark.llm_scenario("overloaded")
        def test_second(tank):
            with pytest.raises(openai.InternalServerError):
                CLIENT.chat.completions.create(**PROMPT)
            assert len(tank.fake_llm.requests) == 1

        @pytest.mark.llm_clock("real")
        def test_third(tank):
            CLIENT.chat.completions.create(**PROMPT)
            assert len(tank.fake_llm.requests) == 1

        @pytest.mark.anyio
        @pytest.mark.parametrize("number", [1, 2, 3])
        async def test_async(tank, number):
            for _ in range(3):
                await ASYNC.chat.completions.create(**PROMPT)
            assert len(tank.fake_llm.requests) == 3
            assert tank.now() < 5
        """
    )
    run_pytest().assert_outcomes(passed=6)


def test_anothers_wide_async_fixture_is_none_of_this_tests_business(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A virtual test under anyio runs while a module-scoped async fixture keeps anyio's shared runner."""
    pytester.makepyfile(
        """
        import anyio, pytest

        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module")
        async def wide(anyio_backend):
            yield 1

        @pytest.mark.anyio
        async def test_uses_it(wide): ...

        @pytest.mark.anyio
        async def test_virtual(tank):
            await anyio.sleep(100)
            assert tank.now() == 100

        @pytest.mark.anyio
        async def test_uses_it_again(wide):
            await anyio.sleep(0)
        """
    )
    run_pytest().assert_outcomes(passed=3)


def test_the_copy_of_a_rehearsal_is_left_out(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Its tests have the names of those that were copied; named on the command line, they are run."""
    pytester.makepyfile(test_it="def test(): pass")
    make_sandbox(pytester.path / "box")
    run_pytest("-v").assert_outcomes(passed=1)
    run_pytest("box").assert_outcomes(passed=1)
