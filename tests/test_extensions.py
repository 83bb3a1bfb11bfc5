"""What installed packages add: the package of the page on extending, built and installed, and broken ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from wavetank import Tank, checks, cli, search, simulate
from wavetank.checks.check_selection import ADDED as CHECKS
from wavetank.checks.check_selection import added_check
from wavetank.clock import MINUTE
from wavetank.extending import disturbed
from wavetank.fault_kinds import ADDED as FAULTS
from wavetank.provider import vendor_registry
from wavetank.provider.vendor_registry import ADDED as VENDORS
from wavetank.pytest_plugin.added_names import added_names
from wavetank.report.files import ADDED as WRITERS
from wavetank.report.files import endings_named, written
from wavetank.scenario import Scenario, parse_scenario
from wavetank.sim.choices import Level
from wavetank.sim.policies import ADDED as POLICIES
from wavetank.sim.policies import policy_named
from wavetank.tank.search.made_schedule import Made

from .forked import fork_them as fork_them

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
CARD = ROOT / "docs" / "adding-a-vendor.md"
PLUGINS = ("-p", "no:cacheprovider", "-p", "anyio", "-p", "wavetank")

BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-broken"
version = "2.0"

[project.entry-points."wavetank.checks"]
gone = "acme_broken.gone:check"
number = "acme_broken:NUMBER"
quick = "acme_broken:quick"
raises = "acme_broken:raises"

[project.entry-points."wavetank.faults"]
no-effect = "acme_broken:NUMBER"

[project.entry-points."wavetank.policies"]
fifo = "acme_broken:NUMBER"

[project.entry-points."wavetank.vendors"]
elsewhere = "acme_broken:CARD"

[project.entry-points."wavetank.reports"]
torn = "acme_broken:raises"
text = "acme_broken:text"
"""
BROKEN_MODULE = """
from wavetank import VendorCard

NUMBER = 3
CARD = VendorCard(name="acme", hosts=("elsewhere.example",))

def quick(log):
    raise AssertionError("another package has it, too")

def raises(log):
    raise KeyError("row")

def text(logs):
    return "no bytes"
"""

TESTS = """
import anyio, httpx2, pytest, wavetank

URL = "https://api.openai.com/v1/chat/completions"
one_backend = pytest.fixture(params=["asyncio"])


@one_backend
def anyio_backend(request):
    return request.param


async def ask(item, url=URL, model="gpt-4o"):
    async with httpx2.AsyncClient(timeout=300) as client:
        body = {"model": model, "messages": [{"role": "user", "content": item}]}
        return await client.post(url, headers={"authorization": "Bearer key"}, json=body)


@pytest.mark.llm_scenario("login.toml")
async def test_the_fault_spoils_an_answer(tank, anyio_backend):
    tank.ledger.submit("a")
    first, second = await ask("a"), await ask("a")
    assert first.text == "<html>Please log in.</html>"
    text = second.json()["choices"][0]["message"]["content"]
    tank.ledger.complete("a", text)
    with pytest.raises(wavetank.MalformedAnswer, match="login-page"):
        await tank.fake_llm.call("b", item="b")


@pytest.mark.llm_scenario("late.toml")
async def test_the_late_answer_is_whole(tank, anyio_backend):
    tank.expect(paid_per_item=1)
    tank.ledger.submit("a")
    began = tank.now()
    answer = await ask("a")
    assert tank.now() - began >= 5
    tank.ledger.complete("a", answer.json()["choices"][0]["message"]["content"])
    assert [event.late for event in tank.events.of("answered")] == [True]
    assert tank.events.of("delivered")[0].fault is None


async def stream_for_a_second(tank):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}], "stream": True}
    with anyio.move_on_after(1):
        async with httpx2.AsyncClient(timeout=300) as client:
            await client.post(URL, headers={"authorization": "Bearer key"}, json=body)
    tank.ledger.submit("a")
    tank.ledger.fail("a", "too late")


def test_a_late_answer_that_is_left_is_wasted():
    run = wavetank.simulate(stream_for_a_second, "late.toml")
    assert "1 answer(s) wasted" in run.verdicts["exactly_once"].summary


async def test_the_vendor_answers(fake_llm, anyio_backend):
    answer = await ask("a", "https://api.acme.example/inference/v1/chat/completions", "acme-large")
    assert answer.status_code == 200
    assert "x-acme-request" in answer.headers


@pytest.mark.llm_checks("default", "quick")
@pytest.mark.llm_scenario("stalled.toml")
async def test_a_slow_answer_fails_the_check(fake_llm, anyio_backend):
    await ask("a")


@wavetank.explore(scenario="calm", schedules=20, policy="last-first")
async def test_the_policy_finds_the_opposite_order(tank):
    seen = []

    async def note(name):
        seen.append(name)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(note, name)
    assert seen != ["c", "b", "a"]
"""
BROKEN_TESTS = """
import pytest

def test_one(tank):
    pass

@pytest.mark.llm_scenario("broken.toml")
def test_two(tank):
    pass
"""
SCENARIOS = {
    "login.toml": "\n".join(["[[fault]]", 'kind = "login-page"'] * 2 + ['match = { item = "b" }', ""]),
    "late.toml": '[[fault]]\nkind = "late-end"\ntimes = 9\n',
    "stalled.toml": '[[fault]]\nkind = "stall"\nlasts = "2m"\n',
}


def files_of_the_page() -> dict[str, str]:
    """The files of the package that the page shows, by their paths, and the card of the page on vendors."""
    fence = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    card = re.search(r"^```py\n(.*?)^```$", CARD.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert card is not None
    return {**dict(fence.findall(PAGE.read_text("utf-8"))), "acme_waves/vendor.py": card[1]}


def wheel_of(folder: Path, files: Mapping[str, str]) -> Path:
    """A wheel of these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    built = python("-m", "hatchling", "build", "-t", "wheel", cwd=folder)
    assert built.returncode == 0, built.stdout
    (wheel,) = folder.glob("dist/*.whl")
    return wheel


def install(target: Path, *wheels: Path) -> None:
    """Install wheels into a folder."""
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(target))
    done = python("-m", "pip", "install", *options, *map(str, wheels))
    assert done.returncode == 0, done.stdout


def python(
    *arguments: str, cwd: Path | None = None, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python; it finds packages in `path`, too, and loads no plugin by itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": "" if path is None else str(path)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the page's package."""
    return wheel_of(tmp_path_factory.mktemp("acme-waves"), files_of_the_page())


@pytest.fixture(scope="module")
def installed(waves: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's package is installed."""
    folder = tmp_path_factory.mktemp("installed")
    install(folder, waves)
    return folder


@pytest.fixture(scope="module")
def both(waves: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a broken package is installed beside it."""
    files = {"pyproject.toml": BROKEN, "acme_broken/__init__.py": BROKEN_MODULE}
    folder = tmp_path_factory.mktemp("both")
    install(folder, waves, wheel_of(tmp_path_factory.mktemp("acme-broken"), files))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose tests use what the package adds."""
    for name, text in {"test_waves.py": TESTS, "pytest.ini": "[pytest]\n", **SCENARIOS}.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_an_installed_package_adds_to_every_registry(installed: Path, project: Path) -> None:
    """Its check, faults, policy, vendor and writer work by their names, in options, markers and scenarios."""
    options = ("--llm-report=on", "--llm-report-files=+csv", "--llm-database=none", "-rA")
    screen = python("-m", "pytest", *PLUGINS, *options, cwd=project, path=installed).stdout
    failed = re.findall(r"^FAILED test_waves.py::(\w+)", screen, re.MULTILINE)
    slow, explored = "test_a_slow_answer_fails_the_check", "test_the_policy_finds_the_opposite_order"
    assert {*failed} == {slow, explored}, screen
    assert "quick failed: the answer for 'a' took more than a minute" in screen
    assert "of the search (last-first)" in screen
    (table,) = (project / "llm-report").glob(f"*{slow}*asyncio*.csv")
    assert table.read_text("utf-8") == "request,item,at\n1,a,0\n"
    assert table.with_suffix(".html").is_file()


@pytest.fixture
def imported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is installed in the folder of another fixture can be used in this process."""
    registries = (CHECKS, FAULTS, POLICIES, VENDORS, WRITERS)
    for registry in registries:
        monkeypatch.setattr(registry, "_points", None)
        monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.syspath_prepend(request.getfixturevalue(request.param))
    vendor_registry._of_packages.cache_clear()
    yield
    vendor_registry._of_packages.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("acme_waves", "acme_broken")]:
        del sys.modules[name]


use_waves = pytest.mark.parametrize("imported", ["installed"], indirect=True)
use_broken = pytest.mark.parametrize("imported", ["both"], indirect=True)


@use_waves
@pytest.mark.usefixtures("imported")
def test_what_packages_add_is_listed() -> None:
    """`--help` ends with a line for each registry."""
    assert [*added_names()] == [
        f"wavetank: added by installed packages to wavetank.{group}: {names}"
        for group, names in (
            ("checks", "quick"),
            ("policies", "last-first"),
            ("faults", "late-end, login-page"),
            ("vendors", "acme"),
            ("reports", "csv"),
        )
    ]


def test_help_lists_what_packages_add(installed: Path, project: Path) -> None:
    """On the screen, after the options."""
    screen = python("-m", "pytest", *PLUGINS, "--help", cwd=project, path=installed).stdout
    assert screen.endswith("wavetank: added by installed packages to wavetank.reports: csv\n")


def scenario_with(fault: str) -> Scenario:
    """A scenario with a fault of this kind."""
    return parse_scenario(f'[[fault]]\nkind = "{fault}"', name="one", source="one.toml")


@use_waves
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("ask", "name", "meant"),
    [
        (checks.named, "quik", "quick"),
        (lambda name: policy_named(name, seed=0, level=Level()), "last-frist", "last-first"),
        (scenario_with, "login-pag", "login-page"),
        (vendor_registry.card_named, "acne", "acme"),
        (endings_named, "cvs", "csv"),
    ],
)
def test_an_unknown_name_suggests_what_packages_add(
    ask: Callable[[str], object], name: str, meant: str
) -> None:
    """As it does the names of wavetank's own."""
    assert ask(meant) is not None
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        ask(name)


@use_waves
@pytest.mark.usefixtures("imported")
def test_checks_of_packages_come_after_those_of_wavetank() -> None:
    """None is in a set, and each can be added and taken out."""
    assert checks.named("+quick") == (*checks.DEFAULT, "quick")
    assert checks.named("quick,liveness") == ("liveness", "quick")
    assert checks.named(["strict", "+quick", "-quick"]) == checks.STRICT


async def three_in_time(tank: Tank) -> None:
    """Three calls at once, each with a deadline that a stall of the explorer may use up."""

    async def ask(item: str) -> None:
        tank.ledger.submit(item)
        try:
            with anyio.fail_after(120):
                tank.ledger.complete(item, (await tank.fake_llm.call(item, item=item)).text)
        except TimeoutError as error:
            tank.ledger.fail(item, error)

    async with anyio.create_task_group() as group:
        for item in "abc":
            group.start_soon(ask, item)


@use_waves
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("latency", ["0s", "60s"])
def test_the_check_of_the_page_blames_no_correct_program(latency: str) -> None:
    """It allows for what a search does, where deadlines pass and where every answer is as late as allowed."""
    scenario = parse_scenario(f'[latency]\nfirst_token = "{latency}"', name="late", source="late.toml")
    passed: Counter[bool | None] = Counter()
    above = 0

    def look(made: Made) -> None:
        nonlocal above
        assert made.trial is not None
        log = made.trial.log
        arrived = {event.request: event.at for event in log.of("arrived")}
        took = max((event.at - arrived[event.request] for event in log.of("delivered")), default=0)
        above += took > MINUTE and disturbed(log) is None
        passed[added_check("quick")(log).passed] += 1

    search(three_in_time, scenario, schedules=60, checks="quick", watch=look).check()
    assert passed[True] > 10
    assert passed[None] > 10
    assert (above > 0) is (latency == "60s")


@use_waves
@pytest.mark.usefixtures("imported")
def test_a_log_is_written_by_an_added_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`wavetank show --write` has the writers of packages, too."""

    async def program(tank: Tank) -> None:
        await tank.fake_llm.call("a", item="a")

    log = tmp_path / "run.ndjson"
    log.write_bytes(simulate(program, "calm").events.to_ndjson())
    assert cli.main(["show", str(log), "--write", "csv"]) == 0
    assert (tmp_path / "run.csv").read_text("utf-8") == "request,item,at\n1,a,0\n"
    assert cli.main(["show", str(log), "--write", "cvs"]) == 2
    assert "did you mean 'csv'? there are: html, trace.json, csv" in capsys.readouterr().err


@pytest.mark.parametrize("endings", ["", ",", "html,csv", "-html", "+html,csv"])
def test_endings_are_chosen_or_changed(endings: str) -> None:
    """Names with a sign change what is written; both kinds at once mean nothing."""
    if "csv" in endings:
        with pytest.raises(ValueError, match="sign" if "+" in endings else "no writer of reports"):
            endings_named(endings)
    else:
        assert endings_named(endings) == (("trace.json",) if endings == "-html" else ())


@use_broken
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (
            lambda: checks.named("+gone"),
            "the check 'gone' of the package acme-broken 2.0 cannot be used: ModuleNotFoundError: No module "
            "named 'acme_broken.gone'; correct its entry point 'acme_broken.gone:check' of the group "
            "wavetank.checks, or uninstall the package",
        ),
        (lambda: checks.named("number"), "it is of the type int, and has to be a function that takes the"),
        (
            lambda: checks.named("quick"),
            "there are two of the check 'quick', in the packages acme-broken 2.0 and acme-waves 1.0: "
            "uninstall one of them, or have it renamed",
        ),
        (
            lambda: policy_named("last-first", seed=0, level=Level()),
            "wavetank has a policy 'fifo' itself, and the package acme-broken 2.0 has one, too: uninstall",
        ),
        (
            lambda: vendor_registry.card_named("elsewhere"),
            "the vendor 'elsewhere' of the package acme-broken 2.0 cannot be used: its card has the name "
            "'acme': give both the same name",
        ),
        (lambda: written("torn", []), "the report writer 'torn' of the package acme-broken 2.0 cannot be"),
        (lambda: written("text", []), "it returned a str, and has to return bytes"),
    ],
)
def test_what_cannot_be_used_names_the_package(ask: Callable[[], object], says: str) -> None:
    """And the way out."""
    with pytest.raises(ValueError, match=re.escape(says)):
        ask()


@use_broken
@pytest.mark.usefixtures("imported")
def test_help_names_what_is_wrong() -> None:
    """The other lines are there all the same."""
    lines = [*added_names()]
    assert lines[0] == "wavetank: added by installed packages to wavetank.checks: gone, number, quick, raises"
    assert "wavetank has a policy 'fifo' itself" in lines[1]


def test_a_broken_package_fails_the_tests_that_use_it(both: Path, project: Path) -> None:
    """A fault without an effect fails a test at its set-up, a writer one that passed; the rest is kept."""
    installed = Path(shutil.copytree(both, project / "installed"))
    (points,) = installed.glob("acme_broken-*/entry_points.txt")
    # A card that cannot be used would fail both at once.
    points.write_text(points.read_text("utf-8").replace("elsewhere = acme_broken:CARD", ""), "utf-8")
    (project / "broken.toml").write_text('[[fault]]\nkind = "no-effect"\n', "utf-8")
    (project / "test_waves.py").write_text(BROKEN_TESTS, "utf-8")
    options = ("--llm-report=on", "--llm-report-files=torn,csv")
    screen = python("-m", "pytest", *PLUGINS, *options, cwd=project, path=installed).stdout
    assert "1 failed, 1 error in " in screen
    assert "the report writer 'torn' of the package acme-broken 2.0 cannot be used: KeyError: 'row'" in screen
    assert "the fault 'no-effect' of the package acme-broken 2.0 cannot be used" in screen
    assert "Traceback" not in screen
    assert {file.suffix for file in (project / "llm-report").iterdir()} == {".ndjson", ".csv"}
