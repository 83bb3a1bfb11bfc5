"""The server's own pages: who may use them, and what they bear."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import msgspec
import pytest

from wavetank.events import Event, EventLog
from wavetank.provider.http import HttpRequest
from wavetank.scenario import Scenario
from wavetank.seams.http1 import ControlResponse
from wavetank.tank.server.control_api import MOST_WAITING, ControlApi, foreign
from wavetank.tank.server.served_run import RunSettings
from wavetank.tank.server.served_world import Serving

POST = ("POST", "/_wavetank/items", b'{"event":"submitted","item":"a"}')


def request(
    method: str = "GET", path: str = "/_wavetank/scenario", body: bytes = b"", **headers: str
) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(method=method, host="127.0.0.1", path=path, headers=named, body=body)


def door(host: str = "127.0.0.1") -> tuple[ControlApi, Serving]:
    async def made() -> Serving:
        return Serving(RunSettings(scenario=Scenario(name="s")))

    serving = asyncio.run(made())
    return ControlApi(serving, host=host), serving


def status(asked: HttpRequest, host: str = "127.0.0.1") -> int:
    pages: list[ControlResponse] = []
    assert door(host)[0](asked, pages.append)
    return pages[0].status


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "127.0.0.1:8429"}, 200),
        ({"host": "localhost:8429"}, 200),
        ({"host": "[::1]:8429"}, 200),
        ({}, 200),
        ({"host": "127.0.0.1:8429", "origin": "http://127.0.0.1:8429"}, 200),
        ({"host": "127.0.0.1:8429", "sec_fetch_site": "same-origin"}, 200),
        ({"host": "127.0.0.1:8429", "sec_fetch_site": "none"}, 200),
        ({"host": "127.0.0.1:8429", "content_type": "application/x-www-form-urlencoded"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8429"}, 403),
        ({"host": "[evil"}, 403),
        ({"host": "api.openai.com"}, 403),
        ({"host": "127.0.0.1:8429", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1:8429", "origin": "http://127.0.0.1:3000"}, 403),
        ({"host": "127.0.0.1:8429", "origin": "null"}, 403),
        ({"host": "127.0.0.1:8429", "origin": "http://[evil"}, 403),
        ({"host": "127.0.0.1:8429", "sec_fetch_site": "cross-site"}, 403),
        ({"host": "127.0.0.1:8429", "sec_fetch_site": "same-site"}, 403),
        ({"host": "127.0.0.1:8429", "content_type": "text/plain;charset=UTF-8"}, 403),
        ({"host": "127.0.0.1:8429", "content_type": "multipart/form-data; boundary=x"}, 403),
    ],
)
def test_pages_of_other_sites_are_kept_out(headers: dict[str, str], expected: int) -> None:
    """By Origin, Fetch Metadata, the type of a form, and the Host of a name that was made to point here."""
    method, path, body = POST
    assert status(request(method, path, body, **headers)) == expected


def test_a_server_for_others_bears_any_host() -> None:
    """On an open address the clients know it by many names; other sites are kept out all the same."""
    assert status(request(host="build-7.corp.example:8429"), host="0.0.0.0") == 200
    assert foreign(request(host="a.example", origin="https://evil.example"), "0.0.0.0") is not None


def test_the_refusal_says_what_to_do() -> None:
    """In a sentence, without the whole of what was sent."""
    refusal = foreign(request(host="e" * 10_000), "127.0.0.1")
    assert refusal is not None
    assert "use its address" in refusal
    assert len(refusal) < 500


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"event":"completed","item":"a","value":' + b"[" * 500])
def test_deep_json_is_refused(body: bytes) -> None:
    """However deep it is, and however far it goes on."""
    assert status(request("POST", "/_wavetank/items", body)) == 400


class _Slow:
    """A run whose log can be read when the test says so."""

    def __init__(self, so_far: Callable[[], Callable[[], EventLog]]) -> None:
        self.now = so_far
        self.go_on = threading.Event()
        self.at_once = self.most = 0

    def so_far(self) -> Callable[[], EventLog]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        assert self.go_on.wait(600)
        self.at_once -= 1
        return self.now()


def test_one_verdict_is_judged_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come meanwhile wait, so many, and get theirs; the rest are asked to try again."""
    opened, serving = door()
    slow = _Slow(serving.run.so_far)
    monkeypatch.setattr(serving.run, "so_far", slow.so_far)
    pages: list[ControlResponse] = []
    done = threading.Event()
    asked = MOST_WAITING + 5

    def answer(page: ControlResponse) -> None:
        pages.append(page)
        if len(pages) == asked:
            done.set()

    for _ in range(asked):
        opened(request(path="/_wavetank/verdict"), answer)
    refused = len(pages)
    slow.go_on.set()
    assert done.wait(600)
    assert slow.most == 1
    assert [page.status for page in pages].count(503) == refused
    assert refused in (4, 5)
    assert [page.status for page in pages].count(200) == asked - refused


def test_a_log_that_cannot_be_judged_leaves_the_next_verdict_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets 500, and is logged."""
    opened, serving = door()

    def broken() -> Callable[[], EventLog]:
        raise OSError("gone")

    for so_far, expected in ((broken, 500), (serving.run.so_far, 200)):
        monkeypatch.setattr(serving.run, "so_far", so_far)
        got: list[ControlResponse] = []
        done = threading.Event()

        def answer(
            page: ControlResponse, got: list[ControlResponse] = got, done: threading.Event = done
        ) -> None:
            got.append(page)
            done.set()

        opened(request(path="/_wavetank/verdict"), answer)
        assert done.wait(600)
        assert got[0].status == expected
        assert msgspec.json.decode(b"".join(got[0].parts))
    assert "the log could not be read" in caplog.text


def test_the_timeline_is_a_page_of_the_log_so_far() -> None:
    """It is HTML, judged by the default checks, and a browser gets it at the address alone."""
    opened, serving = door()
    serving.run.journal.append(Event(at=0, kind="submitted", item="<b>row</b>"))
    got: list[ControlResponse] = []
    done = threading.Event()

    def answer(page: ControlResponse) -> None:
        got.append(page)
        done.set()

    opened(request(path="/_wavetank/timeline"), answer)
    assert done.wait(600)
    page = b"".join(got[0].parts).decode()
    assert got[0].status == 200
    assert ("content-type", "text/html; charset=utf-8") in got[0].headers
    assert "<title>s: " in page
    assert "<b>row" not in page
