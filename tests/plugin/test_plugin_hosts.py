"""Hosts that the ini file, the command line and a conftest let the fake answer for."""

from __future__ import annotations

import pytest

GATEWAY = """
    import openai

    def ask(base_url):
        client = openai.OpenAI(base_url=base_url, max_retries=0)
        message = {"role": "user", "content": "row-1"}
        return client.chat.completions.create(model="m", messages=[message]).choices[0].message.content

    def test_gateway(fake_llm):
        assert ask("https://llm-gateway.corp.example/v1")
        assert fake_llm.requests[0].host == "llm-gateway.corp.example"
"""
OTHER = """
    def test_other(fake_llm):
        assert ask("http://localhost:4000")
"""


def test_ini_and_command_line_name_hosts(pytester: pytest.Pytester) -> None:
    """Both at once; a line may be a comment."""
    pytester.makeini("[pytest]\nllm_hosts =\n    # ours\n    llm-gateway.corp.example=openai\n")
    pytester.makepyfile(GATEWAY + OTHER)
    result = pytester.runpytest_subprocess("--llm-host", "localhost:4000=openai")
    result.assert_outcomes(passed=2)


def test_a_conftest_adds_a_vendor(pytester: pytest.Pytester) -> None:
    """Its name is a dialect from then on."""
    pytester.makeconftest(
        """
        import wavetank

        wavetank.add_vendor(wavetank.VendorCard(name="acme", hosts=("llm-gateway.corp.example",)))
        """
    )
    pytester.makepyfile(GATEWAY + OTHER)
    pytester.runpytest_subprocess("--llm-host=localhost:4000=acme").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x.example=opnai", "*llm_hosts: there is no dialect 'opnai': did you mean 'openai'?*"),
        ("x.example", "*llm_hosts: 'x.example': write HOST*=DIALECT, such as*"),
    ],
)
def test_a_wrong_line_stops_pytest(pytester: pytest.Pytester, line: str, said: str) -> None:
    """Before any test runs; the text names the key and the fix."""
    pytester.makeini(f"[pytest]\nllm_hosts = {line}\n")
    pytester.makepyfile(GATEWAY)
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_two_dialects_for_one_host_stop_pytest(pytester: pytest.Pytester) -> None:
    """Also where one is in the ini file and the other on the command line."""
    pytester.makeini("[pytest]\nllm_hosts = x.example=openai\n")
    pytester.makepyfile(GATEWAY)
    result = pytester.runpytest_subprocess("--llm-host", "x.example=groq")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*two dialects for x.example: groq and openai*"])
