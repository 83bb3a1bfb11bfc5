"""requests and urllib3 at the providers' real URLs: real pool, retries, parser and timeouts."""

from __future__ import annotations

import concurrent.futures
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3

import wavetank
from wavetank import Scenario, Tank
from wavetank.scenario import load_scenario, scenario_from_dict
from wavetank.tank.hosted_world import Hosted

CHAT = "https://api.openai.com/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"
BEARER = {"authorization": "Bearer sk-test"}
VERSIONED = {"x-api-key": "sk-ant", "anthropic-version": "2023-06-01"}
QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAMED = {**QUESTION, "stream": True}


def scripted(**tables: Any) -> Scenario:
    return scenario_from_dict(tables, name="scripted", source="test")


def hosted(
    work: Callable[[Tank], Any], scenario: Scenario | str = "calm"
) -> tuple[Any, list[tuple[str, float]]]:
    """Run sync code as a test's phase; its value and the log as kinds with their seconds."""
    world = Hosted(load_scenario(scenario), seed=0, replay="pytest this")
    error: BaseException | None = None
    try:
        with world.phase():
            value = work(world.tank)
    except BaseException as caught:
        error = caught
        raise
    finally:
        world.over(error)
        world.close()
    world.raise_failure()
    return value, [(event.kind, event.at / 1e9) for event in world.tank.events]


def test_requests_gets_refusals_and_answers() -> None:
    """Status, headers and body are the provider's, in virtual time."""

    def work(_: Tank) -> Any:
        with requests.Session() as session:
            refused = session.post(CHAT, json=QUESTION, headers=BEARER)
            time.sleep(float(refused.headers["retry-after"]))
            answer = session.post(MESSAGES, json={**QUESTION, "max_tokens": 9}, headers=VERSIONED)
        return refused.status_code, answer.status_code, answer.json()["content"][0]["text"]

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s"}
    value, log = hosted(work, scripted(wave=[wave], latency={"first_token": "2s"}))
    assert value[:2] == (429, 200)
    assert "[wt:hi]" in value[2]
    assert [kind for kind, _ in log if "wave" not in kind] == [
        "arrived", "refused", "delivered", "arrived", "answered", "delivered",
    ]  # fmt: skip
    assert log[-1] == ("delivered", 9.01)


def test_a_stream_comes_piece_by_piece() -> None:
    """With `stream=True` each line has its own instant; the last byte read delivers the answer."""

    def work(tank: Tank) -> list[float]:
        with requests.post(CHAT, json=STREAMED, headers=BEARER, stream=True) as answer:
            times = [tank.now() for line in answer.iter_lines(chunk_size=1) if line]
            assert tank.fake_llm.requests[0].delivered
        return times

    times, log = hosted(work, scripted(latency={"first_token": "1s", "tokens_per_second": 2}))
    assert sorted(set(times)) == [1 + step / 2 for step in range(8)]
    assert [kind for kind, _ in log] == ["arrived", "answered", "delivered"]


def test_a_stream_that_is_given_up_has_left() -> None:
    """Closed after its first line, the answer is not delivered."""

    def work(_: Tank) -> None:
        with requests.post(CHAT, json=STREAMED, headers=BEARER, stream=True) as answer:
            next(answer.iter_lines(chunk_size=1))

    _, log = hosted(work, scripted(latency={"tokens_per_second": 2}))
    assert log == [("arrived", 0), ("left", 0)]


@pytest.mark.parametrize("status", [429, 503])
def test_the_retries_of_urllib3_are_in_force(status: int) -> None:
    """`Retry` honours Retry-After in virtual time, and each attempt sets out when the pool sends it."""

    def work(tank: Tank) -> Any:
        retries = urllib3.Retry(3, status_forcelist=[429, 503], allowed_methods=None, backoff_factor=1)
        with urllib3.PoolManager(retries=retries) as pool:
            answer = pool.request("POST", CHAT, body=json.dumps(QUESTION), headers=BEARER)
        return answer.status, [(record.sent, record.reached) for record in tank.fake_llm.requests]

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s", "status": status}
    value, _ = hosted(work, scripted(wave=[wave]))
    assert value == (200, [(0, 0.01), (7.01, 7.01)])


def test_the_read_timeout_holds() -> None:
    """It fires at its instant, is raised as the library raises it, and the request has left."""

    def work(tank: Tank) -> float:
        with pytest.raises(requests.ReadTimeout):
            requests.post(CHAT, json=QUESTION, headers=BEARER, timeout=(1, 2.5))
        return tank.now()

    at, log = hosted(work, scripted(latency={"first_token": "30s"}))
    assert at == 2.5
    assert log == [("arrived", 0), ("left", 2.5)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("reset", requests.ConnectionError), ("cut-mid-stream", requests.exceptions.ChunkedEncodingError)],
)
def test_a_broken_connection_is_the_librarys_own_error(kind: str, error: type[Exception]) -> None:
    """A reset and a cut raise what they raise over a real network, and the pool goes on."""

    def work(_: Tank) -> int:
        with requests.Session() as session:
            with pytest.raises(error):
                session.post(CHAT, json=STREAMED, headers=BEARER)
            return session.post(CHAT, json=QUESTION, headers=BEARER).status_code

    status, log = hosted(work, scripted(fault=[{"at": "0s", "kind": kind, "times": 1}]))
    assert status == 200
    assert "left" in [kind for kind, _ in log]


def test_a_pooled_connection_that_was_closed_is_made_again() -> None:
    """The pool sees that the provider's end is gone, and connects again."""

    def work(_: Tank) -> list[int]:
        with urllib3.PoolManager(retries=False) as pool:
            first = pool.request("POST", CHAT, body=b"{", headers={**BEARER, "connection": "close"})
            second = pool.request("POST", CHAT, json=QUESTION, headers=BEARER)
            third = pool.request("POST", CHAT, json=QUESTION, headers=BEARER)
        return [first.status, second.status, third.status]

    assert hosted(work)[0] == [400, 200, 200]


def test_all_ways_to_read_a_reply_give_the_same_bytes() -> None:
    """Read whole, in parts, line by line or into a buffer."""

    def work(_: Tank) -> list[bytes]:
        bodies = []
        with urllib3.PoolManager(retries=False) as pool:
            for read in (
                lambda reply: reply.read(),
                lambda reply: b"".join(reply.stream(7)),
                lambda reply: b"".join(reply.read(5) for _ in range(400)),
                lambda reply: b"".join(iter(reply.readline, b"")),
                lambda reply: reply.read1(9) + reply.read(),
            ):
                headers = {**BEARER, "x-wavetank-item": "a"}
                reply = pool.request("POST", CHAT, json=QUESTION, headers=headers, preload_content=False)
                answer = json.loads(read(reply))
                bodies.append(answer["choices"][0]["message"])
                reply.release_conn()
        return bodies

    bodies, log = hosted(work)
    assert len(bodies) == 5
    assert all(body == bodies[0] for body in bodies)
    assert [kind for kind, _ in log] == ["arrived", "answered", "delivered"] * 5


@pytest.mark.parametrize(
    ("url", "options", "where"),
    [
        ("https://example.com/v1", {}, r"answers for example.com;"),
        ("http://127.0.0.1:8080/", {}, "127.0.0.1:8080"),
        (
            "https://example.com/",
            {"proxies": {"https": "http://proxy.example.com:3128"}},
            r"answers for example.com;",
        ),
    ],
)
def test_an_unknown_host_is_named_and_nothing_is_sent(url: str, options: dict[str, Any], where: str) -> None:
    """The error is ours, and names host and port."""

    def work(tank: Tank) -> int:
        tank.expect(unknown_hosts=["*"])
        with pytest.raises(requests.ConnectionError, match=where.replace(".", r"\.")):
            requests.get(url, **options)
        return len(tank.fake_llm.requests)

    assert hosted(work)[0] == 0


def test_eight_threads_meet_a_barrier_of_eight() -> None:
    """Threads with one session each overlap in virtual time, and the log is the same in every run."""

    def ask(item: str) -> int:
        question = {"model": "gpt-4o", "messages": [{"role": "user", "content": item}]}
        status = 429
        while status == 429:
            answer = requests.post(CHAT, json=question, headers=BEARER)
            status = answer.status_code
            time.sleep(float(answer.headers.get("retry-after", 0)))
        return status

    def work(tank: Tank) -> Any:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(ask, [f"item {number}" for number in range(16)]))
        return statuses, tank.fake_llm.peak_in_flight, len(tank.events.of("refused"))

    first, second = hosted(work, "simultaneous"), hosted(work, "simultaneous")
    assert first == second
    assert first[0] == ({200}, 8, 8)


def test_a_large_body_and_a_body_in_chunks_arrive_whole() -> None:
    """Two megabytes go through, also when the client does not know the length before."""

    def work(_: Tank) -> list[int]:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
        parts = (body[at : at + 65536] for at in range(0, len(body), 65536))
        answers = [requests.post(CHAT, data=data, headers=BEARER).json() for data in (body, parts)]
        return [answer["usage"]["prompt_tokens"] for answer in answers]

    assert hosted(work)[0] == [500_000, 500_000]


# -- botocore, whose pools and connections are classes of its own -----------------------------------


def aws(*, stream: bool = False, timeout: float = 60, headers: dict[str, Any] | None = None) -> Any:
    """A question that goes through botocore's own HTTP session."""
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    body = json.dumps(STREAMED if stream else QUESTION).encode()
    asked = AWSRequest("POST", CHAT, headers={**BEARER, **(headers or {})}, data=body, stream_output=stream)
    return URLLib3Session(timeout=timeout).send(asked.prepare())


def test_botocore_gets_refusals_answers_and_streams() -> None:
    """Its session meets the provider at its real URL, in virtual time."""

    def work(tank: Tank) -> Any:
        refused = aws()
        time.sleep(float(refused.headers["retry-after"]))
        answer, chunks = aws(), aws(stream=True).raw.stream(16)
        seconds = {tank.now() for _ in chunks}
        return refused.status_code, json.loads(answer.content)["choices"][0]["message"]["content"], seconds

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s"}
    value, log = hosted(work, scripted(wave=[wave], latency={"first_token": "1s", "tokens_per_second": 2}))
    status, text, seconds = value
    assert status == 429
    assert "[wt:hi]" in text
    assert len(seconds) == 8
    assert [kind for kind, _ in log].count("delivered") == 3


def test_botocore_waits_for_leave_to_send_a_body() -> None:
    """Its `Expect: 100-continue` is granted at once, and the answer is the question's."""
    answer, log = hosted(lambda _: aws(headers={"Expect": b"100-continue"}).status_code, scripted())
    assert answer == 200
    assert log[-1] == ("delivered", 0)


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"latency": {"first_token": "30s"}}, "ReadTimeoutError"),
        ({"fault": [{"at": "0s", "kind": "reset"}]}, "ConnectionClosedError"),
        ({"fault": [{"at": "0s", "kind": "connection-refused"}]}, "EndpointConnectionError"),
    ],
)
def test_what_goes_wrong_is_botocores_own_error(tables: dict[str, Any], error: str) -> None:
    """Its timeouts hold, and it raises what it would raise over a real network."""
    from botocore import exceptions

    def work(_: Tank) -> None:
        with pytest.raises(getattr(exceptions, error)):
            aws(timeout=2)

    hosted(work, scripted(**tables))


def test_a_service_of_amazons_is_no_provider_of_the_tank() -> None:
    """A client for another one than Bedrock's runtime is told so, with the host's name; nothing is sent."""
    import botocore.session

    def work(_: Tank) -> None:
        session = botocore.session.Session()
        session.set_credentials("id", "secret")
        client = session.create_client("bedrock", region_name="us-east-1")
        with pytest.raises(Exception, match=r"answers for bedrock\.us-east-1\.amazonaws\.com;.*management"):
            client.list_foundation_models()

    with pytest.raises(wavetank.CheckFailed, match=r"bedrock\.us-east-1\.amazonaws\.com"):
        hosted(work)
