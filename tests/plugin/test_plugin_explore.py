"""`@explore` and `llm_search`: searches as pytest nodes, their options, and their failures."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

PASSES = """
    import anyio
    import wavetank

    @wavetank.explore()
    async def test_passes(tank):
        tank.ledger.submit("a")
        answer = await tank.fake_llm.call("a", item="a")
        tank.ledger.complete("a", answer.text)
"""

RACE = """
    import anyio
    import pytest
    import wavetank

    async def race(tank):
        went = []

        async def one(name):
            await anyio.sleep(1)
            went.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(one, "early")
            group.start_soon(one, "late")
        tank.ledger.submit(went[0])
        if went[0] == "early":
            tank.ledger.complete("early")
"""

EXPLORED_RACE = (
    RACE
    + """
    test_race = wavetank.explore(schedules=50)(race)
"""
)

SEES = """
    import wavetank

    @wavetank.explore({decorator})
    async def test_sees(tank):
        print("sees", tank.scenario.name, tank.events.header.seed)
"""


def collected(result: pytest.RunResult) -> list[str]:
    """The ids that `--collect-only -q` printed."""
    return [line for line in result.outlines if "::" in line]


def explored(result: pytest.RunResult) -> tuple[int, ...]:
    """Tests, schedules and distinct schedules of the summary."""
    pattern = (
        r"(\d+) explored: (\d+) schedules?, (\d+) distinct, "
        r"(?:and \d+ runs? to repeat and shrink failures, )?in \d+\.\d\d s \(\d+ runs/s\)"
    )
    found = re.search(pattern, result.stdout.str())
    assert found is not None, result.stdout.str()
    return tuple(map(int, found.groups()))


# -- nodes -----------------------------------------------------------------------------------------


def test_there_is_a_node_for_each_backend(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """pytest sees a sync test per backend, or the one that is asked for; marks and parameters stay."""
    pytester.makepyfile(
        test_nodes="""
        import pytest
        import wavetank

        @wavetank.explore()
        async def test_both(tank): pass

        @wavetank.explore(backends="trio")
        async def test_one(tank): pass

        @pytest.mark.parametrize("number", [1, 2])
        @wavetank.explore(backends=["asyncio"])
        async def test_numbers(number, tank): pass

        class TestRows:
            @wavetank.explore(backends=["asyncio"])
            async def test_method(self, tank): pass
        """
    )
    assert collected(run_pytest("--collect-only", "-q")) == [
        "test_nodes.py::test_both[asyncio]",
        "test_nodes.py::test_both[trio]",
        "test_nodes.py::test_one[trio]",
        "test_nodes.py::test_numbers[asyncio-1]",
        "test_nodes.py::test_numbers[asyncio-2]",
        "test_nodes.py::TestRows::test_method[asyncio]",
    ]


def test_fixtures_are_made_once(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Other arguments are fixtures, made once in real time; the tank is fresh in every run."""
    pytester.makepyfile(
        """
        import sys
        import time
        import pytest
        import wavetank

        MADE, TANKS = [], []

        @pytest.fixture
        def rows():
            MADE.append(time.time())
            yield ["a", "b"]
            MADE.append("gone")

        class TestRows:
            there = "here"

            @pytest.mark.parametrize("number", [7])
            @wavetank.explore(schedules=5)
            async def test_rows(self, tank, rows, number):
                assert (rows, number, self.there) == (["a", "b"], 7, "here")
                assert tank.now() == 0
                assert len(tank.events) == 0
                TANKS.append(tank)
                tank.ledger.submit("a")
                tank.ledger.complete("a")

        def test_afterwards():
            assert MADE[1::2] == ["gone", "gone"]
            assert all(made > 1_767_225_600 + 3600 or made < 1_767_225_600 for made in MADE[::2])
            assert len(set(map(id, TANKS))) == len(TANKS) == 10
        """
    )
    run_pytest().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    "test",
    [
        "def test_it(tank): yield",
        "async def test_it(): ...",
        "def test_it(): ...",
        "async def test_it(llm): ...",
    ],
)
def test_what_cannot_be_explored_is_refused(
    pytester: pytest.Pytester, run_pytest: RunPytest, test: str
) -> None:
    """For a generator, or a test without a tank, the error says how to write it."""
    pytester.makepyfile(f"import wavetank\n\n@wavetank.explore()\n{test}\n")
    result = run_pytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*TypeError: @wavetank.explore needs a function that takes the tank*def test_it(tank): ...`"]
    )


def test_a_wrong_backend_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The backends there are stand in the error."""
    pytester.makepyfile(
        "import wavetank\n\n@wavetank.explore(backends=['curio'])\nasync def test_it(tank): ...\n"
    )
    run_pytest().stdout.fnmatch_lines(["*ValueError: there is no backend 'curio'; there are: asyncio, trio"])


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("explore", "*TypeError: the decorator is called: write `@wavetank.explore()`, with its parentheses"),
        ("explore(backends=[])", "*ValueError: backends is empty: name at least one, as in*"),
    ],
)
def test_a_test_that_would_never_be_run_is_refused(
    pytester: pytest.Pytester, run_pytest: RunPytest, decorator: str, expected: str
) -> None:
    """A decorator without parentheses, or without a backend, is an error and no skipped test."""
    pytester.makepyfile(f"import wavetank\n\n@wavetank.{decorator}\nasync def test_it(tank): ...\n")
    result = run_pytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([expected])


def test_a_wrong_argument_is_reported_by_its_text(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A wrong argument of the decorator is reported in one line, without the insides of pytest."""
    pytester.makepyfile(
        """
        import wavetank

        @wavetank.explore(level="anny", backends="asyncio")
        async def test_it(tank): ...
        """
    )
    lines = run_pytest().outlines
    heading = next(number for number, line in enumerate(lines) if "test_it[asyncio] ___" in line)
    assert lines[heading + 1].startswith("there is no level 'anny'; did you mean 'any'?")
    assert lines[heading + 2].startswith("===")


@pytest.mark.parametrize("fixture", ["fake_llm", "wavetank_tank", "fake_llm_factory"])
def test_a_tank_beside_the_search_is_refused(
    pytester: pytest.Pytester, run_pytest: RunPytest, fixture: str
) -> None:
    """A world of the test's own beside those of its runs cannot work: the text says what to do."""
    pytester.makepyfile(
        f"""
        import wavetank

        @wavetank.explore()
        async def test_explored(tank, {fixture}): ...

        def test_searching(llm_search, {fixture}): ...
        """
    )
    result = run_pytest()
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["a test that searches schedules has a fresh tank*as in tank.fake_llm"])


# -- options ---------------------------------------------------------------------------------------


def test_real_time_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A search has virtual time only: the marker on such a test is no silent wish."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        @pytest.mark.llm_clock("real")
        @wavetank.explore(backends="asyncio")
        async def test_explored(tank): ...
        """
    )
    result = run_pytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["a search is made in virtual time, so this test cannot have llm_clock*"])


def test_a_search_obeys_the_command_line(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """So many schedules, of this policy, at this level; the summary counts them."""
    pytester.makepyfile(PASSES)
    assert explored(run_pytest("--llm-schedules=7"))[:2] == (2, 14)
    assert explored(run_pytest("--llm-policy=fifo")) == (2, 2, 2)
    result = run_pytest("--llm-policy=exhaustive:1", "--llm-level=fifo-instant", "--llm-schedules=500")
    result.stdout.fnmatch_lines(["*::test_passes?asyncio?: * schedules at level fifo-instant were run"])


def test_precedence(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Command line, then decorator, then ini file, then the default."""
    pytester.makepyfile(PASSES.replace("explore()", "explore(schedules=3)"))
    pytester.makepyprojecttoml("")
    assert explored(run_pytest("-o", "llm_schedules=9"))[:2] == (2, 6)
    assert explored(run_pytest("-o", "llm_schedules=9", "--llm-schedules=4"))[:2] == (2, 8)
    pytester.makepyfile(PASSES)
    assert explored(run_pytest("-o", "llm_schedules=9"))[:2] == (2, 18)
    assert explored(run_pytest("-o", "llm_policy=fifo", "-o", "llm_level=batch"))[:2] == (2, 2)
    assert explored(run_pytest("-o", "llm_policy=fifo", "--llm-policy=random", "--llm-schedules=4"))[:2] == (
        2,
        8,
    )


@pytest.mark.parametrize(
    ("decorator", "options", "seen"),
    [
        ("schedules=1", (), "calm 0"),
        ("'mixed', schedules=1", (), "mixed 0"),
        ("'mixed', schedules=1", ("--llm-scenario=cascade",), "mixed 0"),
        ("schedules=1", ("--llm-scenario=cascade", "--llm-seed=4"), "cascade 4"),
        ("schedules=1, seed=6", ("-o", "llm_seed=5"), "calm 6"),
        ("schedules=1, seed=6", ("--llm-seed=7",), "calm 7"),
        ("schedules=1", ("-o", "llm_seed=5", "-o", "llm_scenario=mixed"), "mixed 5"),
    ],
)
def test_what_a_run_sees(
    pytester: pytest.Pytester, run_pytest: RunPytest, decorator: str, options: tuple[str, ...], seen: str
) -> None:
    """A scenario of the decorator stays; a seed of the command line counts for more than the decorator's."""
    pytester.makepyfile(SEES.format(decorator=decorator))
    run_pytest("-s", *options).stdout.fnmatch_lines([f"*sees {seen}"])


def test_several_scenarios_parametrise_the_explored(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test without a scenario of its own, or with `llm_search`, runs once for each; others do not."""
    pytester.makepyfile(
        test_ids=SEES.format(decorator="backends='trio'")
        + """
    @wavetank.explore("mixed", backends="trio")
    async def test_own(tank): ...

    def test_fixture(llm_search): ...
"""
    )
    result = run_pytest("--llm-scenario=calm", "--llm-scenario=cascade", "--collect-only", "-q")
    assert sorted(collected(result)) == [
        "test_ids.py::test_fixture[calm]",
        "test_ids.py::test_fixture[cascade]",
        "test_ids.py::test_own[trio]",
        "test_ids.py::test_sees[trio-calm]",
        "test_ids.py::test_sees[trio-cascade]",
    ]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--llm-schedules=0", "--llm-schedules=0: give a whole number of at least 1"),
        ("--llm-schedules=ten", "--llm-schedules=ten: give a whole number of at least 1"),
        ("--llm-policy=portfolo", "--llm-policy=portfolo: *did you mean 'portfolio'?"),
        ("--llm-policy=pct:3", "--llm-policy=pct:3: *only 'exhaustive' takes a bound*"),
        ("--llm-level=bach", "--llm-level=bach: *did you mean 'batch'?"),
        ("-ollm_level=bach", "llm_level = bach: *did you mean 'batch'?"),
        ("--llm-seed=-3", "--llm-seed=-3: a seed is a whole number from 0*"),
    ],
)
def test_wrong_words_are_usage_errors(
    pytester: pytest.Pytester, run_pytest: RunPytest, option: str, expected: str
) -> None:
    """Before anything runs, the error names the option and the nearest right word."""
    pytester.makepyfile(PASSES)
    result = run_pytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{expected}"])


# -- markers ---------------------------------------------------------------------------------------


def test_a_marker_names_the_scenario(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`llm_scenario` with overrides counts for an explored test, and the failure's line needs no option."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        @pytest.mark.llm_scenario("calm", limits={"concurrent": 3})
        @wavetank.explore(schedules=2, backends="trio")
        async def test_marked(tank):
            assert tank.scenario.limits.concurrent == 3
            tank.ledger.submit("lost")
        """
    )
    result = run_pytest("--llm-scenario=cascade")
    result.assert_outcomes(failed=1)
    replayed(result, run_pytest).assert_outcomes(failed=1)


def test_a_wrong_marker_is_a_usage_error(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A missing scenario is reported before anything runs."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        @pytest.mark.llm_scenario("cascde")
        @wavetank.explore()
        async def test_marked(tank): ...
        """
    )
    result = run_pytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no scenario 'cascde'; did you mean 'cascade'?*"])


def test_checks_may_be_chosen(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Marker, command line, decorator: the first of them that names checks decides."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        async def lost(tank):
            tank.ledger.submit("a")

        test_default = wavetank.explore(schedules=2)(lost)
        test_decorated = wavetank.explore(schedules=2, checks="liveness")(lost)
        test_marked = pytest.mark.llm_checks("liveness")(wavetank.explore(schedules=2, checks="strict")(lost))
        """
    )
    run_pytest().assert_outcomes(failed=2, passed=4)
    run_pytest("--llm-checks=liveness").assert_outcomes(passed=6)
    run_pytest("--llm-checks=exactly_once").assert_outcomes(failed=4, passed=2)


# -- failures and their repetition -----------------------------------------------------------------


def replayed(
    result: pytest.RunResult, run_pytest: RunPytest, *, without_id: bool = False
) -> pytest.RunResult:
    """The run of the line that a failure gave to repeat it."""
    found = re.search(r"to repeat it: pytest '(.+?)'((?: --\S+)+)", result.stdout.str())
    assert found is not None, "the failure has no line that repeats it"
    nodeid, options = found.groups()
    return run_pytest(nodeid.partition("[")[0] if without_id else nodeid, *options.split())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("without_id", [False, True])
def test_the_replay_line_repeats_a_race(
    pytester: pytest.Pytester, run_pytest: RunPytest, backend: str, without_id: bool
) -> None:
    """Run as it stands, or with the backend left out of the id, the line gives the same failure."""
    pytester.makepyfile(EXPLORED_RACE)
    first = run_pytest("-k", backend, "--llm-seed=3")
    first.assert_outcomes(failed=1, deselected=1)
    first.stdout.fnmatch_lines(["check (exactly_once) in schedule * of the search (*), reachable on trio*"])
    again = replayed(first, run_pytest, without_id=without_id)
    again.assert_outcomes(failed=1, deselected=1 if without_id else 0)
    again.stdout.fnmatch_lines(
        ["check, repeated from its token", "1 explored: 1 schedule, 1 distinct, in 0.00 s"]
    )
    assert report_of(first)[1:] == report_of(again)[1:]


def report_of(result: pytest.RunResult) -> list[str]:
    """The lines of the one failure, from its heading to the line that repeats it.

    The run that passes beside it is left out: only a search makes one.
    """
    lines = result.outlines
    first = next(number for number, line in enumerate(lines) if line.startswith("check"))
    last = next(number for number, line in enumerate(lines) if line.startswith("to repeat it:"))
    report = "\n".join(lines[first : last + 1])
    return re.sub(r"beside it a run that passes.*\n(?: .*\n)+", "", report).split("\n")


def test_a_replay_of_more_than_one_test_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A token repeats one test: its id is to be given."""
    pytester.makepyfile(EXPLORED_RACE + "\n    test_other = wavetank.explore()(race)\n")
    result = run_pytest("--llm-replay=wt1-AA23OXoAN50")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llm-replay repeats one test, and 2 are selected: give the test's id*"])


def test_a_replay_on_another_backend_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The id of the one backend and the token of the other select nothing, and the error says so."""
    pytester.makepyfile(EXPLORED_RACE)
    first = run_pytest("-k", "asyncio")
    found = re.search(r"--llm-replay=\S+", first.stdout.str())
    assert found is not None
    result = run_pytest("-k", "trio", found.group())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*0 are selected: give the test's id with it, that of the backend the token was made on"]
    )


def test_a_token_of_a_changed_test_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The failure says that the program has changed, or that the token is damaged, and nothing is run."""
    pytester.makepyfile(EXPLORED_RACE)
    first = run_pytest("-k", "trio")
    pytester.makepyfile(EXPLORED_RACE.replace('one, "late"', 'one, "later"'))
    again = replayed(first, run_pytest)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["the program or its workload has changed since the schedule token was made*"])
    torn = run_pytest("-k", "trio", "--llm-replay=wt1-AA23OXoAN5x")
    torn.stdout.fnmatch_lines(["the schedule token 'wt1-AA23OXoAN5x' is damaged*"])


def test_an_error_shows_the_user_s_own_traceback(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The frames of the test are shown, none of ours, and the report stands beside the error."""
    pytester.makepyfile(
        test_error="""
        import anyio
        import wavetank

        async def deep(tank):
            await anyio.sleep(1)
            raise LookupError("no such row")

        @wavetank.explore(schedules=5)
        async def test_error(tank):
            await deep(tank)

        @wavetank.explore(schedules=5)
        async def test_group(tank):
            async with anyio.create_task_group() as group:
                group.start_soon(deep, tank)
        """
    )
    result = run_pytest()
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            ">       await deep(tank)",
            '>       raise LookupError("no such row")',
            "E       LookupError: no such row",
            "E       error (LookupError) in schedule 1 of the search (fifo), reachable on stock asyncio*",
            "E       to repeat it: pytest 'test_error.py::test_error?asyncio?' * --llm-replay=wt1-*",
            "  | error (ExceptionGroup of LookupError) in schedule 1*",
            "    | LookupError: no such row",
        ]
    )
    for name in ("run.py", "ended.py", "explore.py", "_asyncio.py", "base_events.py"):
        result.stdout.no_fnmatch_line(f"*{name}*")


def test_outcomes_of_pytest_go_through(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """skip, xfail and fail inside an explored test mean what they mean elsewhere."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        @wavetank.explore()
        async def test_skip(tank): pytest.skip("not here")

        @wavetank.explore()
        async def test_xfail(tank): pytest.xfail("known")

        @wavetank.explore()
        async def test_fail(tank): pytest.fail("broken")

        @pytest.mark.xfail(raises=wavetank.CheckFailed, strict=True)
        @wavetank.explore()
        async def test_marked(tank): tank.ledger.submit("lost")
        """
    )
    result = run_pytest()
    result.assert_outcomes(skipped=2, xfailed=4, failed=2)
    result.stdout.fnmatch_lines(
        ['>   async def test_fail(tank): pytest.fail("broken")', "E   Failed: broken"]
    )


def test_a_test_that_differs_from_run_to_run(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """It is described in text only: the first difference and the likely causes."""
    pytester.makepyfile(
        """
        import wavetank

        RUNS = []

        @wavetank.explore(backends="asyncio")
        async def test_state(tank):
            RUNS.append(1)
            tank.ledger.submit(f"row-{len(RUNS)}")
        """
    )
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "a failing schedule does not repeat. It failed with:",
            "Repeated, event 1 differs: first «at 0s: 'row-1': submitted by *», "
            "then «at 0s: 'row-2': submitted by *».",
            "*state that one run leaves to the next.",
        ]
    )


# -- llm_search ------------------------------------------------------------------------------------


def test_the_fixture_searches(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`llm_search(main, **options)` obeys the command line and gives the result; replay picks the search."""
    pytester.makepyfile(
        RACE
        + """
    def test_search(llm_search):
        for backend in ("asyncio", "trio"):
            result = llm_search(race, schedules=50, backend=backend)
            if backend == "trio":
                result.check()
"""
    )
    first = run_pytest()
    first.assert_outcomes(failed=1)
    again = replayed(first, run_pytest)
    again.assert_outcomes(failed=1)
    assert report_of(first)[1:] == report_of(again)[1:]
    run_pytest("--llm-level=fifo").assert_outcomes(passed=1)


def test_a_token_for_none_of_its_searches(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test must not pass because a token of another backend skipped all it does."""
    pytester.makepyfile(
        RACE + "\n    def test_search(llm_search):\n        llm_search(race, backend='trio').check()\n"
    )
    result = run_pytest("--llm-replay=wt1-AA23OXoAN50")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["--llm-replay: the token was made on a backend that no search of this test is on"]
    )


# -- summary ---------------------------------------------------------------------------------------


def test_the_summary_through_xdist(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The numbers come from the workers; what no run met is listed, and logs of failures are kept."""
    pytester.makepyfile(
        test_summary=EXPLORED_RACE
        + """
    @wavetank.explore("cascade", schedules=4)
    async def test_idle(tank): ...
"""
    )
    result = run_pytest("-n2", "--llm-report=retain-on-failure", apart=True, plugins=["xdist"])
    result.assert_outcomes(failed=2, passed=2)
    tests, schedules, distinct = explored(result)
    assert tests == 4
    assert 8 < schedules < 8 + 100
    assert 0 < distinct <= schedules
    result.stdout.fnmatch_lines_random(
        [
            "test_summary.py::test_idle?trio?: * in any schedule: the result says nothing about that",
            "test_summary.py::test_race?asyncio?: event log of the failure in *.ndjson, timeline in *.html",
        ]
    )
    assert len(list((pytester.path / "llm-report").glob("*.html"))) == 2


def test_tests_without_a_search_are_not_counted(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test that never searched is none of the explored."""
    pytester.makepyfile("def test_it(llm_search): ...")
    result = run_pytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*explored*")
