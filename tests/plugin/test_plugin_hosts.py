"""Hosts that the ini file, the command line and a conftest let the fake answer for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

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


def test_ini_and_command_line_name_hosts(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Both at once; a line may be a comment."""
    pytester.makeini("[pytest]\nllm_hosts =\n    # ours\n    llm-gateway.corp.example=openai\n")
    pytester.makepyfile(GATEWAY + OTHER)
    result = run_pytest("--llm-host", "localhost:4000=openai")
    result.assert_outcomes(passed=2)


def test_a_conftest_adds_a_vendor(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Its name is a dialect from then on."""
    pytester.makeconftest(
        """
        import wavetank

        wavetank.add_vendor(wavetank.VendorCard(name="acme", hosts=("llm-gateway.corp.example",)))
        """
    )
    pytester.makepyfile(GATEWAY + OTHER)
    # Apart, since a vendor stays for the life of the process.
    run_pytest("--llm-host=localhost:4000=acme", apart=True).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x.example=opnai", "*llm_hosts *: there is no dialect 'opnai': did you mean 'openai'?*"),
        ("x.example", "*llm_hosts *: *write HOST*=DIALECT, such as*"),
    ],
)
def test_a_wrong_line_stops_pytest(
    pytester: pytest.Pytester, run_pytest: RunPytest, line: str, said: str
) -> None:
    """Before any test runs; the text names the key and the fix."""
    pytester.makeini(f"[pytest]\nllm_hosts = {line}\n")
    pytester.makepyfile(GATEWAY)
    result = run_pytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_two_dialects_for_one_host_stop_pytest(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Where both are in the ini file."""
    pytester.makeini("[pytest]\nllm_hosts =\n    x.example=openai\n    x.example=groq\n")
    pytester.makepyfile(GATEWAY)
    result = run_pytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*two dialects*for x.example: openai and groq*"])


def test_the_command_line_wins_over_the_ini_file(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """As with all other options."""
    pytester.makeini("[pytest]\nllm_hosts = llm-gateway.corp.example=anthropic\n")
    pytester.makepyfile(GATEWAY)
    run_pytest("--llm-host=llm-gateway.corp.example=openai").assert_outcomes(passed=1)


REFUSED = """
    import httpx2
    import openai
    import pytest

    def swallowed(url):
        try:
            httpx2.post(url)
        except Exception:
            pass

    def test_llm(fake_llm):
        swallowed("https://gw.example/v1/messages")

    def test_llm_with_tank(tank):
        tank.ledger.submit("row-1")
        swallowed("https://gw.example/v1/messages")
        tank.ledger.fail("row-1", "Connection error.")

    def test_telemetry_alone(fake_llm):
        swallowed("https://eu.posthog.com/capture")

    def test_telemetry_beside(fake_llm):
        swallowed("https://eu.posthog.com/capture")
        openai.OpenAI().models.list()

    @pytest.mark.llm_expect(unknown_hosts=["gw.example", "*.posthog.com"])
    def test_expected(fake_llm):
        swallowed("https://gw.example/v1/messages")
        swallowed("https://eu.posthog.com/capture")

    @pytest.mark.llm_off
    def test_off():
        pass

    def test_factory(fake_llm_factory):
        swallowed("https://eu.posthog.com/capture")
        fake_llm_factory()
        swallowed("https://eu.posthog.com/capture")
        openai.OpenAI().models.list()
"""
UNASKED = """
    import httpx2
    import pytest

    @pytest.mark.parametrize("url", ["https://gw.example/v1/messages", "https://pypi.org/pypi/x/json"])
    def test_unasked(url):
        try:
            httpx2.post(url)
        except Exception:
            pass
"""


def failed_tests(result: pytest.RunResult) -> list[str]:
    """The tests that failed, with the first line of why."""
    return [line.partition("::")[2] for line in result.outlines if line.startswith("FAILED")]


def test_a_test_that_was_refused_at_an_llm_s_host_fails(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """Also one that takes the fake alone; telemetry beside requests for an LLM is listed."""
    pytester.makepyfile(REFUSED)
    result = run_pytest(plugins=())
    assert [line.split(" - ")[0] for line in failed_tests(result)] == [
        "test_llm",
        "test_llm_with_tank",
        "test_telemetry_alone",
    ]
    result.stdout.fnmatch_lines(
        [
            "*hosts failed: no request reached the fake; refused: gw.example, which*",
            "*gw.example: POST /v1/messages, at 0s by 'main' (test_a_test_that*.py:7)",
            "*to have it answered: llm_hosts = gw.example=anthropic in the ini file, or *",
            "*::test_telemetry_beside: wanted eu.posthog.com, which the fake does not answer for; *",
        ]
    )
    result.stdout.no_fnmatch_line("*::test_expected: wanted*")


def test_the_ini_file_ignores_hosts(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """In the verdict and in the summary; a test that only has them ignored is not judged by more."""
    pytester.makeini("[pytest]\nllm_ignored_hosts =\n    # telemetry\n    *.posthog.com\n    gw.example\n")
    lost = '    def test_lost(fake_llm):\n        swallowed("https://gw.example/v1/messages")\n'
    pytester.makepyfile(REFUSED + lost)
    result = run_pytest(plugins=())
    result.assert_outcomes(passed=8)
    result.stdout.no_fnmatch_line("*wanted*")


@pytest.mark.parametrize("options", [(), ("--llm-checks=default",)])
def test_a_test_that_did_not_ask_for_the_fake_may_be_refused_elsewhere(
    pytester: pytest.Pytester, run_pytest: RunPytest, options: tuple[str, ...]
) -> None:
    """It fails only if it wanted an LLM."""
    pytester.makepyfile(UNASKED)
    result = run_pytest("--llm-scenario=calm", *options, plugins=())
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*hosts failed: no request reached the fake; refused: gw.example*"])


def test_an_ignored_host_that_is_none_stops_pytest(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With the key and the fix."""
    pytester.makeini("[pytest]\nllm_ignored_hosts = https://eu.posthog.com/\n")
    result = run_pytest(plugins=())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*llm_ignored_hosts: 'https://eu.posthog.com/' is no host: leave out*"])


def test_the_summary_counts_what_is_not_served(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """By test, with the path, and not among the refusals."""
    pytester.makepyfile(
        """
        import openai
        import pytest

        def test_it(fake_llm):
            client = openai.OpenAI()
            client.models.list()
            for _ in range(2):
                with pytest.raises(openai.NotFoundError, match="wavetank doesn't serve GET /v1/nothing"):
                    client.get("/nothing", cast_to=str)
        """
    )
    result = run_pytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "1 test: 1 requests, 0 refused, 0 unanswered, 0 wasted, 2 unserved",
            "*::test_it: wavetank doesn't serve GET /v1/nothing of api.openai.com",
        ]
    )
