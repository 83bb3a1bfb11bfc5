"""`[answers]` of a scenario: templates, a file of answers, lengths and costs, and how an item is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wavetank import Completion, Tank, load_scenario, simulate
from wavetank.clock import SECOND
from wavetank.scenario import Scenario, ScenarioError, digest, override_scenario, scenario_from_dict, written

ITEMS = ("row-1", "row-2", 'row "3"')


def written_in(folder: Path, answers: str, **files: str) -> Path:
    """A scenario file with a table of answers, and the files beside it."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    path = folder / "mine.toml"
    path.write_text(f"[answers]\n{answers}\n", encoding="utf-8")
    return path


def asked(scenario: Scenario | Path, items: tuple[str, ...] = ITEMS, **more: Any) -> Any:
    """A run that asks for each item and completes it with the text."""

    async def main(tank: Tank) -> list[Completion]:
        answers = []
        for number, item in enumerate(items):
            answers.append(await tank.fake_llm.call(f"do {item}", item=item, **more))
            if item not in items[:number]:
                tank.ledger.submit(item)
                tank.ledger.complete(item, answers[-1].text)
        return answers

    run = simulate(main, scenario=scenario, checks="right_answer")
    run.check()
    return run


def texts(scenario: Scenario | Path, items: tuple[str, ...] = ITEMS, **more: Any) -> list[str]:
    return [answer.text for answer in asked(scenario, items, **more).value]


# -- templates -------------------------------------------------------------------------------------


def test_a_template_names_the_item_and_the_prompt(tmp_path: Path) -> None:
    """After the mark, as any text."""
    path = written_in(tmp_path, 'text = "On {item}: {prompt} {done}"')
    assert texts(path)[0] == "[wt:row-1] On row-1: do row-1 {done}"


def test_a_template_of_json_stays_json(tmp_path: Path) -> None:
    """What is filled in is escaped, no mark is put before it, and the item is known by the text."""
    path = written_in(tmp_path, """text = '{"id": "{item}", "said": "{prompt}", "n": {}}'""")
    run = asked(path)
    said = [json.loads(answer.text) for answer in run.value]
    assert said[2] == {"id": 'row "3"', "said": 'do row "3"', "n": {}}
    assert run.verdicts["right_answer"].summary == "3 value(s), each with its own item's answer"


@pytest.mark.parametrize(
    ("mark", "text", "judged"),
    [
        ("prefix", "[wt:row-1] is the item this answer belongs to.", "mark"),
        ("hidden", "row-1 is the item this answer belongs to.", "answer"),
        ("none", "This answer carries no item.", None),
    ],
)
def test_the_mark_of_the_fake_s_own_sentence(mark: str, text: str, judged: str | None) -> None:
    """Before it, only as what it says, or not at all."""
    run = asked(scenario_from_dict({"answers": {"mark": mark}}, name="x", source="x"))
    assert run.value[0].text == text
    verdict = run.verdicts["right_answer"]
    if judged is None:
        assert verdict.passed is None
    else:
        assert verdict.summary == f"3 value(s), each with its own item's {judged}"


@pytest.mark.parametrize("mark", ["hidden", "none"])
def test_a_template_without_a_mark_is_said_to_the_letter(mark: str) -> None:
    """Not a character more."""
    scenario = scenario_from_dict({"answers": {"text": "{item}!\n", "mark": mark}}, name="x", source="x")
    assert texts(scenario)[0] == "row-1!\n"


# -- a file of answers -----------------------------------------------------------------------------

ANSWERS = """
{"item": "row-1", "answer": "A text."}
{"item": "row-2", "answer": {"label": "größer"}, "usage": {"input_tokens": 900, "output_tokens": 70}}
{"item": "row-4", "tool_calls": [{"name": "look", "arguments": {"a": 1}}], "reasoning": "hm"}
"""


def test_a_file_has_answers_by_item(tmp_path: Path) -> None:
    """To the letter; an item that is not in it has the scenario's own answer."""
    path = written_in(tmp_path, 'file = "answers.jsonl"\ntext = "else"', answers_jsonl=ANSWERS)
    run = asked(path, (*ITEMS, "row-4"))
    first, second, third, fourth = run.value
    assert [first.text, second.text] == ["A text.", '{"label": "größer"}']
    assert third.text.endswith("] else")
    assert (second.usage.prompt_tokens, second.usage.completion_tokens) == (900, 70)
    assert (fourth.tool_calls[0].arguments, fourth.reasoning) == ('{"a": 1}', "hm")
    assert run.verdicts["right_answer"].passed is True


def test_an_item_may_be_the_prompt_itself(tmp_path: Path) -> None:
    """Also a long one, which the log has in short."""
    prompt = "What is the answer to a question that takes more than sixty-four characters to ask?"
    line = json.dumps({"item": prompt, "answer": "42"})
    path = written_in(tmp_path, 'file = "answers.jsonl"', answers_jsonl=line)

    async def main(_: Tank) -> str:
        import openai

        async with openai.AsyncOpenAI() as client:
            message: Any = {"role": "user", "content": prompt}
            answer = await client.chat.completions.create(model="m", messages=[message])
            return answer.choices[0].message.content or ""

    assert simulate(main, scenario=path).value == "42"


def test_the_path_starts_from_the_scenario_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the program runs; a scenario in code starts where it runs."""
    path = written_in(tmp_path, 'file = "answers.jsonl"', answers_jsonl=ANSWERS)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert texts(path)[0] == "A text."
    with pytest.raises(ScenarioError, match="there is no such file"):
        scenario_from_dict({"answers": {"file": "answers.jsonl"}}, name="x", source="code")
    scenario_from_dict({"answers": {"file": "../answers.jsonl"}}, name="x", source="code")


def test_the_digest_is_of_what_the_file_says(tmp_path: Path) -> None:
    """Not of its place: the same answers are the same scenario on another machine."""
    for name, text in (("one", ANSWERS), ("two", ANSWERS), ("three", ANSWERS.replace("A text", "Another"))):
        (tmp_path / name).mkdir()
        written_in(tmp_path / name, 'file = "answers.jsonl"', answers_jsonl=text)
    one, two, three = (load_scenario(tmp_path / name / "mine.toml") for name in ("one", "two", "three"))
    assert one == two != three
    assert digest(one) == digest(two) != digest(three)
    again = scenario_from_dict(written(one), name=one.name, source="written")
    assert (again, digest(again)) == (one, digest(one))
    assert override_scenario(one, {}, source="nothing") == one


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: not JSON: "),
        ("[1]", "line 1: expected a JSON object"),
        ('\n{"answer": "x"}', "line 2: item: expected the id of an item, a text"),
        ('{"item": "a"}', "line 1: answer: is missing"),
        ('{"item": "a", "anser": "x"}', "line 1: anser: unknown key; did you mean 'answer'?"),
        ('{"item": "a", "answer": "x"}\n{"item": "a", "answer": "y"}', "line 2: item 'a' has an answer"),
        ('{"item": "a", "answer": "x", "finish": "done"}', "line 1: finish='done': choose from stop"),
        ('{"item": "a", "answer": "x", "usage": 3}', "line 1: usage=3: give wavetank.Usage"),
        ("", "answers.jsonl: has no line"),
    ],
)
def test_a_wrong_file_of_answers_is_refused(tmp_path: Path, line: str, said: str) -> None:
    """The text names the scenario, the key, the file and the line."""
    path = written_in(tmp_path, 'file = "answers.jsonl"', answers_jsonl=line)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(error.value).startswith(f"{path}: answers.file: {tmp_path / 'answers.jsonl'}")
    assert said in str(error.value)


# -- lengths and costs -----------------------------------------------------------------------------


def test_lengths_are_drawn_by_item() -> None:
    """The same item has the same length each time, from the seed alone."""
    table = {"latency": {"tokens_per_second": 10}, "answers": {"tokens": "20..400"}}
    scenario = scenario_from_dict(table, name="x", source="x")
    items = tuple(f"row-{number}" for number in range(30))
    run = asked(scenario, (*items, *items))
    lengths = [answer.usage.completion_tokens for answer in run.value]
    assert lengths[:30] == lengths[30:]
    assert len(set(lengths)) > 15
    assert min(lengths) >= 20
    assert max(lengths) <= 400
    assert all(len(answer.text.split()) == answer.usage.completion_tokens for answer in run.value)
    assert run.value[0].text.startswith("[wt:row-0] is the item this answer belongs to. [wt:row-0] is")
    assert run.virtual_seconds == pytest.approx(sum(length - 1 for length in lengths) / 10)


def test_a_length_is_cut_by_max_tokens_and_json_is_not_repeated() -> None:
    """JSON is charged for as long as it is drawn, and stays what it is."""
    table: dict[str, object] = {"answers": {"tokens": 50, "text": "one two three"}}
    run = asked(scenario_from_dict(table, name="x", source="x"), max_tokens=9)
    assert [(one.usage.completion_tokens, one.finish) for one in run.value] == [(9, "length")] * 3
    table = {"answers": {"tokens": 50, "text": '{"a": "{item}"}'}}
    run = asked(scenario_from_dict(table, name="x", source="x"))
    assert (run.value[0].text, run.value[0].usage.completion_tokens) == ('{"a": "row-1"}', 50)


CSV = "model, input_tokens, output_tokens, seconds\ngpt, 1200, 80, 2.5\ngpt, 90, 300, 7\n"
JSONL = '{"prompt_tokens": 1200, "completion_tokens": 80, "seconds": 2.5}\n' * 2


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("name", "text"), [("usage.csv", CSV), ("usage.jsonl", JSONL)])
def test_usage_of_one_s_own_is_charged_and_takes_its_time(
    tmp_path: Path, name: str, text: str, streamed: bool
) -> None:
    """Tokens in and out and seconds are those of one row for each item."""
    rows = {(1200, 80, 2.5), (90, 300, 7.0)} if name.endswith("csv") else {(1200, 80, 2.5)}
    path = written_in(tmp_path, f'usage = "{name}"', **{name.replace(".", "_"): text})
    seen = set()

    async def main(tank: Tank) -> None:
        import openai

        async with openai.AsyncOpenAI() as client:
            for number in range(6):
                before = tank.now()
                message: Any = {"role": "user", "content": f"row-{number}"}
                more: Any = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
                answer: Any = await client.chat.completions.create(model="m", messages=[message], **more)
                usage = answer.usage if not streamed else [chunk async for chunk in answer][-1].usage
                seen.add((usage.prompt_tokens, usage.completion_tokens, round(tank.now() - before, 9)))

    run = simulate(main, scenario=path)
    run.check()
    assert seen == rows
    tokens = {event.tokens for event in run.events.of("answered")}
    assert tokens == {prompt + completion for prompt, completion, _ in rows}


def test_limits_count_the_usage(tmp_path: Path) -> None:
    """Not what the prompt has."""
    path = written_in(
        tmp_path,
        'usage = "usage.csv"\n[limits]\ninput_tokens_per_minute = 1000',
        usage_csv=CSV.replace("90", "1300"),
    )

    async def main(tank: Tank) -> int:
        try:
            await tank.fake_llm.call("short", item="a")
        except Exception as error:
            return int(getattr(error, "status", 0))
        return 200

    assert simulate(main, scenario=path).value == 429


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input_tokens\n5\n", "line 2: output_tokens is missing"),
        ("output_tokens\nmany\n", "line 2: output_tokens: expected a number of at least 0, not 'many'"),
        ("output_tokens\n-5\n", "line 2: output_tokens: expected a number of at least 0"),
        ("output_tokens\n5.5\n", "line 2: output_tokens: expected a whole number of tokens, not 5.5"),
        ("output_tokens,seconds\n5,nan\n", "line 2: seconds: expected a number"),
        ("output_tokens\n", "has no row"),
    ],
)
def test_a_wrong_file_of_usage_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The text names the line."""
    path = written_in(tmp_path, 'usage = "usage.csv"', usage_csv=text)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ('text = "On {itme}"', "answers.text: unknown placeholder {itme}; did you mean 'item'?"),
        ("tokens = 0", "answers.tokens: expected a number of tokens or a range"),
        ('tokens = "9..3"', 'answers.tokens: the range runs backwards; write "3..9"'),
        ('tokens = "few"', "answers.tokens: expected a number of tokens or a range"),
        ('mark = "hiden"', "answers.mark: unknown value 'hiden'; did you mean 'hidden'?"),
        ('file = "none.jsonl"', "none.jsonl' cannot be read: there is no such file; a path is relative"),
        ("file = 3", "answers.file: expected a text, not 3"),
        ('tokens = 3\nusage = "usage.csv"', "answers.tokens: usage has the lengths of answers, too"),
    ],
)
def test_wrong_answers_are_refused(tmp_path: Path, answers: str, said: str) -> None:
    """The text names the key and the fix."""
    with pytest.raises(ScenarioError) as error:
        load_scenario(written_in(tmp_path, answers, usage_csv=CSV))
    assert said in str(error.value)


def test_a_wave_is_not_moved_by_lengths() -> None:
    """Lengths are drawn apart from all other picks: latencies and shares stay what they were."""
    table: dict[str, Any] = {"latency": {"first_token": "0s..1s"}}
    plain = scenario_from_dict(table, name="x", source="x")
    drawn = scenario_from_dict(table | {"answers": {"tokens": "1..100"}}, name="x", source="x")
    assert asked(plain).virtual_seconds == asked(drawn).virtual_seconds
    assert asked(plain).virtual_seconds * SECOND > 0
