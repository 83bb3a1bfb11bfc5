"""What is shown of texts that somebody else wrote: no key in any encoding, no secret by its place."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.shown import Secrets, shortened

KEY = "sk-secret-XYZ123/a+b&c"


def known(*keys: str) -> Secrets:
    secrets = Secrets()
    for key in keys or (KEY,):
        secrets.label(key)
    return secrets


def basic(user: str, after: str = "") -> Callable[[str], str]:
    return lambda key: base64.b64encode(f"{user}{key}{after}".encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda key: json.dumps({"key": key}),
    "JSON with every character escaped": lambda key: "".join(f"\\u{ord(each):04X}" for each in key),
    "JSON with slashes escaped": lambda key: key.replace("/", "\\/"),
    "JSON in JSON": lambda key: json.dumps(json.dumps("".join(f"\\u{ord(each):04x}" for each in key))),
    "percent": lambda key: quote(key, safe=""),
    "percent of every character": lambda key: "".join(f"%{ord(each):02x}" for each in key),
    "percent twice": lambda key: quote(quote(key, safe=""), safe=""),
    "HTML": html.escape,
    "HTML numbers": lambda key: "".join(f"&#{ord(each)};" for each in key),
    "HTML hexadecimal": lambda key: "".join(f"&#x{ord(each):X};" for each in key),
    "base64": basic(""),
    "basic auth with the key as user": basic("", ":"),
    "basic auth with the key as password": basic("user:"),
    "base64 behind one character": basic("a"),
    "base64 behind two characters": basic("ab", "c"),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"x{key}".encode()).decode(),
    "base64 in lines": lambda key: base64.encodebytes(f"{'x' * 40}{key}".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "across a line break": lambda key: f"{key[:9]}\n    {key[9:]}",
    "across an escaped line break": lambda key: f"{key[:9]}\\r\\n{key[9:]}",
    "quoted-printable": lambda key: f"{key[:9]}=\r\n{key[9:]}",
    "its first half": lambda key: f"{key[:12]}…",
    "its second half": lambda key: f"…{key[12:]}",
}


@pytest.mark.parametrize("how", ENCODINGS)
def test_a_known_key_is_hidden_however_it_is_echoed(how: str) -> None:
    """Neither the echo nor a part of the key is left, and what stands around it stays."""
    echo = ENCODINGS[how](KEY)
    shown = known().hide(f"401: {echo} is wrong")
    assert shown.startswith("401: ")
    assert shown.endswith(" is wrong")
    assert "key-1" in shown
    for before in range(3):
        middle = base64.b64encode(bytes(before) + KEY.encode()).decode()[8:16]
        assert middle not in shown.replace("\n", "")
    assert "secret" not in shown
    assert "XYZ123" not in shown


@given(text=st.text(alphabet='ab\\u0061%25&#;="\n ', max_size=80))
def test_a_text_without_secrets_is_not_changed(text: str) -> None:
    """Escapes of other things stay what they are."""
    assert known().hide(text) == text
    assert known().hide_keys(text) == text


@given(st.lists(st.sampled_from(sorted(ENCODINGS)), min_size=1, max_size=4), st.text(max_size=9))
def test_several_echoes_in_one_text_are_all_hidden(hows: list[str], between: str) -> None:
    """One does not hide another from the search."""
    shown = known().hide(f" {between} ".join(ENCODINGS[how](KEY) for how in hows))
    assert "secret" not in shown
    assert "XYZ123" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic abcd'}", "{'authorization': 'Basic ***'}"),
        ("x-api-key=foo, then", "x-api-key=***, then"),
        ("b'x-goog-api-key: AIza12'", "b'x-goog-api-key: ***'"),
        ("got Bearer abc1234567890abcdefgh", "got Bearer ***"),
        ("https://user:pass@host/x", "https://***@host/x"),
        ("GET https://host/x?alt=sse&key=abc&b=2", "GET https://host/x?alt=sse&key=***&b=2"),
        ("AUTHORİZATION: abcdef", "AUTHORİZATION: ***"),
        ("got BA\u017f\u0131C abc1234567890abcdefgh", "got BA\u017f\u0131C ***"),
        ("X-API-\N{KELVIN SIGN}EY: abcdef", "X-API-\N{KELVIN SIGN}EY: ***"),
        ("Authorization: Bearer key-1", "Authorization: Bearer key-1"),
        ("got Bearer x", "got Bearer ***"),
        ("got 'bearer x' here", "got 'bearer ***' here"),
        ("Bearer k3y was refused", "Bearer *** was refused"),
        ("got Basic dTpw here", "got Basic *** here"),
        ("OpenAI(api_key=x, timeout=3)", "OpenAI(api_key=***, timeout=3)"),
        ("OPENAI_API_KEY=x and more", "OPENAI_API_KEY=*** and more"),
        ("password = 'two words' of mine", "password = '***' of mine"),
        ("connect(password=hunter)", "connect(password=***)"),
        ('{"api_key": "x", "a": "b"}', '{"api_key": "***", "a": "b"}'),
        ('{"client_secret":"x\\"y"}', '{"client_secret":"***"}'),
        ("{'x-api-key': 'x', 'b': 1}", "{'x-api-key': '***', 'b': 1}"),
        ("[(b'host', b'h'), (b'x-api-key', b'x')]", "[(b'host', b'h'), (b'x-api-key', b'***')]"),
        ("('authorization', 'Bearer x')", "('authorization', 'Bearer ***')"),
        ("api_key: x1, then", "api_key: ***, then"),
        ("wrong: --openai-api-key x1 --model m", "wrong: --openai-api-key *** --model m"),
        ("Cookie: a=b; c=d, the rest", "Cookie: ***, the rest"),
        ("authorization: ApiKey x", "authorization: ApiKey ***"),
        ('authorization: Digest username="u", response="r"', "authorization: Digest ***"),
        ("Authorization%3A%20Bearer%20x%20is%20wrong", "Authorization%3A%20Bearer%20***%20is%20wrong"),
        ("%22api_key%22%3A%22x%22", "%22api_key%22%3A%22***%22"),
        ("?next=https%3A%2F%2Fhost%2F%3Fkey%3Dx%26b=2", "?next=https%3A%2F%2Fhost%2F%3Fkey%3D***%26b=2"),
        ("https://user:p%2Fw@host/x", "https://***@host/x"),
        (r'"{\"api_key\": \"x\", \"a\": 1}"', r'"{\"api_key\": \"***\", \"a\": 1}"'),
        (r"'x-api-key: x\r\nhost: h'", r"'x-api-key: ***\r\nhost: h'"),
        ("x-api-key: x\n  host: h", "x-api-key: ***\n  host: h"),
        ("{&quot;x-api-key&quot;: &quot;x&quot;}", "{&quot;x-api-key&quot;: &quot;***&quot;}"),
        (r"Authorization\u003a Bearer x", r"Authorization\u003a Bearer ***"),
    ],
)
def test_a_secret_is_known_by_its_place(text: str, shown: str) -> None:
    """A value of a secret header or field, a password and a key in a URL, of whatever length."""
    assert Secrets().hide(text) == shown
    assert Secrets().hide(shown) == shown
    assert Secrets().hide_keys(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a basic understanding of things, on the Basic plan",
        "the key is missing",
        "Bearer of good news; the bearer arrived.",
        "Missing Bearer token",
        "send it as 'Bearer token', not as Basic auth",
        'WWW-Authenticate: Bearer realm="api", error="invalid_token"',
        "Bearer 401 was refused",
        "The api_key client option must be set, or OPENAI_API_KEY in the environment",
        "api_key: Field required",
        "api_key: str | None = None, api_key=None",
        'OpenAI(api_key=os.environ["OPENAI_API_KEY"])',
        "OpenAI(api_key=read_key(), api_key=$OPENAI_API_KEY, api_key=<your key>)",
        "Missing API key: set OPENAI_API_KEY",
        '{"api_key": {"type": "string"}, "max_tokens": 5}',
        "one of ('x-api-key', 'authorization')",
        "missing fields: ['api_key', 'base_url']",
        "x-api-key header is required",
        "authorization: missing",
        "Headers({'authorization': '[secure]'})",
        "the token budget: 500 tokens, key = 3, tokens=5, sort key=name",
        "https://host/x?monkey=1&tokens=5, mail me@host",
        "use --api-key to set it",
        "a password reset; password: wrong",
        "first\n    second\\nthird %20 &amp; \\u0041",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """What speaks about secrets, and has none."""
    assert Secrets().hide(text) == text
    assert known().hide(text) == text


@pytest.mark.parametrize("key", ["x", "wavetank", "token"])
@pytest.mark.parametrize(
    "echo",
    [
        "Authorization: Bearer {}",
        "got Bearer {} for it",
        '"Bearer {}"',
        "api_key={}",
        "{{'x-api-key': '{}'}}",
        "https://host/?key={}",
        "Authorization%3A+Bearer%20{}",
    ],
)
def test_a_short_key_of_the_run_has_its_label_in_such_a_place(echo: str, key: str) -> None:
    """Also one that is an ordinary word elsewhere."""
    assert known(key).hide(echo.format(key)) == echo.format("key-1")
    assert known(key).hide(f"the {key} is wrong") == f"the {key} is wrong"


def test_the_values_that_an_error_holds_lose_their_secrets() -> None:
    """Also those of a parsed body, by the names of its fields."""
    body = {"error": {"api_key": "x", "a": ["Bearer x", b"?key=x", 7]}, "authorization": "x y"}
    error = RuntimeError(body, ("api_key=x", None))
    known().hide_in(error)
    hidden = {"error": {"api_key": "***", "a": ["Bearer ***", b"?key=***", 7]}, "authorization": "***"}
    assert error.args == (hidden, ("api_key=***", None))


def test_keys_are_numbered_in_the_order_of_their_appearance() -> None:
    """The same key has the same label, and a short one is hidden in no text."""
    secrets = known("wavetank", "second-key-0123", "wavetank")
    assert [secrets.label(key) for key in ("second-key-0123", "third", "wavetank")] == [
        "key-2",
        "key-3",
        "key-1",
    ]
    assert secrets.behind("key-2") == "second-key-0123"
    assert secrets.hide("wavetank saw second-key-0123") == "wavetank saw key-2"
    assert "second" not in repr(secrets)


def test_an_answer_keeps_all_but_whole_keys() -> None:
    """The beginning of a key is often its kind, which an answer may be about."""
    assert (
        known().hide_keys(f"sk-secret- is how {KEY} begins, ?key=x")
        == "sk-secret- is how key-1 begins, ?key=x"
    )


def test_the_texts_of_an_error_and_of_its_causes_lose_their_secrets() -> None:
    """Also in bytes, in a group and in a ring of causes."""
    cause = ValueError(f"Illegal header value {KEY}".encode())
    error = RuntimeError(f"401 for {KEY}", 7)
    group = ExceptionGroup("two", [error])
    error.__cause__, cause.__context__ = cause, error
    known().hide_in(group)
    assert error.args == ("401 for key-1", 7)
    assert cause.args == (b"Illegal header value key-1",)


@pytest.mark.parametrize(
    "hostile",
    [
        "\\",
        "\n",
        " ",
        "&",
        "%",
        "&a",
        "authorization ",
        "authorization: b",
        "http://",
        "bearer ",
        "?key=",
        "x.",
        "api_key=",
        'api_key: "',
        "cookie: a=",
        "cookie: a=b;",
        "('cookie', '",
        "Bearer x",
        "api_key=x.",
        "%3a",
    ],
)
def test_hiding_takes_time_in_proportion_to_the_text(hostile: str) -> None:
    """Ten times the text takes nowhere near a hundred times as long."""

    def seconds(length: int) -> float:
        text = (hostile * length)[:length]
        began = time.process_time()
        known().hide(text)
        return time.process_time() - began

    assert seconds(100_000) < 30 * max(seconds(10_000), 0.005)


def test_what_is_echoed_is_short() -> None:
    """An error does not repeat a hundred kilobytes of what somebody sent."""
    assert shortened("short") == "short"
    assert len(shortened("x" * 100_000)) < 250
