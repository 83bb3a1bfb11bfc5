"""Several models in one run: where each row goes, whose limit holds whom, and what is counted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest

import wavetank
from wavetank.cli import main
from wavetank.processor import Limits, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.journal import Journal
from wavetank.run.provider_strategy import ProviderStrategy
from wavetank.run.providers import PROVIDERS
from wavetank.run.run_errors import ApiError

from .output import rows

KEY = "sk-secret-0123456789"
WORDS = ["run", "in.csv", "-o", "out.csv", "--provider", "ollama", "--model", "llama"]
ROWS = """id,prompt,provider,model
a0,Question 0,,
b0,Question 1,anthropic,claude
c0,Question 2,,mistral
a1,Question 3,ollama,llama
b1,Question 4,anthropic,claude
c1,Question 5,ollama, mistral
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose rows go to three models of two providers."""
    monkeypatch.chdir(tmp_path)
    for provider in PROVIDERS.values():
        for name in provider.keys:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    (tmp_path / "in.csv").write_text(ROWS)
    return tmp_path


Asked = list[tuple[str, str, str, str]]


def answering(monkeypatch: pytest.MonkeyPatch, *, spent: str = "", fails: str = "") -> Asked:
    """Have providers that answer; one model's quota is spent, one row fails. Each request is noted.

    A request is the id of its item, the provider, the model and the address.
    """
    asked: Asked = []

    async def execute(self: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        name = repr(self).removeprefix("<ProviderStrategy ").removesuffix(">")
        provider, _, model = name.partition("/")
        asked.append((item.id, provider, model, self._url))
        await anyio.sleep(0)
        if model == spent:
            raise ApiError(429, {}, {"error": {"code": "insufficient_quota"}}, "no credit")
        if item.id == fails:
            raise ApiError(400, {}, None, f"no such {model}")
        return f"{model}: {item.prompt}"

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    return asked


def test_each_row_goes_to_its_own_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty cell stands for the command line's; the report counts each model's rows."""
    asked = answering(monkeypatch, fails="c1")
    assert main([*WORDS, "--base-url", "anthropic=http://gateway.example"]) == 1
    assert sorted(asked) == [
        ("a0", "ollama", "llama", "http://127.0.0.1:11434/api/chat"),
        ("a1", "ollama", "llama", "http://127.0.0.1:11434/api/chat"),
        ("b0", "anthropic", "claude", "http://gateway.example/v1/messages"),
        ("b1", "anthropic", "claude", "http://gateway.example/v1/messages"),
        ("c0", "ollama", "mistral", "http://127.0.0.1:11434/api/chat"),
        ("c1", "ollama", "mistral", "http://127.0.0.1:11434/api/chat"),
    ]
    assert {id: row["answer"].partition(":")[0] for id, row in rows(folder).items()} == {
        **dict.fromkeys(("a0", "a1"), "llama"),
        **dict.fromkeys(("b0", "b1"), "claude"),
        "c0": "mistral",
        "c1": "",
    }
    assert (rows(folder)["b0"]["provider"], rows(folder)["b0"]["model"]) == ("anthropic", "claude")
    said = capsys.readouterr().out
    counts = "0 refusals, 0 pauses, 0 tokens in, 0 out\n"
    assert f"ollama/llama: 2 of 2 rows have answers, {counts}" in said
    assert f"anthropic/claude: 2 of 2 rows have answers, {counts}" in said
    assert f"ollama/mistral: 1 of 2 rows have answers, 1 failed, {counts}" in said


def test_a_run_of_one_model_reports_no_models(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a column names it in every row, so that the command line need not."""
    (folder / "in.csv").write_text("id,prompt,model\na,x,gpt-5\nb,y,gpt-5\n")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asked = answering(monkeypatch)
    assert main(["run", "in.csv", "-o", "out.csv"]) == 0
    assert {model for _, _, model, _ in asked} == {"gpt-5"}
    assert "openai/gpt-5" not in capsys.readouterr().out


@pytest.mark.parametrize("column", ["model", "provider"])
def test_a_column_of_that_name_may_mean_something_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """Another column may be named for it, be it one that is not there; the cells stay as they are."""
    (folder / "in.csv").write_text(f"id,prompt,{column},way\na,x,Corolla,{WAY[column]}\n")
    asked = answering(monkeypatch)
    assert main([*WORDS, f"--{column}-column", "none"]) == 0
    assert asked[0][1:3] == ("ollama", "llama")
    assert rows(folder)["a"][column] == "Corolla"
    (folder / "out.csv").unlink()
    assert main([*WORDS, f"--{column}-column", "way"]) == 0
    assert WAY[column] in asked[1][1:3]


WAY = {"model": "mistral", "provider": "anthropic"}


def test_a_spent_quota_of_one_model_stops_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows are left for later, all others are answered, and the run that resumes asks only the rest."""
    answering(monkeypatch, spent="claude")
    words = [*WORDS, "--journal", "run.db", "-j", "1"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "4 of 6 rows have answers" in said
    assert "anthropic/claude: 0 of 2 rows have answers" in said
    assert sorted(rows(folder)) == ["a0", "a1", "c0", "c1"]
    asked = answering(monkeypatch)
    assert main([*words, "--resume"]) == 0
    assert sorted((id, model) for id, _, model, _ in asked) == [("b0", "claude"), ("b1", "claude")]
    assert "anthropic/claude: 2 of 2 rows have answers" in capsys.readouterr().out
    assert len(rows(folder)) == 6


def test_a_limit_of_one_model_is_kept_by_the_run_that_resumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal has it under the name of the model; rows of others are sent meanwhile."""
    asked: list[str] = []
    fails = ["c1"]

    async def execute(self: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        if "claude" in repr(self):
            raise ApiError(429, {"retry-after": "3600"}, None, "slow down")
        if item.id == fails[0]:
            raise ApiError(400, {}, None, "this ends the run")
        return item.prompt

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    words = [*WORDS, "--journal", "run.db", "-j", "1", "--fail-fast"]
    assert main(words) == 1
    assert asked == ["a0", "b0", "c0", "a1", "c1"]
    assert list(rows(folder)) == ["a0", "c0", "a1", "c1"]
    settings = {"--provider": "ollama", "--model": "llama"}
    with Journal("run.db", resume=True, settings=settings) as journal:
        assert list(journal.pauses()) == ["anthropic/claude"]
    asked.clear()
    fails[0] = "c2"
    (folder / "in.csv").write_text(f"{ROWS}c2,Question 6,,mistral\n")
    assert main([*words, "--resume", "--retry-failed"]) == 1
    assert asked == ["c1", "c2"]


def test_another_model_in_a_cell_is_another_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run is not resumed with rows that go elsewhere; the first is named."""
    answering(monkeypatch)
    assert main([*WORDS, "--journal", "run.db"]) == 0
    (folder / "in.csv").write_text(ROWS.replace("c0,Question 2,,mistral", "c0,Question 2,,llama"))
    capsys.readouterr()
    assert main([*WORDS, "--journal", "run.db", "--resume"]) == 2
    assert "row 3, with the id 'c0', had another prompt or other data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cells", "words", "said"),
    [
        (("opnai", "m"), [], "in.csv:8: row 7 names the provider 'opnai'"),
        (("opnai", "m"), [], "and there is none; did you mean 'openai'?"),
        (("nobody", "m"), [], "there are openai, openai-compatible, anthropic"),
        (("", ""), ["--model", ""], "in.csv:2: row 1 names no model: give it one in a column 'model'"),
        (("openai", "m"), [], "set OPENAI_API_KEY to the API key of openai, to which row 7 goes"),
        (("openai-compatible", "m"), [], "row 7 goes to openai-compatible, which needs the --base-url"),
        (("", ""), ["--rate", "clade=1/s"], "no row goes to 'clade'; did you mean 'claude'"),
        (("", ""), ["--price-input", "llama=1"], "--price-input and --price-output go together"),
        (
            ("", ""),
            ["--max-cost=1", "--price-input=ollama=0", "--price-output=ollama=0"],
            "row 2 goes to anthropic, which does not state it: give --price-input",
        ),
        (("", ""), ["--rate", "1/s", "--rate", "2/s"], "--rate is given twice; give it once"),
        (("", ""), ["--rate", "claude=1/s", "--rate", "claude=2/s"], "--rate is given twice for claude"),
        (("", ""), ["--base-url=http://a", "--base-url=ollama=http://b"], "is given twice for ollama"),
        (("", ""), ["--base-url", "nowhere"], "the base URL of ollama is no URL"),
    ],
)
def test_an_error_before_the_first_request_says_why_a_row_cannot_be_sent(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cells: tuple[str, str],
    words: list[str],
    said: str,
) -> None:
    """The row is named; nothing is sent, and no file is made."""
    (folder / "in.csv").write_text(f"{ROWS}z,Question 6,{cells[0]},{cells[1]}\n")
    asked = answering(monkeypatch)
    assert main([*WORDS, *words, "--journal", "run.db"]) == 2
    assert said in capsys.readouterr().err
    assert asked == []
    assert [file.name for file in folder.iterdir()] == ["in.csv"]


def test_a_cell_that_is_no_name_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines may have a number there."""
    (folder / "in.jsonl").write_text('{"prompt": "x", "model": null}\n{"prompt": "x", "model": 5}\n')
    assert main(["run", "in.jsonl", *WORDS[2:]]) == 2
    assert "in.jsonl:2: row 2 has 5 in the column 'model', which must be a name" in capsys.readouterr().err


def test_each_model_is_asked_before_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--preflight` the run starts if all are clear, else those that are not are named."""
    asked = answering(monkeypatch, spent="mistral")
    assert main([*WORDS, "--preflight"]) == 2
    assert "not started: ollama/mistral is not clear: " in capsys.readouterr().err
    assert [(id, model) for id, _, model, _ in asked] == [
        ("preflight", "llama"),
        ("preflight", "claude"),
        ("preflight", "mistral"),
    ]
    assert folder


LIMITED = """
title = "One model is limited"
[latency]
first_token = "100ms"
[[wave]]
at = "0s"
lasts = "60s"
retry_after = "60s"
match = { model = "claude" }
"""


def test_a_rehearsal_shows_that_a_limit_of_one_model_holds_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of the others are done while one model pauses for a minute; `-vv` shows when."""
    (folder / "limited.toml").write_text(LIMITED)
    lines = [f"{model}{n},Question {n},,{model}" for n in range(30) for model in ("claude", "llama")]
    (folder / "in.csv").write_text("\n".join(["id,prompt,provider,model", *lines]) + "\n")
    words = [*WORDS, "--scenario", "limited.toml", "-j", "2", "--max-cost", "1"]
    prices = [
        "--price-input",
        "0",
        "--price-output",
        "0",
        "--price-input=claude=1",
        "--price-output=claude=100",
    ]
    assert main([*words, *prices, "-vv"]) == 0
    said = capsys.readouterr().out
    done = {id: float(at) for at, id in re.findall(r"^([\d.]+) s done item '(\w+)'$", said, re.M)}
    assert max(at for id, at in done.items() if id.startswith("llama")) < 20
    assert min(at for id, at in done.items() if id.startswith("claude")) > 60
    assert re.search(r"^[\d.]+ s paused ollama/claude until 6\d\.\d+ s$", said, re.M)
    assert re.search(r"ollama/claude: 30 of 30 rows have answers, \d refusals?, 1 pause, .* spent\n", said)
    assert re.search(r"ollama/llama: 30 of 30 rows have answers, 0 refusals, 0 pauses, [^$]* out\n", said)
    assert "exactly_once passed: 60 item(s)" in said


def test_a_rehearsal_speaks_each_provider_s_dialect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of all providers are answered, without a key or an address; nothing is written."""
    lines = [f"{name}{n},Question {n},{name},m" for n in range(4) for name in PROVIDERS]
    (folder / "in.csv").write_text("\n".join(["id,prompt,provider,model", *lines]) + "\n")
    assert main([*WORDS, "--scenario", "cascade"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}/m: 4 of 4 rows have answers" in said for name in PROVIDERS)
    assert [file.name for file in folder.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("flag", "kinds"),
    [
        ([], ""),
        (["-v"], "paused refused resumed retried"),
        (["-vv"], "done paused refused resumed retried"),
        (["--verbose", "--verbose", "-v"], "done paused refused resumed retried"),
    ],
    ids=["none", "one", "two", "three"],
)
def test_verbose_says_what_happens_as_it_happens(
    folder: Path, capsys: pytest.CaptureFixture[str], flag: list[str], kinds: str
) -> None:
    """Nothing by default, limits and retries with one, each row and each change of the rate with two."""
    lines = [f"Question {number}" for number in range(60)]
    (folder / "in.csv").write_text("\n".join(["prompt", *lines]) + "\n")
    assert main([*WORDS, "--scenario", "cascade", *flag]) == 0
    said = capsys.readouterr().out
    seen = set(re.findall(r"^[\d.]+ s (\w+)", said, re.M))
    assert sorted(seen - {"cut", "grown"}) == kinds.split()
    assert bool(seen & {"cut", "grown"}) == ("done" in kinds)


def test_verbose_shows_no_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the provider repeats it in a refusal."""
    refusals = [429, 500]

    def read(self: ProviderStrategy, *_: object) -> object:
        if refusals:
            text = f'{{"error": {{"message": "slow down, {KEY}", "code": "{KEY}"}}}}'
            return real(self, refusals.pop(), {"retry-after": "0.01"}, text)
        return real(self, 200, {}, '{"content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}')

    class Client:
        async def __aenter__(self) -> Client:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def post(self, *_: object, **__: object) -> Any:
            return Reply()

    class Reply:
        status_code, headers, text = 0, None, ""

    real: Any = ProviderStrategy._read
    monkeypatch.setattr(ProviderStrategy, "_read", read)
    monkeypatch.setattr("wavetank.run.command.new_client", lambda **_: Client())
    (folder / "in.csv").write_text("prompt\nx\n")
    words = ["run", "in.csv", "-o", "out.csv", "--provider", "anthropic", "--model", "m", "-vv"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert " retried item 'row-1'" in said.out
    assert KEY not in said.out + said.err


# -- limits by scope -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_limits_may_be_given_by_scope(backend: str) -> None:
    """Each key of `scope` has its own rate and its own largest item; one without a limit learns its rate."""
    limits = {
        "slow": Limits(requests_per_minute=60, burst=1),
        "small": Limits(tokens_per_minute=100),
    }
    starts: dict[str, list[float]] = {"slow": [], "small": [], "free": []}

    async def call(prompt: str) -> str:
        starts[prompt].append(anyio.current_time())
        return prompt

    async def work(_: wavetank.Tank) -> list[str | None]:
        async with ParallelBatchProcessor[str](
            call,
            workers=3,
            scope=lambda item: item.prompt,
            limits=limits,
            estimate_tokens=lambda item: item.data or 1,
        ) as processor:
            for number in range(5):
                for prompt in starts:
                    await processor.add_work(LLMWorkItem(f"{prompt}{number}", prompt, 0))
            for prompt in starts:
                await processor.add_work(LLMWorkItem(f"{prompt} large", prompt, 5000))
            return [result.reason for result in (await processor.process_all()).results]

    run = wavetank.simulate(work, "calm", backend=backend, checks=[])
    assert run.value is not None, run.error
    too_large = "too large: it needs 5000 tokens, and the limit lets through 100 at once"
    assert run.value == [None] * 16 + [too_large, None]
    gaps = [later - one for one, later in zip(starts["slow"], starts["slow"][1:], strict=False)]
    assert all(1.0 <= gap < 1.1 for gap in gaps)
    assert starts["free"][-1] - starts["free"][0] < 1
