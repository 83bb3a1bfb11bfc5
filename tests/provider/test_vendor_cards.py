"""What a card can say of a vendor, and what is said of a card that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wavetank import Scenario, VendorCard
from wavetank.clock import SECOND, Duration
from wavetank.provider.host_rules import HostApp, HostTable
from wavetank.provider.http import BadRequest, HttpRequest
from wavetank.provider.provider import Provider
from wavetank.provider.vendor_registry import cards, dialect_of
from wavetank.scenario import Fault, Limits, Wave


def card(**fields: Any) -> VendorCard:
    """A card of a vendor that is not in the table."""
    return VendorCard(**{"name": "mine", "hosts": ("api.mine.example",), **fields})


CHAT = {"model": "m-1", "messages": [{"role": "user", "content": "item-1"}]}


def respond(
    mine: VendorCard, scenario: Scenario, *, path: str = "/v1/chat/completions", body: Any = CHAT, n: int = 1
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the last of `n` equal requests, which all arrive 0.25 s after the begin."""
    http = HttpRequest(
        method="POST",
        host="api.mine.example",
        path=path,
        headers={"authorization": "Bearer key"},
        body=json.dumps(body).encode(),
    )
    dialect = dialect_of(mine)
    provider = Provider(scenario)
    data, heads = b"", []
    for number in range(n):
        request = dialect.decode(http, now=SECOND // 4)
        request.id = number + 1
        provider.arrive(request, SECOND // 4)
    while (due := provider.next_due()) is not None:
        for reply in provider.advance(due):
            if reply.request_id == n:
                frame = dialect.encode(request, reply)
                heads += [frame.head] if frame.head is not None else []
                data += frame.data
    return heads[0].status, dict(heads[0].headers), data


# -- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"serves": ("chats",)}, r"'mine', serves: there is no 'chats'; did you mean 'chat'\?"),
        ({"serves": "chat"}, r"serves: write a tuple, such as \('chat',\)"),
        ({"base_paths": ("v1",)}, "base_paths: 'v1' does not begin with a slash"),
        ({"behind": {"x": "openai"}}, "behind: 'x' does not begin with a slash"),
        ({"pings": ("warm",)}, "pings: 'warm' does not begin with a slash"),
        ({"reset": "minutes"}, "reset: there is no 'minutes'; choose of .*'duration'"),
        ({"limits_on": "none"}, "limits_on: there is no 'none'"),
        ({"limit_headers": {"request": "x-{field}"}}, "limit_headers: there is no 'request'; did you mean"),
        (
            {"limit_headers": {"requests": "x-quota-left"}},
            r"limit_headers\['requests'\]: 'x-quota-left' would be the name of 3 headers, for limit, "
            r"remaining, reset: put \{field\} into it, or say .* limit_fields=\('remaining',\)",
        ),
        (
            {"limit_headers": {"requests": "x-{what}-{field}"}},
            r"limit_headers\['requests'\]: .* has a place .* not known; there are \{field\}",
        ),
        ({"response_headers": {"x-id": "{id}"}}, r"response_headers\['x-id'\]: .*there are \{number\}"),
        ({"error_body": {"error": ["{text}"]}}, r"error_body: '\{text\}' has a place .* not known"),
        ({"stream_error": {"error": "{message}"}}, r"stream_error: .*there are \{error\}, \{status\}"),
        ({"errors": {"tokens": "Slow down"}}, r"errors\['tokens'\]: write a tuple of message, type, code"),
        ({"errors": {"tokens": ("{a", "b")}}, r"errors\['tokens'\]: .*write braces that are meant as \{\{"),
        ({"status_texts": {401: ()}}, r"status_texts\[401\]: write a tuple of message, type, code"),
        ({"hosts": ("https://api.acme.example",)}, "hosts: .* without 'https://'"),
        ({"name": "B 3"}, "name: 'B 3': write small letters"),
        ({"statuses": {"billing": 9999}}, "statuses: 'billing' has the status 9999"),
        ({"statuses": {"biling": 402}}, r"statuses: there is no 'biling'; did you mean 'billing'\?"),
        ({"over_limit": {"tokens": 503}}, "over_limit: there is no 'tokens'; choose of .*'rate-limit'"),
        (
            {"errors": {"rate_limit": ("a",)}},
            r"errors: there is no 'rate_limit'; did you mean 'rate-limit'\?",
        ),
        ({"errors": {"tokenz": ("a",)}}, r"errors: there is no 'tokenz'; did you mean 'tokens'\?"),
        ({"errors": {429: ("a",)}}, "errors: there is no 429; choose of .*'requests-per-day'"),
        ({"status_texts": {"401": ("a",)}}, "status_texts: '401' is no status: write a number"),
        (
            {"limit_headers": {"requests": "X Quota-{field}"}},
            r"limit_headers: 'X Quota-\{field\}' is no name of a",
        ),
        ({"response_headers": {"x-id:": "1"}}, "response_headers: 'x-id:' is no name of a header"),
        ({"refusal_headers": {"": "1"}}, "refusal_headers: '' is no name of a header"),
        ({"headers": ("x acme",)}, "headers: 'x acme' is no name of a header"),
        ({"key_header": "api key"}, "key_header: 'api key' is no name of a header"),
        ({"answer_fields": {"top": {}}}, "answer_fields: there is no 'top'; choose of .*'body'"),
    ],
)
def test_a_card_that_is_wrong_is_refused(fields: dict[str, Any], said: str) -> None:
    """When it is written; the text names the card, the field and what could be there."""
    with pytest.raises(ValueError, match=said):
        card(**fields)


TUPLES = [name for name, kind in VendorCard.__annotations__.items() if kind == "tuple[str, ...]"]


@pytest.mark.parametrize("field", TUPLES)
def test_a_text_is_no_tuple_of_texts(field: str) -> None:
    """It would be taken for a tuple of its letters."""
    with pytest.raises(ValueError, match=f"{field}: write a tuple"):
        card(**{field: "some text"})


def test_what_is_behind_a_gateway_exists() -> None:
    """Each dialect that a card names is that of a card."""
    names = {each.name for each in cards()}
    assert {name for each in cards() for name in each.behind.values()} <= names


# -- what a card says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "seen"),
    [
        ("duration", "600ms"),
        ("seconds", "1"),
        ("decimal-seconds", "0.6"),
        ("unix", "1767225601"),
        ("rfc3339", "2026-01-01T00:00:01Z"),
    ],
)
def test_a_reset_is_stated_in_the_form_of_the_card(reset: Any, seen: str) -> None:
    """One of 100 requests a minute is there again after 0.6 s; dates are those of the run, rounded up."""
    mine = card(limit_headers={"requests": "x-{field}"}, reset=reset)
    _, headers, _ = respond(mine, Scenario(limits=Limits(requests_per_minute=100)))
    assert (headers["x-limit"], headers["x-remaining"], headers["x-reset"]) == ("100", "0", seen)


def test_a_name_without_a_place_is_that_of_one_header() -> None:
    """Where one field is stated, its header may have any name."""
    mine = card(limit_headers={"requests": "x-quota-left"}, limit_fields=("remaining",))
    _, headers, _ = respond(mine, Scenario(limits=Limits(requests_per_minute=100)))
    assert headers["x-quota-left"] == "0"


@pytest.mark.parametrize(
    ("limits_on", "answered", "refused"),
    [("all", True, True), ("answers", True, False), ("refusals", False, True)],
)
def test_limits_are_stated_where_the_card_says(limits_on: Any, answered: bool, refused: bool) -> None:
    """On answers, on refusals or on both."""
    mine = card(limit_headers={"requests": "x-{field}"}, limit_fields=("remaining",), limits_on=limits_on)
    scenario = Scenario(limits=Limits(requests_per_minute=1))
    assert ("x-remaining" in respond(mine, scenario)[1]) == answered
    status, headers, _ = respond(mine, scenario, n=2)
    assert (status, "x-remaining" in headers) == (429, refused)


def test_a_refusal_is_in_the_shape_and_words_of_the_card() -> None:
    """With the numbers of the limit that was hit, headers of its own, and nothing where there is nothing."""
    mine = card(
        error_body={"f": {"n": "{code-number}", "says": ["{message}"], "is": "{title}"}, "x": "{number}"},
        errors={"requests": ("{model}: {used} of {limit}, wait {wait} s", "", "17"), "tokens": ("", "")},
        refusal_headers={"x-code": "{code}", "x-wait": "{wait}"},
        response_headers={"x-id": "{number}", "x-took": "{took}"},
    )
    scenario = Scenario(limits=Limits(requests_per_minute=1))
    status, headers, body = respond(mine, scenario, n=2)
    assert json.loads(body) == {
        "f": {"n": 17, "says": ["m-1: 1 of 1, wait 60 s"], "is": "Too Many Requests"},
        "x": headers["x-id"],
    }
    assert (status, headers["x-code"], headers["x-wait"], headers["x-took"]) == (429, "17", "60", "10")
    assert "x-code" not in respond(mine, Scenario(limits=Limits(requests_per_minute=9)))[1]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(requests_per_minute=1), "1 of 1 a minute"),
        (Limits(requests=1, per=Duration(SECOND)), "1 of 1 a second"),
        (Limits(requests_per_day=1), "1 of 1 a day"),
    ],
)
def test_a_message_names_the_time_that_a_limit_is_for(limits: Limits, said: str) -> None:
    """As the limit that was hit has it."""
    texts = dict.fromkeys(("requests", "requests-per-day"), ("{used} of {limit} a {unit}",))
    _, _, body = respond(card(errors=texts), Scenario(limits=limits), n=2)
    assert json.loads(body)["error"]["message"] == said


def test_an_error_in_a_stream_is_in_its_own_shape() -> None:
    """With the status that it would have had."""
    mine = card(stream_error={"event": "error", "what": "{error}", "status": "{status}"})
    scenario = Scenario(fault=(Fault(kind="error-in-stream", after_chunks=1, error="overloaded"),))
    _, _, data = respond(mine, scenario, body=CHAT | {"stream": True})
    last = json.loads(data.rstrip().rpartition(b"data: ")[2])
    assert (last["event"], last["status"]) == ("error", 503)
    assert last["what"]["error"]["code"] == "overloaded"


def test_an_answer_has_the_fields_of_the_card() -> None:
    """Each in its place; a tool call comes whole if the card says so."""
    mine = card(
        answer_fields={"body": {"b": 1}, "plain": {"p": 2}, "delta": {"d": 3}},
        whole_calls=True,
        numbered_calls=True,
    )
    function = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    asked = CHAT | {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    _, _, plain = respond(mine, Scenario(), body=asked)
    answer = json.loads(plain)
    assert (answer["b"], answer["p"], answer["choices"][0]["message"]["tool_calls"][0]["index"]) == (1, 2, 0)
    _, _, streamed = respond(mine, Scenario(), body=asked | {"stream": True})
    chunks = [json.loads(line[6:]) for line in streamed.decode().splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert all(chunk["b"] == 1 and "p" not in chunk for chunk in chunks)
    assert all(delta["d"] == 3 for delta in deltas)
    (calls,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (calls[0]["index"], json.loads(calls[0]["function"]["arguments"])) == (0, {})


def test_a_thought_is_in_the_field_of_the_card() -> None:
    """Of a model that always thinks by the card; of another one there is none."""
    mine = card(reasoning="thought", reasoners=("deep-*",))
    deep, plain = (
        json.loads(respond(mine, Scenario(), body=CHAT | {"model": name})[2])["choices"][0]["message"]
        for name in ("deep-1", "m-1")
    )
    assert deep["thought"]
    assert "thought" not in plain


def test_a_status_of_the_card_stands_where_a_scenario_names_none() -> None:
    """For what is wrong, and for a limit."""
    mine = card(statuses={"billing": 418}, over_limit={"rate-limit": 430})
    wave = Wave(lasts=Duration(SECOND), status=None, error="billing")
    assert respond(mine, Scenario(wave=(wave,)))[0] == 418
    assert respond(mine, Scenario(limits=Limits(requests_per_minute=1)), n=2)[0] == 430


def test_an_endpoint_may_be_elsewhere() -> None:
    """Its own path is the only one, and the others stay where they are."""
    mine = card(endpoint_paths={"embeddings": "/embed/*/all"}, serves=("chat", "embeddings"))
    assert respond(mine, Scenario(), path="/embed/x/all", body={"model": "m", "input": "a"})[0] == 200
    assert respond(mine, Scenario())[0] == 200
    with pytest.raises(BadRequest) as refused:
        respond(mine, Scenario(), path="/v1/embeddings", body={"model": "m", "input": "a"})
    assert refused.value.reply.status == 404


def test_a_path_that_is_unknown_is_refused_as_the_card_says() -> None:
    """With its text and its status; a ping is answered, and counts as no request."""
    mine = card(
        unknown_path=("No {method} {path} here",),
        unknown_path_status=405,
        pings=("/v1/warm",),
        needs_key=False,
    )
    with pytest.raises(BadRequest) as refused:
        respond(mine, Scenario(), path="/v1/chats")
    assert (refused.value.reply.status, refused.value.counts) == (405, True)
    assert json.loads(refused.value.reply.body)["error"]["message"] == (
        "No POST /v1/chats here (wavetank doesn't serve POST /v1/chats)"
    )
    with pytest.raises(BadRequest) as pinged:
        respond(mine, Scenario(), path="/v1/warm")
    assert (pinged.value.reply.status, pinged.value.reply.body, pinged.value.counts) == (200, b'""', False)


# -- gateways ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "path", "dialect", "rest"),
    [
        ("gateway.ai.cloudflare.com", "/v1/a/g/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("gateway.ai.cloudflare.com", "/v1/a/g/openai/chat/completions", "openai", "/chat/completions"),
        ("gateway.ai.cloudflare.com", "/v1/a/g/grok/v1/chat/completions", "xai", "/v1/chat/completions"),
        (
            "gateway.ai.cloudflare.com",
            "/v1/a/g/google-ai-studio/v1beta/models/m-1:generateContent",
            "gemini",
            "/v1beta/models/m-1:generateContent",
        ),
        (
            "gateway.ai.cloudflare.com",
            "/v1/a/g/azure-openai/mine/m-1/chat/completions",
            "azure",
            "/m-1/chat/completions",
        ),
        ("localhost:4000", "/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("localhost:4000", "/v1/chat/completions", "litellm", "/v1/chat/completions"),
        ("litellm.corp.example", "/anthropics/v1", "litellm", "/anthropics/v1"),
    ],
)
def test_a_path_of_a_gateway_leads_to_a_vendor(host: str, path: str, dialect: str, rest: str) -> None:
    """With the rest of the path; what it has itself stays its own."""
    asked = HttpRequest(method="POST", host=host, path=path, headers={}, body=b"{}")
    route = HostTable().route(asked)
    assert route is not None
    assert not isinstance(route.answers, HostApp)
    assert (route.answers.card.name, route.http.path) == (dialect, rest)


# -- rerankers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": 1, "documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": ["a", 1]}, r"documents\[1\]"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "q", "documents": ["a"], "top_k": "2"}, "top_k"),
    ],
)
def test_a_bad_request_to_a_reranker_is_refused(asked: dict[str, Any], said: str) -> None:
    """With 400, and the name of the parameter."""
    mine = card(serves=("rerank",))
    with pytest.raises(BadRequest) as refused:
        respond(mine, Scenario(), path="/v1/rerank", body={"model": "m", **asked})
    assert refused.value.reply.status == 400
    assert said.replace("\\", "") in json.loads(refused.value.reply.body)["error"]["message"]


@pytest.mark.parametrize("form", ["results", "data"])
def test_a_ranking_is_in_the_form_of_the_card(form: Any) -> None:
    """The list has its name, the best document is first, and objects with a text are documents, too."""
    mine = card(serves=("rerank",), rerank_list=form)
    asked = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"], "return_documents": True}
    _, _, body = respond(mine, Scenario(), path="/v1/rerank", body=asked)
    found = json.loads(body)[form]
    scores = [one["relevance_score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert sorted(one["index"] for one in found) == [0, 1, 2]
    texts = ["a", "b", "c"]
    shown = [one["document"] if form == "data" else one["document"]["text"] for one in found]
    assert shown == [texts[one["index"]] for one in found]
