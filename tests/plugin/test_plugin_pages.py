"""The examples of the README and the pages, and the example project, do what the text says."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings

from wavetank.museum import SPECIMENS
from wavetank.scenario import parse_scenario

from ..depth import DEEP, n_of
from .page_blocks import PAGES, ROOT, assert_printed, texts

RunPytest = Callable[..., pytest.RunResult]

DEMO = ROOT / "examples" / "demo"
SLOW = ("import litellm",)
"""What takes ten seconds to import, and is called in the tests of the dialects: run in `make deep`."""
SDKS = ("google.genai", "langchain_openai", "mistralai.client")
"""The run of pytest inside drops what it has imported; the other tests of the process need these as well."""
HOW_TOS = [
    # freezegun has a look at every part of every module, which loads more of an SDK that is there.
    page
    for page in PAGES
    if page.parent.name == "howto" and page.stem != "other-plugins"
]
REFERENCE = [page for page in PAGES if page not in HOW_TOS]


def is_test(block: str) -> bool:
    """Whether a block is a test module; any other is an excerpt."""
    return "def test_" in block


def is_slow(block: str) -> bool:
    """Whether a block is left to the deep tests."""
    return not DEEP and any(line in block for line in SLOW)


def module_name(page: Path, number: int) -> str:
    """The name of the test module that a block of a page becomes."""
    return f"test_{page.parent.name}_{page.stem}_{number}".lower().replace("-", "_")


@pytest.fixture
def few_examples() -> Iterator[None]:
    """That a page is right shows in a few examples; many would test Hypothesis' strategies once more."""
    before = settings.get_current_profile_name()
    settings.register_profile("pages", settings.get_profile(before), max_examples=n_of(10, 100))
    settings.load_profile("pages")
    yield
    settings.load_profile(before)


@pytest.mark.usefixtures("few_examples")
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(REFERENCE, id="reference"),
        # In the process of the other tests that import the SDKs, which takes seconds.
        pytest.param(HOW_TOS, id="how-tos", marks=pytest.mark.xdist_group("SDKs")),
    ],
)
def test_the_tests_on_the_pages_pass(
    pages: list[Path], pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """Every Python block of a page that is a test passes as it stands."""
    modules = {
        module_name(page, number): block
        for page in pages
        for number, block in enumerate(texts(page, "python"))
        if is_test(block) and not is_slow(block)
    }
    assert len(modules) >= 5
    for name in SDKS if pages is HOW_TOS else ():
        import_module(name)
    pytester.makepyfile(**modules)
    result = run_pytest("-W", "error", plugins=None)
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes()["passed"] >= len(modules)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_excerpts_are_taken_from_the_example(page: Path) -> None:
    """A Python block that is no test stands word for word in the example project."""
    source = "\n".join(file.read_text("utf-8") for file in sorted(DEMO.glob("*.py")))
    for block in texts(page, "python"):
        if not is_test(block):
            assert any(textwrap.indent(block, " " * depth) in source for depth in (0, 4, 8)), block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_scenarios_on_the_pages_are_scenarios(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every TOML block of a page can be loaded, beside the file of answers that the page shows."""
    monkeypatch.chdir(tmp_path)
    for answers in texts(page, "json"):
        Path("answers.jsonl").write_text(answers, "utf-8")
    for number, block in enumerate(texts(page, "toml"), start=1):
        parse_scenario(block, name=f"block-{number}", source=f"{page.name}, TOML block {number}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or folder that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


# In a process of its own, without the sources, the test of the wheel runs it.
@pytest.mark.xdist_group("SDKs")
def test_the_example_does_what_make_demo_promises(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """One test passes, one is caught as expected, and the README shows what the screen says."""
    shutil.copytree(DEMO, pytester.path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for name in ("anthropic", "openai"):
        import_module(name)
    screen = run_pytest("--llm-scenario=cascade", plugins=None)
    assert screen.ret == pytest.ExitCode.OK
    screen.assert_outcomes(passed=1, xfailed=1)
    screen.stdout.fnmatch_lines(
        [
            "wavetank: scenario cascade, seed 0",
            "test_tickets.py::test_a_patient_client_gets_every_ticket_through PASSED*",
            "test_tickets.py::test_a_hasty_client_is_caught_losing_tickets XFAIL*",
            "=* wavetank =*",
            "2 tests: *",
        ]
    )
    assert "Warning" not in screen.stdout.str() + screen.stderr.str()
    (shown,) = texts(ROOT / "README.md", "text")
    assert_printed(shown.splitlines(), screen.outlines)


def test_the_museum_prints_what_its_page_shows() -> None:
    """The report of the lost wake-up is the one on the page, but for its token."""
    failure = SPECIMENS["lost_wakeup"].search(backend="asyncio").failure
    assert failure is not None
    (shown,) = texts(ROOT / "docs" / "museum.md", "text")
    *lines, repeat = shown.splitlines()
    assert_printed(lines, failure.report().splitlines())
    assert repeat.startswith("to repeat it: wavetank museum lost_wakeup --replay wt1-")


LATE = """
async def label_rows(ask, kept):
    labels = {}
    for row in ROWS:
        if row not in kept:
            labels[row] = await ask(row)
    kept.update(labels)
"""
GATHERED = """
async def label_rows(ask, kept):
    import asyncio
    rows = [row for row in ROWS if row not in kept]
    kept.update(zip(rows, await asyncio.gather(*map(ask, rows))))
"""
SAVED = """
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("update rows set label = ? where id = ?", labels)
"""
AT_ONCE = """
    async def ask(row):
        text = (await tank.fake_llm.call(f"Label {row}.", item=row)).text
        tank.ledger.complete(row, text)
        return text
"""


@pytest.mark.xdist_group("SDKs")
def test_the_resume_page_finds_what_threads_keep_too_late(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The labels are saved when the pool is done."""
    page = ROOT / "docs" / "howto" / "resume.md"
    (block,) = (each for each in texts(page, "python") if "def label_table" in each)
    late = re.sub(r" {8}with closing.*\n.*update rows.*\n", "        return text, row\n", block)
    late = late.replace(
        "        list(pool.map(label, left))\n", f"        labels = list(pool.map(label, left))\n{SAVED}"
    )
    pytester.makepyfile(test_resume=late)
    result = run_pytest(plugins=())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["exactly_once failed: item 'row-*' was paid 2 times*"])


@pytest.mark.parametrize(("bug", "at_once", "tests"), [(LATE, False, 2), (GATHERED, True, 1)])
def test_the_resume_page_finds_what_it_says(
    bug: str, at_once: bool, tests: int, pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """What is kept when all is answered fails the page's test, which says when the program was cut."""
    page = ROOT / "docs" / "howto" / "resume.md"
    (block,) = (each for each in texts(page, "python") if "def label_rows" in each)
    code = re.sub(r"async def label_rows.*?\n\n", bug, block, flags=re.S)
    if at_once:
        code = re.sub(r"    async def ask.*?\n\n", f"{AT_ONCE}\n", code, flags=re.S)
        code = re.sub(r"    for row in ROWS:\n        tank.ledger.complete.*\n", "", code)
    pytester.makepyfile(test_resume=code)
    result = run_pytest("-k", "asyncio" if at_once else "second", plugins=())
    result.assert_outcomes(failed=tests, deselected=2 - tests)
    result.stdout.fnmatch_lines(
        [
            "*item 'row-1' was paid 2 times*",
            "*the program was interrupted, as by Ctrl-C, where main waited at *",
        ],
        consecutive=False,
    )
    assert "item 'row-1' was paid 2 times" in page.read_text("utf-8")


def test_what_a_run_imports_takes_no_packages_away(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A package that replaces the finder of installed packages leaves this process as it was."""
    pytester.makepyfile(
        """
        import importlib_metadata

        def test_it():
            assert importlib_metadata.version("pluggy")
        """
    )
    run_pytest().assert_outcomes(passed=1)
    assert version("pluggy")
