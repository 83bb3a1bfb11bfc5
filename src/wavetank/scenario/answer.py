"""One answer as a test, or a file of a test's author, says it: text, tool calls, reasoning, what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, final, get_args

Finish = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ends; each provider's own word for it is sent."""

_FINISHES: Final = get_args(Finish)
_PROMPT: Final = ("prompt_tokens", "input_tokens")
_COMPLETION: Final = ("completion_tokens", "output_tokens")


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens a completion was charged for."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@final
@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: its name, and its arguments as JSON text or as a dict, which becomes that.

    Raises:
        TypeError: the arguments are neither, or the name is no text.
    """

    name: str
    arguments: str | dict[str, Any] = "{}"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"ToolCall({self.name!r}, …): give the name of a tool")
        if not isinstance(self.arguments, str | dict):
            raise TypeError(f"tool_calls: the arguments of {self.name!r} are a dict or JSON text")
        object.__setattr__(self, "arguments", text_of(self.arguments))


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider is to answer to one request.

    Args:
        text: the text. A dict or a list is answered as JSON text.
        tool_calls: calls of tools, each `{"name": …, "arguments": …}` or as in OpenAI's format; arguments
            are a dict or JSON text.
        reasoning: what a reasoning model thinks before it answers.
        usage: the tokens that are charged, `Usage(prompt_tokens, completion_tokens)` or a dict of the
            two; `None` counts them.
        finish: why the answer ends; `None` is `tool_calls` with calls, else `stop`.

    Raises:
        TypeError: one of them has the wrong type.
        ValueError: one of them has a value that no answer can have.
    """

    text: str | dict[str, Any] | list[Any] = ""
    tool_calls: tuple[ToolCall, ...] = field(default=(), kw_only=True)
    reasoning: str = field(default="", kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    finish: Finish | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name, value in (
            ("text", text_of(self.text)),
            ("tool_calls", _calls_of(self.tool_calls)),
            ("reasoning", _reasoning_of(self.reasoning)),
            ("usage", _usage_of(self.usage)),
            ("finish", _finish_of(self.finish)),
        ):
            object.__setattr__(self, name, value)


def answer_of(value: object) -> Answer:
    """The answer that a text, a dict or list (JSON text) or an `Answer` stands for.

    Raises:
        TypeError: it is none of them, or holds what JSON cannot say.
        ValueError: it holds what JSON cannot say.
    """
    return value if isinstance(value, Answer) else Answer(cast(str, value))


def text_of(value: object) -> str:
    """A text as it is, and a dict or a list as JSON text.

    Raises:
        TypeError: it is neither, or holds what JSON cannot say.
        ValueError: it holds a number that JSON cannot say, or half a character.
    """
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"an answer is sent as UTF-8, which cannot write {value[error.start]!r}: half a character, "
                "as from a text that was cut"
            ) from None
        return value
    raise TypeError(
        f"an answer is a text, a dict or list (answered as JSON text) or wavetank.Answer(…), "
        f"not {type(value).__name__}"
    )


def _calls_of(calls: object) -> tuple[ToolCall, ...]:
    if not isinstance(calls, list | tuple):
        raise TypeError(f'tool_calls={calls!r}: give a list of {{"name": …, "arguments": {{…}}}}')
    return tuple(map(_call_of, calls))


def _call_of(call: object) -> ToolCall:
    """A call as a test writes it; OpenAI's format nests name and arguments under `function`."""
    if isinstance(call, ToolCall):
        return call
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
        raise TypeError(f'tool_calls has {call!r}: give {{"name": "a_tool", "arguments": {{…}}}}')
    return ToolCall(inner["name"], inner.get("arguments", {}))


def _reasoning_of(reasoning: object) -> str:
    if not isinstance(reasoning, str):
        raise TypeError(f"reasoning={reasoning!r}: give a text")
    return text_of(reasoning)


def _usage_of(usage: object) -> Usage | None:
    if usage is None:
        return None
    if isinstance(usage, Mapping):
        usage = Usage(_count_in(usage, _PROMPT), _count_in(usage, _COMPLETION))
    if not isinstance(usage, Usage):
        raise TypeError(f"usage={usage!r}: give wavetank.Usage(prompt_tokens, completion_tokens)")
    for count in (usage.prompt_tokens, usage.completion_tokens):
        if not isinstance(count, int) or isinstance(count, bool):
            raise TypeError(f"usage={usage!r}: a count of tokens is an integer")
        if count < 0:
            raise ValueError(f"usage={usage!r}: a count of tokens cannot be negative")
    return usage


def _count_in(usage: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in usage:
            return usage[name]
    raise ValueError(f"usage={dict(usage)!r}: {names[0]} is missing")


def _finish_of(finish: object) -> Finish | None:
    if finish is not None and finish not in _FINISHES:
        raise ValueError(f"finish={finish!r}: choose from {', '.join(_FINISHES)}")
    return cast("Finish | None", finish)
