"""The plugin's options and markers: what a test is to run under.

Precedence: marker, command line, ini file, default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ..shown import shortened
from ..text import did_you_mean, parse_seed

if TYPE_CHECKING:
    from ..checks import Check, Checks
    from ..scenario import Scenario
    from ..tank.expectations import Value

DEFAULT_SCENARIO: Final = "calm"
DEFAULT_REPORT_DIR: Final = "llm-report"
DEFAULT_REPORT_FILES: Final = ("html", "trace.json")
DEFAULT_DATABASE: Final = ".wavetank"
EXPECT: Final = "llm_expect"
IGNORED_HOSTS: Final = "llm_ignored_hosts"
PARAMETER: Final = "_wavetank_scenario"
FACTS: Final = "wavetank"
SEARCHES: Final = "wavetank_explored"
"""The attributes of a test report that have what is known of a test; both travel between processes."""
SCENARIO: Final[pytest.StashKey[str]] = pytest.StashKey()
"""The scenario of a test of unittest, which has no parameters, where there are several."""
CLOCKS: Final = ("virtual", "real")
REPORTS: Final = ("off", "retain-on-failure", "on")

_loaded: Final[pytest.StashKey[dict[str, Scenario]]] = pytest.StashKey()

_OPTIONS: Final = (
    ("seed", "N", "0", "seed of the provider's keyed picks (default 0)"),
    ("clock", "MODE", "virtual", "time of the tests: virtual (default) or real"),
    (
        "checks",
        "NAMES",
        "",
        "judge every test by these checks at its end: names with commas, default, strict; "
        "+NAME and -NAME change the default ones",
    ),
    ("max-virtual-seconds", "SECONDS", "", "the most virtual time a test may take (default: about a day)"),
    (
        "max-cpu-seconds",
        "SECONDS",
        "",
        "the most CPU time a test may use without an outcome while virtual time passes (default 30)",
    ),
    ("schedules", "N", "", "how many schedules an explored test is searched for (default 1000)"),
    (
        "policy",
        "NAME",
        "",
        "how schedules are chosen: portfolio (default), fifo, random, urw, pct, exhaustive",
    ),
    ("level", "NAME", "", "which orders a search may use: any (default), batch, fifo; also with -instant"),
    (
        "jobs",
        "N|auto",
        "",
        "how many processes search an explored test (default auto: one on each core where that is safe)",
    ),
    (
        "database",
        "DIR|none",
        DEFAULT_DATABASE,
        f"where the failures of explored tests are kept, to be tried first (default {DEFAULT_DATABASE} "
        "in the rootdir)",
    ),
    ("replay", "TOKEN", "", "repeat the run a failure message named; select its test"),
    (
        "report",
        "WHEN",
        "off",
        "write each test's event log and timeline: off (default), retain-on-failure, on",
    ),
    (
        "report-files",
        "NAMES",
        "",
        "what is written beside each event log: html and trace.json (default), and what packages add; "
        "names with commas, +NAME and -NAME change the default ones",
    ),
    ("report-json", "FILE", "", "write what came of each test, with its verdicts, to this JSON file"),
    ("report-dir", "DIR", DEFAULT_REPORT_DIR, f"where event logs are written (default {DEFAULT_REPORT_DIR})"),
)


def add_options(parser: pytest.Parser, plugins: pytest.PytestPluginManager) -> None:
    """Add each option and its ini twin.

    Raises:
        pytest.UsageError: another plugin has an option of that name; the text names it.
    """
    group = parser.getgroup("wavetank", "wavetank: a fake LLM provider with scripted rate limits")
    try:
        group.addoption(
            "--llm-scenario",
            action="append",
            metavar="NAME|PATH",
            help="run every test against a fake provider that plays this scenario, in virtual time; "
            "repeat it, or say 'all', for several",
        )
        group.addoption(
            "--llm-host",
            action="append",
            default=[],
            metavar="HOST[:PORT][/PREFIX]=DIALECT",
            help="let the fake answer for this host, too, such as llm-gateway.corp.example=openai; "
            "repeat it for several",
        )
        group.addoption(
            "--llm-interrupt",
            action="store_true",
            help="interrupt explored tests, as Ctrl-C does, in half of their schedules",
        )
        for name, metavar, _, text in _OPTIONS:
            group.addoption(f"--llm-{name}", metavar=metavar, help=text)
    except ValueError as error:
        raise pytest.UsageError(_clash(str(error), plugins)) from None
    parser.addini("llm_scenario", "default for --llm-scenario", type="args", default=[])
    parser.addini(
        "llm_hosts", "hosts that the fake answers for, too, one HOST=DIALECT a line", type="linelist"
    )
    parser.addini(
        IGNORED_HOSTS,
        "hosts that may be refused, one pattern a line: the check `hosts` and the summary pass over them",
        type="linelist",
    )
    parser.addini(
        "llm_autouse",
        "which tests meet the fake without asking for it: true, false, or paths and a marker expression; "
        "without it all of them do when the command line names a scenario",
        default="",
    )
    parser.addini("llm_interrupt", "default for --llm-interrupt", type="bool", default=False)
    for name, _, default, _ in _OPTIONS:
        parser.addini(ini_name(name), f"default for --llm-{name}", default=default)
    parser.addini(
        EXPECT, "what every test that meets the fake must hold to, a line each: failed = 0", type="linelist"
    )


def ini_name(name: str) -> str:
    """The ini twin of an option."""
    return "llm_" + name.replace("-", "_")


def _clash(error: str, plugins: pytest.PytestPluginManager) -> str:
    names = [name for name, plugin in plugins.list_name_plugin() if _adds_llm_options(plugin)]
    who = f"the plugin {' or '.join(map(repr, names))}" if names else "another plugin"
    return (
        f"wavetank and {who} want the same command-line option ({error}): "
        "leave one of the two out with -p no:NAME"
    )


def _adds_llm_options(plugin: object) -> bool:
    import inspect

    hook = getattr(plugin, "pytest_addoption", None)
    if hook is None or getattr(hook, "__module__", "").startswith(__name__.partition(".")[0] + "."):
        return False
    try:
        return "--llm-" in inspect.getsource(hook)
    except (OSError, TypeError):
        return False


def given(config: pytest.Config, name: str) -> str:
    """The value of an option: from the command line, else the ini file, else the default."""
    value = config.getoption(f"--llm-{name}")
    return str(config.getini(ini_name(name)) if value is None else value)


def given_as(config: pytest.Config, name: str) -> str:
    """The value of an option as it was written: `--llm-seed=1` on the command line, else `llm_seed = 1`."""
    value = shortened(given(config, name))
    by_ini = config.getoption(f"--llm-{name}") is None
    return f"{ini_name(name)} = {value}" if by_ini else f"--llm-{name}={value}"


def configure_hosts(config: pytest.Config) -> None:
    """Let the fake answer for the hosts that the command line and the ini file name.

    Raises:
        pytest.UsageError: a line is no host, its dialect is unknown, or a host has two.
    """
    given_lines = {
        "--llm-host": config.getoption("--llm-host"),
        "llm_hosts": [line for line in config.getini("llm_hosts") if not line.startswith("#")],
    }
    if not any(given_lines.values()):
        return
    from ..provider import host_rules as hosts

    given_first: set[tuple[str, str]] = set()
    for source, lines in given_lines.items():
        places = set()
        for line in lines:
            try:
                rule = hosts.written_rule(line)
                if (rule.host, rule.prefix) not in given_first:
                    hosts.configure_host(rule)
            except ValueError as error:
                raise pytest.UsageError(f"{source} {line!r}: {error}") from None
            places.add((rule.host, rule.prefix))
        given_first |= places  # the command line wins over the ini file


def validate(config: pytest.Config) -> None:
    """Read every option of a single test once, before anything runs.

    Raises:
        pytest.UsageError: a value is wrong; the text names the option and the nearest right value.
    """
    for name, _, _, _ in _OPTIONS:
        if config.getoption(f"--llm-{name}") == "":
            raise pytest.UsageError(f"--llm-{name}= has no value: give one, or leave the option out")
    for name in scenarios(config):
        load(config, name)
    seed(config)
    one_of(given(config, "clock"), CLOCKS, given_as(config, "clock"))
    one_of(given(config, "report"), REPORTS, given_as(config, "report"))
    checks_of(config)
    report_files(config)
    max_virtual_seconds(config)
    max_cpu_seconds(config)
    expectations(config)
    ignored_hosts(config)


def one_of(value: str, words: Sequence[str], where: str) -> str:
    """The value, if it is one of the allowed ones.

    Raises:
        pytest.UsageError: it is not.
    """
    if value in words:
        return value
    meant = did_you_mean(value, words, end=" ")
    raise pytest.UsageError(f"{where}: {meant}choose from: {', '.join(words)}")


def checks_of(config: pytest.Config) -> tuple[Check, ...]:
    """The checks that the command line or the ini file names; empty if neither does.

    Raises:
        pytest.UsageError: there is no such check.
    """
    text = given(config, "checks")
    return checks_named(text, given_as(config, "checks")) if text else ()


def checks_named(checks: Checks, where: str) -> tuple[Check, ...]:
    """The checks meant.

    Raises:
        pytest.UsageError: there is no such check.
    """
    from ..checks import UnknownCheck, named

    try:
        return named(checks)
    except UnknownCheck as error:
        raise pytest.UsageError(f"{where}: {error}") from None


def max_virtual_seconds(config: pytest.Config) -> float | None:
    """The budget of virtual time that the command line or the ini file sets, if one does.

    Raises:
        pytest.UsageError: it is no number of seconds above 0.
    """
    return _seconds(config, "max-virtual-seconds", "virtual")


def max_cpu_seconds(config: pytest.Config) -> float | None:
    """The budget of CPU time without an outcome that the command line or the ini file sets, if one does.

    Raises:
        pytest.UsageError: it is no number of seconds above 0.
    """
    return _seconds(config, "max-cpu-seconds", "CPU")


def database(config: pytest.Config) -> Path | None:
    """The folder in which failures are kept, if they are; one in the ini file is relative to the rootdir."""
    on_line = config.getoption("--llm-database")
    name = given(config, "database")
    if name == "none":
        return None
    return (config.rootpath if on_line is None else config.invocation_params.dir.absolute()) / name


def report_json(config: pytest.Config) -> Path | None:
    """Where the report for other programs is written, if it is; a test may change the folder meanwhile."""
    name = given(config, "report-json")
    return config.invocation_params.dir.absolute() / name if name else None


def report_files(config: pytest.Config) -> tuple[str, ...]:
    """The endings of the files that are written beside an event log.

    Raises:
        pytest.UsageError: nothing writes such a file.
    """
    text = given(config, "report-files")
    if not text:
        return DEFAULT_REPORT_FILES
    from ..report.files import endings_named

    try:
        return endings_named(text)
    except ValueError as error:
        raise pytest.UsageError(f"{given_as(config, 'report-files')}: {error}") from None


def _seconds(config: pytest.Config, name: str, kind: str) -> float | None:
    text = given(config, name)
    return seconds_of(text, given_as(config, name), kind) if text else None


def seconds_of(value: object, where: str, kind: str = "virtual") -> float:
    """A number of seconds above 0.

    Raises:
        pytest.UsageError: it is something else.
    """
    from ..tank.assembly import checked_budget

    try:
        seconds = checked_budget(float(value) if isinstance(value, str) else value)  # type: ignore[arg-type]
        assert seconds is not None
    except (AssertionError, ValueError):
        raise pytest.UsageError(
            f"{where}: the budget of {kind} time is a number of seconds above 0, as in 600"
        ) from None
    return seconds


def expectations(config: pytest.Config) -> dict[str, Value]:
    """What the ini file says that every test must hold to.

    Raises:
        pytest.UsageError: a line has no name and value, or one of them is wrong.
    """
    lines: list[str] = config.getini(EXPECT)
    found: dict[str, Value] = {}
    for line in lines:
        name, equals, text = line.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise pytest.UsageError(f"{EXPECT}: {line!r}: write a name and a value, as in failed = 0")
        from ..tank.expectations import read

        found[name.strip()] = read(text)
    return checked_expectations(found, EXPECT) if found else {}


def ignored_hosts(config: pytest.Config) -> list[str]:
    """The hosts that the ini file lets be refused.

    Raises:
        pytest.UsageError: a line is no host.
    """
    lines: list[str] = [line for line in config.getini(IGNORED_HOSTS) if not line.startswith("#")]
    if not lines:
        return []
    from ..tank.expectations import declared_hosts

    try:
        return declared_hosts(lines)
    except ValueError as error:
        raise pytest.UsageError(f"{IGNORED_HOSTS}: {error}") from None


def checked_expectations(given: Mapping[str, Value], where: str) -> dict[str, Value]:
    """The expectations, if `tank.expect` takes them.

    Raises:
        pytest.UsageError: it does not; names the place.
    """
    from ..tank.expectations import expected

    try:
        expected(given, {})
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return dict(given)


def scenarios(config: pytest.Config) -> list[str]:
    """The scenarios of the command line, else of the ini file; empty when neither names one."""
    chosen: list[str] = config.getoption("--llm-scenario") or config.getini("llm_scenario")
    if "all" in chosen:
        from ..scenario import catalogue

        return list(catalogue())
    return list(dict.fromkeys(chosen))


def seed(config: pytest.Config) -> int:
    """The seed of the run.

    Raises:
        pytest.UsageError: it is no number, negative, or more than 64 bits.
    """
    text = given(config, "seed")
    try:
        return parse_seed(text)
    except ValueError as error:
        raise pytest.UsageError(f"{given_as(config, 'seed')}: {error}") from None


def load(config: pytest.Config, name: str) -> Scenario:
    """The scenario of that name or path, read once in a session.

    Raises:
        pytest.UsageError: there is none, or it is wrong.
    """
    from ..scenario import ScenarioError, load_scenario

    loaded = config.stash.setdefault(_loaded, {})
    try:
        return loaded.get(name) or loaded.setdefault(name, load_scenario(name))
    except ScenarioError as error:
        raise pytest.UsageError(str(error)) from None
