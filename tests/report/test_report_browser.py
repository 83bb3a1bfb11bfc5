"""The page in a browser: what is drawn, what a reader can do, and that nothing of a run is executed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wavetank.events import Event, EventLog, Header, Judged, Notes, RunEnd
from wavetank.forecast.estimates import Estimate, Forecast
from wavetank.forecast.page import forecast_page
from wavetank.report.page import timeline_page
from wavetank.tank.runs.finished_run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here"),
    # One browser serves them all. While it is there, its event loop runs in this process, so that tests with
    # a loop of their own must not come in between.
    pytest.mark.xdist_group("browser"),
]

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser(lost_wakeup: object, second_wave: object, hammered: object) -> Iterator[Page]:  # noqa: ARG001
    """Chromium without a window; the runs are made before, while no event loop of the browser's runs."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, which does not work for root, as whom tests run in a container.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # In one tab for all: each new one is a process that takes a quarter of a second.
        yield browser.new_page()
        browser.close()


@pytest.fixture
def tab(browser: Page) -> Page:
    """The tab as if it were new."""
    browser.set_viewport_size({"width": 1200, "height": 900})
    browser.mouse.move(0, 0)
    return browser


@pytest.fixture
def opened(tab: Page, tmp_path: Path) -> Iterator[Open]:
    """Opens a page of logs; the test fails if it writes to the console, raises, or asks for anything."""
    said: list[str] = []

    def refuse(dialog: Any) -> None:
        said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    heard: dict[str, Callable[[Any], object]] = {
        "console": lambda message: said.append(f"console: {message.text}"),
        "pageerror": lambda error: said.append(f"error: {error}"),
        "dialog": refuse,
        "request": lambda request: said.append(f"request: {request.url}"),
    }

    def open_page(*logs: EventLog, theme: str = "light") -> Page:
        file = tmp_path / "page.html"
        file.write_bytes(timeline_page(logs))
        tab.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-drawn]")
        assert said.pop(0) == f"request: {file.as_uri()}"
        return tab

    for kind, hear in heard.items():
        tab.on(kind, hear)  # type: ignore[call-overload]
    yield open_page
    tab.goto("about:blank")
    for kind, hear in heard.items():
        tab.remove_listener(kind, hear)
    assert said == []


def drawn(page: Page) -> None:
    """Wait until the picture shows what was done."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def middle_of(page: Page, number: int, run: int = 0) -> tuple[float, float]:
    """Where the bar of a request is on the screen."""
    found: list[float] = page.evaluate(
        """([run, number]) => {
            const chart = charts[run], bar = RUNS[run].byNumber.get(number);
            const {left, top} = chart.body.getBoundingClientRect();
            const lane = chart.lanes.find((each) => each.index === bar[state.mode]);
            return [left + (chart.x(bar.sent) + chart.x(bar.end)) / 2,
                    top + lane.y - chart.offset + PAD + bar.row[state.mode] * ROW + 5];
        }""",
        [run, number],
    )
    return found[0], found[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_of_a_deadlock(opened: Open, lost_wakeup: Run[Any], theme: str) -> None:
    """Lanes, waves, pins, who is blocked, the three sentences, and the neighbour below."""
    page = opened(*lost_wakeup.logs("bug"), theme=theme)
    assert page.title().startswith("bug: deadlock / the same without deviation ")
    assert page.locator("h1").inner_text() == "bug: deadlock"
    assert page.locator("header ol.sentences li").count() == 3
    assert page.locator(".chart").count() == 2
    first, second = page.locator(".chart").nth(0), page.locator(".chart").nth(1)
    assert first.locator("circle.pin").count() == len(lost_wakeup.deviations)
    assert second.locator("circle.pin").count() == len(lost_wakeup.deviations) - 1
    texts = first.locator("svg.body text").all_text_contents()
    for name in ("main", "work_at_gate#2", "work_at_gate#7"):
        assert any(text.startswith(name) for text in texts)
    assert any(text.startswith("waits in Event.wait") for text in texts)
    assert first.locator("path.blocked").count() == 1
    assert second.locator("path.blocked").count() == 0
    assert first.locator(".band-wave").count() >= 1
    colours = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours == (
        ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
        if theme == "light"
        else ["rgb(20, 23, 28)", "rgb(227, 230, 235)"]
    )


def test_both_runs_share_one_axis(opened: Open, lost_wakeup: Run[Any]) -> None:
    """The same instant is at the same place in both, also when the picture was zoomed."""
    page = opened(*lost_wakeup.logs("bug"))
    page.keyboard.press("+")
    drawn(page)
    for time in (0, 50_000_000, 200_000_000):
        one, other = page.evaluate(f"charts.map((chart) => chart.x({time}))")
        assert one == other
    before = page.evaluate("state.high - state.low")
    page.keyboard.press("0")
    drawn(page)
    assert page.evaluate("state.high - state.low") > before


def test_a_pointer_on_a_bar_says_what_it_is(opened: Open, second_wave: Run[Any]) -> None:
    """Times, the wait that was asked for, how much too early it was, and the line of the program."""
    page = opened(*second_wave.logs("storm"))
    page.evaluate("selectRequest(RUNS[0], 14)")
    drawn(page)
    page.mouse.move(*middle_of(page, 14))
    tip = page.locator(".tip").inner_text()
    assert "request 14 for item-11 by work_at_gate#4: refused" in tip
    assert "sent 971.8ms too early: the refusal of request 13 asked to wait longer" in tip
    assert "museum/workload.py:26" in tip
    page.mouse.move(2, 2)
    assert page.locator(".tip").is_hidden()


def test_a_click_shows_the_events_of_the_item(opened: Open, lost_wakeup: Run[Any]) -> None:
    """And Escape closes them again."""
    page = opened(*lost_wakeup.logs("bug"))
    page.mouse.click(*middle_of(page, 1))
    drawn(page)
    detail = page.locator(".detail")
    assert detail.locator("h3").inner_text() == "Request 1 for item-1 by work_at_gate#2: refused"
    lines = detail.locator("ul.events li").all_text_contents()
    assert any("request 1 was refused with 429, retry after 60ms" in line for line in lines)
    assert len(lines) == sum(event.item == "item-1" for event in lost_wakeup.events)
    assert page.locator("path.selected").count() == 1
    page.keyboard.press("Escape")
    drawn(page)
    assert detail.is_hidden()


def test_evidence_leads_into_the_picture(opened: Open, lost_wakeup: Run[Any]) -> None:
    """An item, a task and an instant of a verdict are links; the item is shown with its events."""
    page = opened(*lost_wakeup.logs("bug"))
    evidence = page.locator(".findings details pre").first
    evidence.get_by_text("'item-9'", exact=True).click()
    drawn(page)
    assert page.locator(".detail h3").inner_text() == "Item item-9"
    evidence.get_by_text("'work_at_gate#4'", exact=True).click()
    drawn(page)
    assert page.locator(".detail h3").inner_text() == "Task work_at_gate#4"
    page.locator("header ol li").nth(2).get_by_text("show", exact=True).click()
    drawn(page)
    assert page.evaluate("state.cursor") == 70000000
    page.locator("header").get_by_text("number 1", exact=True).click()
    drawn(page)
    assert page.locator(".detail h3").inner_text().startswith("Request 1 for item-1")


def test_lanes_can_be_switched_and_searched(opened: Open, lost_wakeup: Run[Any]) -> None:
    """A lane for each item; the search leaves those that match, or says that none does."""
    page = opened(*lost_wakeup.logs("bug")[:1])
    page.keyboard.press("i")
    drawn(page)
    names = page.evaluate("charts[0].lanes.map((lane) => lane.name)")
    assert names == [f"item-{number}" for number in range(1, 13)]
    assert "no outcome" in page.locator("svg.body text").all_text_contents()
    page.keyboard.press("/")
    page.keyboard.type("item-10")
    drawn(page)
    assert page.evaluate("charts[0].lanes.map((lane) => lane.name)") == ["item-10"]
    page.keyboard.type("x")
    drawn(page)
    assert page.get_by_text("No lane matches the search.").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    drawn(page)
    assert len(page.evaluate("charts[0].lanes")) == 7


def test_the_keys_go_through_the_requests_and_change_the_theme(opened: Open, lost_wakeup: Run[Any]) -> None:
    """n and p select the next and the previous request, d changes between dark and light."""
    page = opened(*lost_wakeup.logs("bug")[:1])
    for key, expected in (("n", 1), ("n", 2), ("p", 1)):
        page.keyboard.press(key)
        drawn(page)
        assert page.evaluate("state.selected.request") == expected
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


def test_a_drag_over_the_axis_zooms(opened: Open, lost_wakeup: Run[Any]) -> None:
    """To the stretch that it covers; a drag over the lanes moves the picture."""
    page = opened(*lost_wakeup.logs("bug")[:1])
    box = page.locator("svg.top").bounding_box()
    assert box is not None
    wanted = page.evaluate("[charts[0].placeAt(400), charts[0].placeAt(700)]")
    page.mouse.move(box["x"] + 400, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 10)
    page.mouse.move(box["x"] + 700, box["y"] + 10)
    page.mouse.up()
    drawn(page)
    shown = page.evaluate("[state.low, state.high]")
    assert shown == pytest.approx(wanted, rel=1e-6)
    assert page.locator(".detail").is_hidden()
    lanes = page.locator(".lanes").bounding_box()
    assert lanes is not None
    page.mouse.move(lanes["x"] + 600, lanes["y"] + 60)
    page.mouse.down()
    page.mouse.move(lanes["x"] + 500, lanes["y"] + 60)
    page.mouse.move(lanes["x"] + 450, lanes["y"] + 60)
    page.mouse.up()
    drawn(page)
    assert page.evaluate("state.low") > shown[0]


def test_the_repeat_line_can_be_copied(opened: Open, lost_wakeup: Run[Any]) -> None:
    """The button says so."""
    page = opened(*lost_wakeup.logs("bug")[:1])
    assert page.locator(".repeat code").inner_text() == lost_wakeup.replay
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()


def test_quiet_time_is_folded_where_that_helps(opened: Open) -> None:
    """An hour between two bursts leaves room for both; folding can be switched off."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    for burst in (0, 3_600_000_000_000):
        for number in range(20):
            at = burst + number * 1_000_000
            log.append(Event(at=at, kind="submitted", item=f"i{number}", task="main"))
    page = opened(log)
    assert page.evaluate("axis.folded") is True
    width = page.evaluate("charts[0].x(19e6) - charts[0].x(0)")
    assert width > 100
    page.keyboard.press("f")
    drawn(page)
    assert page.evaluate("charts[0].x(19e6) - charts[0].x(0)") < 1
    assert page.evaluate("timeAt(placeOf(3600000005e3))") == pytest.approx(3600000005e3)


def test_hostile_texts_are_shown_as_they_are(opened: Open) -> None:
    """Neither markup nor script in a name, an error or a prompt takes effect; the fixture would see it."""
    nasty = "</script><img src=x onerror=alert(1)><b>'\"&amp;</b>"
    log = EventLog(Header(scenario=nasty, digest="0", seed=0, backend="asyncio"))
    who: dict[str, Any] = {"item": nasty, "task": nasty, "file": nasty, "line": 1}
    log.append(Event(at=0, kind="submitted", **who))
    log.append(Event(at=0, kind="arrived", request=1, model=nasty, **who))
    log.append(Event(at=5, kind="failed", error=nasty, **who))
    page = opened(log.with_notes(Notes(title=nasty, found=(nasty,), replay=nasty)))
    page.mouse.click(*middle_of(page, 1))
    drawn(page)
    assert page.locator("img, b").count() == 0
    assert nasty in page.locator("h1").inner_text()
    assert nasty in page.locator(".detail h3").inner_text()
    page.locator("summary", has_text="All events").click()
    page.locator("details ul.events li").nth(2).wait_for()  # an element is opened some time after the click
    assert page.locator("details ul.events li").count() == 3


def test_the_page_prints_all_lanes(opened: Open, hammered: Run[Any]) -> None:
    """On paper nothing scrolls; afterwards the page is as it was."""
    page = opened(hammered.logs()[0])
    page.keyboard.press("i")
    drawn(page)
    seen = page.locator("svg.body .gutter").count()
    assert seen < 100
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("svg.body .gutter").count() == 200
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("svg.body .gutter").count() == seen
    assert len(page.pdf(landscape=True)) > 10_000


def large_log() -> EventLog:
    """Five thousand events of twenty tasks."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    for number in range(1, 1701):
        item, task = f"item-{number}", f"worker-{number % 20}"
        at = number * 1_000_000
        log.append(Event(at=at, kind="arrived", request=number, item=item, task=task))
        log.append(Event(at=at + 15_000_000, kind="answered", request=number, item=item, status=200))
        log.append(Event(at=at + 15_000_000, kind="delivered", request=number, item=item, status=200))
    return log


def test_a_large_run_takes_few_elements(opened: Open) -> None:
    """Five thousand events are some paths, whatever is zoomed to."""
    page = opened(large_log())
    assert page.evaluate("RUNS[0].events.length") == 5100
    for key in ("0", "+", "+", "i", "t"):
        page.keyboard.press(key)
        drawn(page)
        assert page.locator("svg *").count() < 1500


def first_paint(page: Page, file: Path, enough: float) -> float:
    """How long it takes until a page is painted whole: the best of some, since others use the machine too.

    There are no more after one that takes less than `enough`, in milliseconds.
    """
    found: list[float] = []
    while len(found) < 5 and min(found, default=enough) >= enough:
        page.goto(file.as_uri())
        found.append(
            page.evaluate(
                """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
                    () => done(performance.now()))))"""
            )
        )
    return min(found)


def test_a_large_run_is_painted_nearly_as_soon_as_a_blank_page(tab: Page, tmp_path: Path) -> None:
    """Five thousand events: some times as long as nothing at all; it is 3 to 6 on an idle machine."""
    large, blank = tmp_path / "large.html", tmp_path / "blank.html"
    large.write_bytes(timeline_page([large_log()]))
    blank.write_text("<!doctype html><title>blank</title><p>blank</p>")
    limit = 25 * max(first_paint(tab, blank, 16), 16)
    assert first_paint(tab, large, limit) < limit


def test_the_link_of_the_failure_leads_to_its_instant(opened: Open) -> None:
    """Also where it names a request that was sent long before, as one that nobody read."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    log.append(Event(at=0, kind="arrived", request=1, item="a", task="w"))
    log.append(Event(at=5_000_000, kind="answered", request=1, item="a", status=200))
    log.append(Event(at=5_000_000, kind="completed", item="a", task="w", value="x"))
    log.finish(RunEnd(how="returned", at=9_000_000))
    judged = Judged(name="answered", passed=False, summary="item 'a' was completed, but no whole answer …")
    page = opened(log.with_notes(Notes(verdicts=(judged,))))
    assert page.locator("svg.body path.condemned").count() == 1
    page.locator("header ol li").nth(0).get_by_text("show", exact=True).click()
    drawn(page)
    assert page.evaluate("[state.cursor, state.selected.request]") == [5_000_000, 1]
    assert "answered, but neither read to its end nor closed" in page.locator(".detail h3").inner_text()
    assert page.locator("svg.body path.open").count() == 1
    assert page.locator("svg.body path.answered").count() == 1
    legend = page.locator(".legend").inner_text()
    assert "no reply, or none that was read to its end or closed" in legend
    assert "refused" not in legend
    assert "item completed, but a failed check names it" in legend


def test_a_run_without_time_has_one_tick(opened: Open) -> None:
    """And its requests are wider than the marks at the same instant."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    for kind in ("arrived", "answered", "delivered"):
        log.append(Event(at=0, kind=kind, request=1, item="a", task="w", status=200))
    page = opened(log)
    assert page.locator("svg.top .tick text").all_text_contents() == ["0s"]
    assert "h10v11" in (page.locator("svg.body path.answered").get_attribute("d") or "")


def test_requests_again_and_again_are_counted_and_their_arrows_thinned(opened: Open) -> None:
    """Three hundred requests of one item: the last says which it is, and far fewer arrows are drawn."""
    log = EventLog(Header(scenario="s", digest="0", seed=0, backend="asyncio"))
    for number in range(1, 301):
        at = number * 1_000_000_000
        log.append(Event(at=at, kind="arrived", request=number, item="a", task="w"))
        log.append(Event(at=at + 1, kind="refused", request=number, item="a", status=429, scope="account"))
        log.append(Event(at=at + 2, kind="delivered", request=number, item="a", status=429))
    page = opened(log)
    assert "request 300" in page.locator("svg.body text").all_text_contents()
    heads = (page.locator("svg.body path.head").get_attribute("d") or "").count("M")
    assert 20 < heads < 100
    page.mouse.move(*middle_of(page, 300))
    assert "it is request 300 of this item" in page.locator(".tip").inner_text()


def test_the_last_instant_has_room_beside_it(opened: Open, lost_wakeup: Run[Any]) -> None:
    """What happens at the end is not at the edge of the picture."""
    page = opened(*lost_wakeup.logs("bug"))
    assert page.evaluate("charts[0].width - charts[0].x(RUNS[0].last)") > 40


def test_counts_bands_and_ends_have_their_texts(opened: Open, lost_wakeup: Run[Any]) -> None:
    """What the pointer says of an end of a task, and the exact time behind a rounded one."""
    page = opened(*lost_wakeup.logs("bug"))
    texts = page.locator(".chart").first.locator("svg.body text").all_text_contents()
    assert texts.count("returned") >= 4
    assert page.locator(".chart").first.locator("path.ended").count() == 1
    assert page.locator(".chart").first.locator("line.decisive").count() >= 1
    assert page.locator(".chart").nth(1).locator("line.decisive").count() == 0
    exact = page.locator(".findings [title='207.36453ms']")
    assert exact.first.inner_text() == "207.365ms"


def forecast(parallel: int, hours: float, undone: int = 0) -> Forecast:
    """A forecast of 40,000 rows."""
    time = Estimate(
        median=3600 * hours, median_within=9.0, p95=3900 * hours, p95_within=9.0, least=3600, most=3900
    )
    return Forecast(
        limits="anthropic/claude-sonnet-4-6/tier-2",
        scenario="brownout",
        client="processor",
        parallel=parallel,
        seeds=3,
        time=time,
        first_row=3.0,
        last_row=3600 * hours,
        rows=40_000,
        completed=40_000 - undone,
        requests=40_100,
        refused=100,
        refused_by={},
        retries=100,
        input_tokens=1e6,
        output_tokens=1e6,
        cost=18.0,
        undone={"the quota is spent": undone} if undone else {},
        binds="daily quota (requests per day)",
        used={},
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_a_forecast_fits_a_phone_and_a_screen(tab: Page, tmp_path: Path, width: int) -> None:
    """Only its table scrolls sideways, in itself; all names and times of the chart are inside the page."""
    file = tmp_path / "forecast.html"
    file.write_bytes(forecast_page([forecast(10, 1.7, undone=29_286), forecast(50, 250)], ["limits: none"]))
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    rights: list[float] = tab.evaluate(
        "[...document.querySelectorAll('svg text')].map((text) => text.getBoundingClientRect().right)"
    )
    assert len(rights) == 4
    assert max(rights) <= width
