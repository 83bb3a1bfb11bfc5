"""Reading requests in OpenAI's format, with the words its own API finds for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from ...dialect_base.shared import (
    InvalidRequest,
    Message,
    as_list,
    as_mapping,
    json_object,
    not_served,
    whole_number,
)
from ...http import HttpRequest
from ...schema_answers import JSON_OBJECT, Form

INVALID: Final = "invalid_request_error"

_UNPARSED: Final = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON.)"
)
_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_MAY_BE_SILENT: Final = ("assistant", "function")
# `n` of `CreateChatCompletionRequest` in OpenAI's OpenAPI description.
_MOST_COPIES: Final = 128
# "any" is Mistral's word.
_FORCED: Final = ("required", "any")


def payload_of(request: HttpRequest) -> dict[str, Any]:
    """The body of a request, which must be a JSON object that names a model."""
    payload = json_object(request.body)
    if payload is None:
        raise InvalidRequest(400, _UNPARSED, kind=INVALID)
    return payload


def model_of(payload: Mapping[str, Any]) -> str:
    """The model that is asked for."""
    model = payload.get("model")
    if model is None or model == "":
        raise missing("model")
    if not isinstance(model, str):
        raise wrong_type("model", "a string")
    return model


def stream_of(payload: Mapping[str, Any]) -> bool:
    """Whether a stream is asked for."""
    stream = payload.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise wrong_type("stream", "a boolean")
    return stream is True


def messages_of(payload: Mapping[str, Any], name: str = "messages") -> list[Message]:
    """The messages of a conversation, of which there must be one at least."""
    messages = payload.get(name)
    if messages is None:
        raise missing(name)
    if not isinstance(messages, list) or not messages:
        raise wrong_type(name, "an array of at least one object")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"{name}[{index}]", "an object")
        _check_message(message, f"{name}[{index}]")
    return messages


def _check_message(message: Message, place: str) -> None:
    role = message.get("role")
    if not isinstance(role, str):
        raise missing(f"{place}.role")
    if role not in _ROLES:
        names = ", ".join(repr(name) for name in _ROLES)
        text = f"Invalid value: {role!r}. Supported values are: {names}."
        raise InvalidRequest(400, text, kind=INVALID, param=f"{place}.role", code="invalid_value")
    if message.get("content") is None and role in _MAY_BE_SILENT:
        return
    if not isinstance(message.get("content"), (str, list)):
        raise wrong_type(f"{place}.content", "a string or an array")


def max_tokens_of(
    payload: Mapping[str, Any], names: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
) -> int | None:
    """The longest answer that is wanted, under the first of its names that is there."""
    for name in names:
        value = payload.get(name)
        if value is not None:
            if not whole_number(value):
                raise wrong_type(name, "an integer of at least 1")
            return int(value)
    return None


def copies_of(payload: Mapping[str, Any], most: int = _MOST_COPIES) -> int:
    """How many answers are wanted at once (`n`)."""
    wanted = payload.get("n")
    if wanted is None:
        return 1
    if not whole_number(wanted) or wanted > most:
        raise wrong_type("n", f"an integer from 1 to {most}")
    return int(wanted)


def one_copy(payload: Mapping[str, Any]) -> int:
    """One answer, whatever is asked for: so do those who have no `n`."""
    return 1


_THINKING: Final = frozenset(
    {"reasoning", "reasoning_effort", "include_reasoning", "reasoning_format", "prompt_mode", "thinking"}
)
"""The fields that `reasons` looks at: most requests have none of them."""


def reasons(payload: Mapping[str, Any]) -> bool:
    """Whether the model is asked to think first, in any way that vendors with this format have."""
    if _THINKING.isdisjoint(payload):
        return False
    inner = as_mapping(payload.get("reasoning"))
    wanted = inner.get("enabled") is not False and inner.get("effort") != "none"
    return (
        payload.get("reasoning_effort") not in _NO_EFFORT
        or (wanted and any(value is not None for value in inner.values()))
        or payload.get("include_reasoning") is True
        or payload.get("reasoning_format") == "parsed"
        or payload.get("prompt_mode") == "reasoning"
        or as_mapping(payload.get("thinking")).get("type") in ("enabled", "adaptive")
    )


def hides_reasoning(payload: Mapping[str, Any]) -> bool:
    """Whether the reasoning is to be left out of the answer (`exclude` of OpenRouter, `hidden` of Groq)."""
    return (
        as_mapping(payload.get("reasoning")).get("exclude") is True
        or payload.get("include_reasoning") is False
        or payload.get("reasoning_format") == "hidden"
    )


def check_served(payload: Mapping[str, Any]) -> None:
    """Refuse what the fake does not imitate.

    Raises:
        InvalidRequest: sound is asked for, or reasoning inside the text.
    """
    modalities = payload.get("modalities")
    if payload.get("audio") is not None or (isinstance(modalities, list) and set(modalities) - {"text"}):
        raise not_served(
            "any output but text", "audio" if payload.get("audio") else "modalities", kind=INVALID
        )
    if payload.get("reasoning_format") == "raw":
        raise not_served("reasoning inside the text", "reasoning_format", kind=INVALID)


_NO_EFFORT: Final = (None, "none")


def query_of(request: HttpRequest) -> Mapping[str, str]:
    """The parameters of the query; of one that is repeated the first counts."""
    return {name: values[0] for name, values in parse_qs(request.query).items()}


# -- what the answer is made of --------------------------------------------------------------------


def form_of(payload: Mapping[str, Any]) -> Form | None:
    """A tool call where the request forces one, else JSON where it asks for that, else plain text.

    A tool that is only offered (`auto`) is not called.
    """
    if "tools" not in payload and "tool_choice" not in payload and "response_format" not in payload:
        return None
    return called(payload.get("tools"), payload.get("tool_choice")) or structured(
        payload.get("response_format")
    )


def called(tools: object, choice: object) -> Form | None:
    """The call of the tool that `tool_choice` names, or of the first one where any must be called.

    Raises:
        InvalidRequest: it names a tool that is not offered, or forces a call where there are none.
    """
    offered = _functions(tools)
    wanted = as_mapping(choice)
    allowed = as_mapping(
        wanted.get("allowed_tools", wanted if wanted.get("type") == "allowed_tools" else None)
    )
    if allowed:
        offered_names = [_name(tool) for tool in as_list(allowed.get("tools")) if isinstance(tool, dict)]
        offered = {name: offered[name] for name in offered_names if name in offered}
        choice = allowed.get("mode")
    name = _name(wanted)
    if name:
        if name not in offered:
            text = f"Invalid value for 'tool_choice': no function named {name!r} was specified in 'tools'."
            raise InvalidRequest(400, text, kind=INVALID, param="tool_choice", code="invalid_value")
        return Form(offered[name], name)
    if choice not in _FORCED:
        return None
    if not tools:
        text = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise InvalidRequest(400, text, kind=INVALID, param="tool_choice", code="invalid_value")
    if not offered:
        return None
    name, schema = next(iter(offered.items()))
    return Form(schema, name)


def _functions(tools: object) -> dict[str, Mapping[str, Any]]:
    """The parameters of each tool by its name; chat nests them under `function`, responses do not."""
    found = {}
    for tool in as_list(tools):
        function = as_mapping(as_mapping(tool).get("function", tool))
        if isinstance(function.get("name"), str):
            found[function["name"]] = as_mapping(function.get("parameters") or {"type": "object"})
    return found


def _name(tool: Mapping[str, Any]) -> str:
    name = as_mapping(tool.get("function", tool)).get("name")
    return name if isinstance(name, str) else ""


def structured(response_format: object) -> Form | None:
    """JSON of the schema that `response_format` names, or any object."""
    wanted = as_mapping(response_format)
    kind = wanted.get("type")
    if kind == "json_object":
        return Form(JSON_OBJECT)
    if kind != "json_schema":
        return None
    inner = as_mapping(wanted.get("json_schema", wanted))
    schema = inner.get("schema", inner.get("schema_definition"))
    if not isinstance(schema, Mapping):
        raise missing("response_format.json_schema.schema")
    return Form(schema)


# -- complaints ------------------------------------------------------------------------------------


def missing(param: str) -> InvalidRequest:
    """A parameter is not there."""
    message = f"Missing required parameter: '{param}'."
    return InvalidRequest(400, message, kind=INVALID, param=param, code="missing_required_parameter")


def wrong_type(param: str, expected: str) -> InvalidRequest:
    """A parameter is of the wrong type."""
    message = f"Invalid type for '{param}': expected {expected}."
    return InvalidRequest(400, message, kind=INVALID, param=param, code="invalid_type")
