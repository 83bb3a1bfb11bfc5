"""Answers of a test's own in tests under pytest: sync clients, JSON, real time, and functions that fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

ANSWERED = """
    import json

    import openai
    import pytest

    json_scenario = pytest.mark.llm_scenario("json.toml")
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["bug", "wish"]}, "score": {"type": "number"}},
        "required": ["label", "score"],
        "additionalProperties": False,
    }

    def ask(**more):
        message = {"role": "user", "content": "classify row-1, answer as JSON"}
        with openai.OpenAI() as client:
            answer = client.chat.completions.create(model="m", messages=[message], **more)
        return answer.choices[0].message.content

    def test_function(tank):
        tank.fake_llm.answer = lambda request: {"label": "bug", "row": request.prompt.split()[1]}
        assert json.loads(ask()) == {"label": "bug", "row": "row-1,"}
        assert json.loads(ask(response_format={"type": "json_object"}))["label"] == "bug"

    @pytest.mark.llm_clock("real")
    def test_function_in_real_time(fake_llm):
        fake_llm.answer = lambda request: {"label": "bug"}
        assert json.loads(ask()) == {"label": "bug"}

    def test_the_next_test_has_the_fakes_own(fake_llm):
        assert fake_llm.answer is None
        assert ask().startswith("[wt:")

    @json_scenario
    def test_template(fake_llm):
        form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
        for more in ({}, {"response_format": {"type": "json_object"}}, {"response_format": form}):
            assert json.loads(ask(**more)) == {"label": "bug", "score": 1}
"""


def test_json_that_a_test_chooses(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """By a function, with either fixture and clock, or by a scenario; whatever asks for the JSON."""
    pytester.makefile(".toml", json='[answers]\ntext = \'{"label": "bug", "score": 1}\'\n')
    pytester.makepyfile(ANSWERED)
    run_pytest().assert_outcomes(passed=4)


FAILS = """
    import httpx
    import pytest
    import wavetank

    def broken(request):
        return {}["label"]

    def ask(fake_llm):
        with httpx.Client(transport=fake_llm.httpx_transport()) as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
            headers = {"authorization": "Bearer a-key-of-some-length"}
            return client.post("https://api.openai.com/v1/chat/completions", json=body, headers=headers)

    def swallows(fake_llm):
        fake_llm.answer = broken
        assert ask(fake_llm).status_code == 400

    def test_alone(fake_llm):
        swallows(fake_llm)

    @pytest.mark.llm_clock("real")
    def test_in_real_time(fake_llm):
        swallows(fake_llm)

    @pytest.mark.llm_checks("loop_responsive")
    def test_with_other_checks(tank):
        swallows(tank.fake_llm)

    def test_with_a_fresh_fake(fake_llm_factory):
        swallows(fake_llm_factory())

    def test_checked_by_itself(fake_llm):
        swallows(fake_llm)
        with pytest.raises(AssertionError):
            fake_llm.check("liveness")

    @wavetank.explore(schedules=50)
    async def test_explored(tank):
        tank.fake_llm.answer = broken
        with pytest.raises(wavetank.ProviderError):
            await tank.fake_llm.call("x", item="a")

    def test_unharmed(fake_llm):
        assert ask(fake_llm).status_code == 200
"""


def test_a_function_that_fails_fails_its_test(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Although the program swallows the error, whatever is checked; the place is named each time."""
    pytester.makepyfile(test_it=FAILS)
    result = run_pytest()
    result.assert_outcomes(passed=1, failed=7)
    said = "answer_function failed: fake_llm.answer: KeyError: 'label' (test_it.py:6)"
    assert result.stdout.str().count(f"\n{said}\n") == 7
