"""Seeded fuzzers of what comes from outside: an answer or a clear error, soon, and nothing else."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

import wavetank
from wavetank.processor.journal import fingerprint
from wavetank.provider.vendor_registry import cards
from wavetank.run.input_table import ColumnNames, read_table
from wavetank.run.run_errors import RunError
from wavetank.run.target import Target
from wavetank.scenario import ScenarioError, catalogue, load_scenario
from wavetank.scenario.drawing import drawn
from wavetank.scenario.loading import parse_scenario
from wavetank.scenario.writing import written
from wavetank.seams.errors import ProviderError
from wavetank.sim.choices import LEVELS, Deviation
from wavetank.sim.token import Cut, Schedule, TokenError
from wavetank.tank.tank import Tank

from ..seams.test_seams_http1 import Peer
from .fuzzing import cases, mutated

LONGEST_ERROR: Final = 5000


def hold_to(error: Exception, place: str) -> None:
    """An error names its place, and does not repeat all that came."""
    assert place in str(error)
    assert len(str(error)) < LONGEST_ERROR


# -- tokens -----------------------------------------------------------------------------------------

NUMBERS: Final = (b"\x80" * 600 + b"\x01", b"\xff" * 50_000, b"\x00" * 9, b"\x81\x00", b"\x7f" * 300)


def a_token(dice: random.Random) -> str:
    deviations, place = [], 0
    for _ in range(dice.randrange(40)):
        place += 1 + dice.randrange(300)
        deviations.append(Deviation(place, 1 + dice.randrange(9), 10))
    cut = Cut(dice.getrandbits(dice.choice((1, 70))), dice.randrange(9), dice.randrange(9))
    backend = dice.choice(("asyncio", "trio", "hosted"))
    schedule = Schedule(
        backend, dice.getrandbits(64), "0a1b2c3d", dice.choice(LEVELS), tuple(deviations), cut, 7, 9
    )
    return replace(schedule, cpu_spent_at=dice.choice((None, dice.getrandbits(20)))).token()


def test_any_token_is_read_or_refused() -> None:
    """Also those whose checksum is right."""
    for dice in cases("tokens"):
        body = base64.urlsafe_b64decode(a_token(dice).removeprefix("wt1-") + "==")[:-2]
        body = mutated(body, dice, NUMBERS)
        data = body + zlib.crc32(body).to_bytes(4, "big")[:2]
        token = "wt1-" + base64.urlsafe_b64encode(data).decode().rstrip("=")
        try:
            assert Schedule.parse(token).token() == token
        except TokenError as error:
            hold_to(error, "token")


def test_a_token_of_a_long_number_is_refused_at_once() -> None:
    """Reading it would take the square of its length."""
    body = b"\x80" + bytes(4) + b"\xff" * 3_000_000 + b"\x01"
    token = "wt1-" + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4, "big")[:2]).decode()
    with pytest.raises(TokenError) as caught:
        Schedule.parse(token.rstrip("="))
    assert len(str(caught.value)) < 500


# -- scenarios --------------------------------------------------------------------------------------

VALUES: Final = (
    *(
        '"10000000h"',
        '"1ns"',
        '"0s"',
        '"-1s"',
        '"1e9s"',
        '""',
        '"1s1s1s"',
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "true",
    ),
    *("99999999999999999999", "9" * 5000, "[]", "{}", "[[1]]", "1979-05-27", '"*"', '"' + "*a" * 30 + '"'),
    *(
        '"' + "x" * 100_000 + '"',
        "[" * 1000,
        '"\\u0000"',
        "'''",
        "0x7fffffffffffffff",
        "1_000",
        '"key"',
        '"item"',
    ),
)
LINES: Final = (
    *(
        "[[wave]]",
        "[[fault]]",
        "[limits]",
        "[[limit]]",
        "[latency]",
        "[answers]",
        "[retry_after]",
        "a.b.c = 1",
    ),
    *(
        'kind = "stall"',
        'lasts = "1s"',
        "share = 0.5",
        "times = 1000000000000",
        'at = "5000h"',
        "= =",
        "[",
        "]]",
    ),
    *('every = "1ms"', 'stagger = "1ms"', "when_in_flight = 2", "requests_per_minute = 1", 'scope = "item"'),
    *('match = { item = "a*" }', "burst = 1e300", "tokens_per_second = 1e-300", "words = 1000000000"),
)


def a_scenario(dice: random.Random) -> str:
    name = dice.choice(catalogue())
    lines = _text(name).splitlines()
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(lines))
        key, equals, _ = lines[at].partition("=")
        match dice.randrange(4):
            case 0:
                lines.insert(at, dice.choice(LINES))
            case 1:
                del lines[at]
                lines = lines or [""]
            case _ if equals:
                lines[at] = f"{key}= {dice.choice(VALUES)}"
            case _:
                lines.insert(at, lines[dice.randrange(len(lines))])
    return "\n".join(lines)


def _text(name: str) -> str:
    from wavetank.scenario.loading import _catalogue_files

    return _catalogue_files()[f"{name}.toml"].read_text(encoding="utf-8")


async def ask(tank: Tank) -> None:
    for item in ("a", "b"):
        tank.ledger.submit(item)
        try:
            answer = await tank.fake_llm.call(f"row {item}", item=item)
        except ProviderError as error:
            tank.ledger.fail(item, error)
        else:
            tank.ledger.complete(item, answer.text)


def test_any_scenario_is_played_or_refused() -> None:
    """What is read can be drawn, written and played; the rest is refused with its place."""
    for dice in cases("scenarios"):
        try:
            scenario = parse_scenario(a_scenario(dice), name="fuzz", source="fuzz.toml")
        except ScenarioError as error:
            hold_to(error, "fuzz.toml")
            continue
        assert drawn(scenario)
        written(scenario)
        run = wavetank.simulate(ask, scenario, max_virtual_seconds=60)
        assert run.error is None or run.kind in ("deadlock", "livelock", "overrun"), run.error
        assert len(run.events.to_ndjson()) < 1_000_000


# -- HTTP -------------------------------------------------------------------------------------------

ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/messages",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent?alt=sse",
    "/v2/chat",
    "/v2/embed",
    "/api/chat",
    "/api/generate",
    "/openai/deployments/m/chat/completions?api-version=1",
)
BODY: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "row 1"}]}],
    "contents": [{"role": "user", "parts": [{"text": "row 1"}]}],
    "input": "row 1",
    "prompt": "row 1",
    "max_tokens": 20,
    "stream": False,
    "n": 1,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "metadata": {"item": "a"},
}
JSON: Final = (
    *(
        b"null",
        b"true",
        b"0",
        b"-1",
        b"1e999",
        b"9" * 5000,
        b'""',
        b"[]",
        b"{}",
        b"NaN",
        b'"\\ud800"',
        b"[" * 300,
    ),
    *(
        b'{"type":"array","minItems":1000000000}',
        b'{"$ref":"#"}',
        b'{"allOf":[{"$ref":"#"}]}',
        b'"' + b"x" * 100_000,
    ),
    *(
        b'{"enum":[]}',
        b"1000000000",
        b'{"type":"string","minLength":1000000000}',
        b"\x00",
        b"\xff",
        b'",',
        b"},{",
    ),
)
HEAD: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b": ",
        b" ",
        b"\x00",
        b"content-length: 5\r\n",
        b"transfer-encoding: chunked\r\n",
    ),
    *(
        b"host: api.anthropic.com\r\n",
        b"HTTP/1.0",
        b"HTTP/9.9",
        b"?key=x",
        b"%00",
        b"x" * 70_000,
        b"expect: x\r\n",
    ),
)


def a_request(dice: random.Random) -> bytes:
    body = json.dumps(BODY | {"stream": dice.random() < 0.3}).encode()
    if dice.random() < 0.8:
        body = mutated(body, dice, JSON)
    name = dice.choice(("", *(f"/{card.name}" for card in cards())))
    head = f"POST {name}{dice.choice(ENDPOINTS)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
    head += "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
    data = head.encode()
    if dice.random() < 0.3:
        data = mutated(data, dice, HEAD)
    return data + b"content-length: %d\r\n\r\n" % len(body) + body


def test_any_request_gets_an_answer_or_the_end() -> None:
    """In every dialect, whatever head and body say; nothing of it stays behind."""
    for dice in cases("HTTP"):
        peer = Peer(load_scenario("calm"))
        peer.send(a_request(dice))
        for _ in range(200):
            peer.clock.go(peer.clock.now() + 1_000_000_000)
            peer.settle()
        assert peer.got.startswith(b"HTTP/1.1 ") or not peer.got
        assert peer.got or not peer.server.ended
        assert len(peer.got) < 4_000_000
        peer.server.hang_up()
        assert peer.desk.in_flight == 0


# -- rows -------------------------------------------------------------------------------------------

ROWS: Final = b"".join(
    json.dumps({"id": f"row-{number}", "prompt": f"Question {number}", "n": number}).encode() + b"\n"
    for number in range(4)
)
CELLS: Final = (
    *(
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"[" * 500,
        b'"\\ud800"',
        b"\xff",
        b"\x00",
    ),
    *(
        b'"id": 7, ',
        b'"id": "", ',
        b'"prompt": null',
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"{}",
        b'"',
        b",",
    ),
)


def test_any_rows_are_read_or_refused(tmp_path: Path) -> None:
    """What is read has ids that differ, and can be kept; the rest is refused with its place."""
    for dice in cases("rows"):
        path = tmp_path / dice.choice(("in.jsonl", "in.csv"))
        whole = ROWS if path.suffix == ".jsonl" else b'id,prompt\n1,one\n2,"two, and\nthree"\n'
        path.write_bytes(mutated(whole, dice, CELLS))
        shape = ColumnNames(template=dice.choice((None, None, "{prompt} {id}")))
        try:
            table = read_table(path, shape, Target("openai", "m"))
        except RunError as error:
            hold_to(error, str(path))
            continue
        assert len({item.id for item in table.items}) == len(table.items)
        for item in table.items:
            assert item.id.strip()
            json.dumps(item.data, allow_nan=False)
            fingerprint(item.prompt, item.data)
