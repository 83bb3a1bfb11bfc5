"""The pytest plugin: options, markers, fixtures, header and summary.

Nothing else of wavetank is imported until a test uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import pytest

from ..extensions import ExtensionError
from . import autouse, options, per_test, refusals, search_settings
from .options import FACTS, SEARCHES

if TYPE_CHECKING:
    from pathlib import Path

    from ..tank.failure import CheckFailed
    from ..tank.fake_llm import FakeLLM
    from ..tank.hosted_world import Hosted
    from ..tank.shared_process import SharedProcess
    from ..tank.tank import Tank
    from .explored_tests import Search

LLM: Final = "wavetank_llm"
FACTORY: Final = "fake_llm_factory"
SEARCH: Final = "wavetank_search"
EXPLORED: Final = "wavetank_explored"
_MARKERS: Final = (
    "llm_scenario(name, **overrides): run the test under this scenario, whatever the command line says",
    'llm_clock(mode): "virtual" or "real" time for this test',
    "llm_checks(*checks): judge the test by these checks at its end: names, or callables of your own",
    "llm_expect(**expectations): what tank.expect takes, for a test without the tank",
    "llm_interrupt(after_interrupt=None): interrupt an explored test, and run after_interrupt(tank) then",
    "llm_max_virtual_seconds(seconds): the most virtual time the test may take",
    "llm_off: leave the test out: it has real time and the real network, whatever the command line says",
)

_hosted: pytest.StashKey[Hosted] = pytest.StashKey()
_process: pytest.StashKey[SharedProcess] = pytest.StashKey()
_begun: pytest.StashKey[pytest.Item] = pytest.StashKey()
"""Of a session: the test that has a world and is not torn down yet."""

_running: Final[list[Hosted]] = []
"""The world of the test that is called now; fixtures of wider scope look it up here."""


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add_options(parser, pluginmanager)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int | pytest.ExitCode | None, Any]:
    """After `--help`, say what installed packages add to the values of our options."""
    status = yield
    if config.getoption("help"):
        from .added_names import added_names

        print("", *added_names(), sep="\n")
    return status


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before the project is imported: its modules make locks that its tests wait for."""
    if early_config.known_args_namespace.llm_scenario or early_config.getini(autouse.KEY):
        _process_of(early_config).prepare()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    options.validate(config)
    options.configure_hosts(config)
    search_settings.validate(config)
    autouse.rule(config)
    path = options.report_json(config)
    if path is not None and not hasattr(config, "workerinput"):  # which a worker of pytest-xdist has
        from .report_json import ReportJson

        config.pluginmanager.register(ReportJson(path), "wavetank-report-json")


def pytest_unconfigure(config: pytest.Config) -> None:
    process = config.stash.get(_process, None)
    if process is not None:
        process.close()
    origin = sys.modules.get("wavetank.sim.origin")
    if origin is not None:
        origin.forget_project()  # another session may follow in this process, for another project
    hosts = sys.modules.get("wavetank.provider.host_rules")
    if hosts is not None:
        hosts.forget_configured()


def _process_of(config: pytest.Config) -> SharedProcess:
    if _process not in config.stash:
        from ..provider.vendor_registry import cards
        from ..tank.shared_process import SharedProcess

        try:
            tuple(cards())  # before anything is replaced: a package may have one that cannot be used
        except ExtensionError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_process] = SharedProcess()
    return config.stash[_process]


def pytest_report_header(config: pytest.Config) -> str | None:
    chosen = options.scenarios(config)
    token = options.given(config, "replay")
    fixed = f"replaying {token}" if token else f"seed {options.seed(config)}"
    return f"wavetank: scenario {', '.join(chosen)}, {fixed}" if chosen else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ours = any(hasattr(report, FACTS) or hasattr(report, SEARCHES) for report in reports)
    config = terminalreporter.config
    counted = bool(config.getoption("--llm-scenario") or autouse.rule(config).on)
    begun = sys.modules.get(f"{__name__}.under_way")
    interrupted = config.stash.get(begun.UNDER_WAY, None) if begun is not None else None
    if ours or counted or interrupted is not None:
        from .summary import write_summary

        write_summary(terminalreporter, reports, counted=counted, interrupted=interrupted)


# -- which tests ---------------------------------------------------------------------------------


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what `wavetank rehearse --sandbox` has copied, unless it is named on the command line."""
    if not collection_path.is_dir():
        return None
    from ..rehearsal.sandbox import OF_A_SANDBOX

    return True if (collection_path / OF_A_SANDBOX).is_file() else None


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = options.scenarios(metafunc.config)
    marked = next(metafunc.definition.iter_markers("llm_scenario"), None)
    if len(chosen) > 1 and marked is None and _takes_a_scenario(metafunc):
        metafunc.fixturenames.append(options.PARAMETER)
        metafunc.parametrize(options.PARAMETER, chosen, ids=[per_test.short_name(name) for name in chosen])


def _takes_a_scenario(metafunc: pytest.Metafunc) -> bool:
    """Whether a test runs under the scenario of the command line."""
    explored = getattr(metafunc.function, EXPLORED, None)
    if explored is not None:
        return explored.scenario is None
    if LLM in metafunc.fixturenames or SEARCH in metafunc.fixturenames:
        return True
    return autouse.rule(metafunc.config).includes(metafunc.definition)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    chosen = options.scenarios(collector.config)
    autouse.one_for_each(collector, report, chosen, lambda test: LLM in test.fixturenames)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and _wants_a_world(item) and LLM not in item.fixturenames:
            item.fixturenames.append(LLM)
    token = options.given(config, "replay")
    if token:
        from .explored_tests import of_another_backend

        out = [item for item in items if of_another_backend(item, token)]
        if out:
            config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item not in out]


def _wants_a_world(item: pytest.Function) -> bool:
    """Whether a test has the marker or makes fakes of its own; a wrong marker is reported at once."""
    marked = item.get_closest_marker("llm_scenario") is not None
    if marked:
        per_test.scenario_of(item)
    return SEARCH not in item.fixturenames and (marked or FACTORY in item.fixturenames)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    ours = [item for item in session.items if _meets(item) or SEARCH in getattr(item, "fixturenames", ())]
    if options.given(session.config, "replay") and len(ours) != 1:
        raise pytest.UsageError(
            f"--llm-replay repeats one test, and {len(ours)} are selected: give the test's id with it"
            + ("" if ours else ", that of the backend the token was made on")
        )


def _meets(item: pytest.Item) -> bool:
    """Whether a test runs in a world of its own, which it has asked for or not."""
    if not isinstance(item, pytest.Function) or SEARCH in item.fixturenames:
        return False
    return LLM in item.fixturenames or autouse.rule(item.config).includes(item)


# -- one test ------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    if isinstance(item, pytest.Function) and SEARCH in item.fixturenames:
        _show_verdicts_plainly(item)
        if {LLM, FACTORY} & {*item.fixturenames}:
            _refuse(item, refusals.TWO_WORLDS)
            return (yield)
        if any(mark.name == "llm_clock" and "real" in mark.args for mark in item.own_markers):
            _refuse(item, refusals.NO_REAL_TIME)
            return (yield)
    if not isinstance(item, pytest.Function) or not _meets(item):
        with _left_alone(item):
            return (yield)
    if item.get_closest_marker("llm_off") is not None:
        _refuse(item, refusals.OFF)
        return (yield)
    with ExitStack() as stack:
        try:
            stack.enter_context(_set_up(item).phase())
        except (Exception, pytest.fail.Exception) as error:  # the latter by a timeout
            # Here, before the hooks of other plugins, it would harm them: they are not set up.
            _refuse(item, str(error) if isinstance(error, pytest.UsageError | ExtensionError) else error)
        return (yield)


def _set_up(item: pytest.Function) -> Hosted:
    """Make the test's world, to be left when the test is torn down."""
    from .facts import set_properties

    item.session.stash[_begun] = item
    hosted = item.stash[_hosted] = _host(item)
    set_properties(
        item,
        scenario=hosted.tank.scenario.name,
        seed=hosted.tank.events.header.seed,
        token=hosted.schedule,
    )
    _leave_before_wider_fixtures(item, hosted)
    _show_verdicts_plainly(item)
    return hosted


def _left_alone(item: pytest.Item) -> AbstractContextManager[None]:
    """A test that does not meet the fake has the process to itself."""
    process = item.config.stash.get(_process, None)
    return nullcontext() if process is None else process.left_alone()


def _refuse(item: pytest.Function, why: str | BaseException) -> None:
    """Fail the set-up of a test, by a text or an error, before any fixture is made."""

    def refused() -> None:
        if isinstance(why, str):
            pytest.fail(why, pytrace=False)
        raise why

    item.setup = refused  # type: ignore[method-assign]


def _host(item: pytest.Function) -> Hosted:
    from ..sim.origin import set_project
    from ..tank.hosted_world import Hosted
    from .scopes import refuse_wider_trio

    set_project(item.config.rootpath)
    clock = per_test.clock_of(item)
    if clock == "virtual":
        refuse_wider_trio(item)
    name, scenario = per_test.scenario_of(item)
    seed = per_test.seed_of(item, scenario)
    expects = per_test.expectations_of(item)
    hosted = Hosted(
        scenario,
        seed=seed,
        replay=per_test.replay_command(item, name),
        process=_process_of(item.config),
        clock=clock,
        asked=LLM in item.fixturenames,
        max_virtual_seconds=per_test.max_virtual_seconds_of(item),
        max_cpu_seconds=options.max_cpu_seconds(item.config),
        expects=expects,
    )
    hosted.judge_at_end = per_test.checks_of(item) or ("default" if per_test.is_judged_by(expects) else None)
    return hosted


def _leave_before_wider_fixtures(item: pytest.Function, hosted: Hosted) -> None:
    """End the test's world when its own fixtures are torn down, before those of wider scope are."""
    teardown = item.teardown

    def leave() -> None:
        teardown()
        hosted.close()
        hosted.leave_to_wider_fixtures()

    item.teardown = leave  # type: ignore[method-assign]


def _show_verdicts_plainly(item: pytest.Function) -> None:
    """A failed verdict or a refusal is shown by its text; else the program's own frames are shown."""
    from ..tank.failure import CheckFailed, Diverged

    repr_failure = item.repr_failure

    def shown(excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        if isinstance(excinfo.value, CheckFailed):
            return _with_notes(excinfo, excinfo.value, full=item.config.get_verbosity() > 1)
        if isinstance(excinfo.value, Diverged):
            return excinfo.getrepr(style="value")
        if SEARCH in item.fixturenames:
            from .explored_tests import is_refusal, with_own_frames

            if is_refusal(excinfo):
                return excinfo.getrepr(style="value")
            excinfo = with_own_frames(excinfo)
        return repr_failure(excinfo)

    item.repr_failure = shown  # type: ignore[method-assign]


def _with_notes(excinfo: pytest.ExceptionInfo[BaseException], failed: CheckFailed, *, full: bool) -> Any:
    """The text of failed checks and of the notes on it, such as the schedule of an explored test."""
    shown: Any = excinfo.getrepr(style="value")
    lines = shown.reprtraceback.reprentries[-1].lines
    if full:
        lines[:] = failed.full_text.splitlines()
    for note in getattr(failed, "__notes__", ()):
        lines += note.splitlines()
    return shown


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[Any]:
    item = request._pyfuncitem
    hosted = item.stash.get(_hosted, None)
    if hosted is None or fixturedef.scope == "function":
        return (yield)
    with hosted.suspended():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    __tracebackhide__ = True
    hosted = item.stash.get(_hosted, None)
    if hosted is None:
        with _left_alone(item):
            return (yield)
    error: BaseException | None = None
    _running.append(hosted)
    try:
        with hosted.phase():
            yield
    except BaseException as raised:
        error = raised
        if hosted.hung and not isinstance(raised, KeyboardInterrupt):
            hosted.over(raised)
            hosted.raise_failure()
        raise
    finally:
        _running.remove(hosted)
        hosted.over(error)
        if isinstance(error, Exception) and hosted.concerned:
            item.add_report_section("call", "wavetank", hosted.story())
    hosted.raise_failure()
    hosted.warn()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    hosted = item.stash.get(_hosted, None)
    if hosted is None:
        with _left_alone(item):
            return (yield)
    with _torn_down(item, hosted):
        return (yield)


@contextmanager
def _torn_down(item: pytest.Item, hosted: Hosted) -> Iterator[None]:
    """The fixtures of a test are torn down inside, in its world, which is left then."""
    try:
        with hosted.phase():
            try:
                yield
            finally:
                hosted.close()
                hosted.leave_to_wider_fixtures()
    finally:
        # pytest keeps its items until the session ends: the worlds of all tests would fill the memory.
        del item.stash[_hosted], item.session.stash[_begun]
        vars(item).pop("teardown", None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that was interrupted is torn down at the end of the session: in its world, too."""
    item = session.stash.get(_begun, None)
    if item is not None and _hosted in item.stash:
        with _torn_down(item, item.stash[_hosted]):
            session._setupstate.teardown_exact(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    explored = call.when == "call" and SEARCH in getattr(item, "fixturenames", ())
    if explored:
        from .search_results import name_properties, note_search
        from .under_way import over

        over(item.config)
        name_properties(item)
    report = yield
    if explored:
        note_search(item, report)
    hosted = item.stash.get(_hosted, None)
    if hosted is not None and (report.when == "call" or (report.when == "setup" and report.failed)):
        from .facts import note

        note(item, report, call, hosted)
    return report


# -- fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def wavetank_llm(request: pytest.FixtureRequest) -> FakeLLM:
    """The fake provider; HTTP clients of the test meet it at their real URLs."""
    hosted: Hosted = request.node.stash[_hosted]
    return hosted.tank.fake_llm


@pytest.fixture
def wavetank_tank(request: pytest.FixtureRequest, wavetank_llm: FakeLLM) -> Tank:  # noqa: ARG001
    """The whole world of the test: `fake_llm`, `ledger`, `events`, `now()`; judged at the end."""
    hosted: Hosted = request.node.stash[_hosted]
    if hosted.judge_at_end is None:
        hosted.judge_at_end = "default"
    return hosted.tank


@pytest.fixture
def fake_llm(wavetank_llm: FakeLLM) -> FakeLLM:
    """The fake provider; a project's own fixture of this name takes its place."""
    return wavetank_llm


@pytest.fixture
def tank(wavetank_tank: Tank) -> Tank:
    """The whole world of the test; a project's own fixture of this name takes its place."""
    return wavetank_tank


@pytest.fixture
def wavetank_search(request: pytest.FixtureRequest) -> Generator[Search]:
    """Searches schedules of a program: `wavetank_search(main, **options)`, as the command line wants it."""
    from ..tank.search.explore import searching_by
    from .explored_tests import Search

    search = Search(request.node)
    with searching_by(search):
        yield search
    search.finish()


@pytest.fixture
def llm_search(wavetank_search: Search) -> Search:
    """`llm_search(main, **options) -> Result`: `wavetank.search` that obeys the command line."""
    return wavetank_search


@pytest.fixture(scope="session")
def fake_llm_factory() -> Callable[..., FakeLLM]:
    """Makes a fresh fake for each example of a `@given` test: `fake_llm_factory(scenario=None, seed=None)`.

    Its time starts when it is made, and it takes the place of the one made before.
    """
    return lambda scenario=None, seed=None: _running[-1].fresh_fake(scenario, seed)
