"""What the fake answers to each request: as the test's function says, a file, a template, or by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, final

import msgspec
from msgspec.structs import replace

from ..nesting import too_deep
from ..scenario import (
    PLACEHOLDERS,
    Answer,
    AnswerFile,
    Fault,
    Finish,
    Scenario,
    ToolCall,
    Usage,
    UsageRow,
    text_of,
)
from .answer_texts import (
    WITHOUT_ITEM,
    equal_pieces,
    mark,
    of_length,
    own_answer,
    tokens_of,
    words_of,
)
from .content import NOTHING, Block, Content, WantedRefusal, cut
from .identity import shortened
from .picks import Picks
from .remembered import Remembered
from .request import Request

_REASONING: Final = ("Let", " me", " think", " about", " this.")
_KEPT: Final = 1 << 10
"""A search asks for the same answers in every run."""
_JSON_BEGINS: Final = tuple('{["-0123456789tfn')


Asked = Callable[[Request], Answer | Content | WantedRefusal | Fault | None]
"""Asked for an answer; `None` leaves it to the scenario, and a fault is one that the scenario's answer
meets. A `Content` is sent as it is."""


@final
class AnswerSource:
    """Plans the answer to each request, once, when it arrives.

    Args:
        scenario: what it says of answers.
        picks: draws lengths, which depend on the seed and the item only.
    """

    def __init__(self, scenario: Scenario, picks: Picks) -> None:
        self.ask: Asked | None = None
        """The test's own function; it goes before what the scenario says."""
        self.remembered = Remembered()
        self._answers = answers = scenario.answers
        self._picks = picks.steady()
        self._words = words_of(answers.text) if answers.text is not None else None
        self._has_placeholders = answers.text is not None and filled(answers.text, "", "") != answers.text
        self._text_is_json = answers.text is not None and is_json(answers.text)
        self._is_marked = self._marked and answers.file is None and not self._text_is_json
        self._is_plain = (
            self._is_marked
            and not self._has_placeholders
            and answers.tokens is None
            and answers.usage is None
        )

    def plan(self, request: Request) -> Content | WantedRefusal:
        """What is answered, already cut to the request's `max_tokens`; its `prompt_tokens` are set."""
        if not request.generates or request.max_tokens == 0:
            return NOTHING
        asked = self.ask(request) if self.ask is not None else None
        if isinstance(asked, WantedRefusal | Content):
            return asked
        if isinstance(asked, Fault):
            return replace(self._of_scenario(request), fault=asked)
        return self._of_scenario(request) if asked is None else self._given(request, asked)

    def _of_scenario(self, request: Request) -> Content:
        if self._is_plain and request.form is None and not request.reasoning:
            return _own_content(request.item, self._words, request.max_tokens)
        file = self._answers.file
        if file is not None and request.item is not None:
            found = _by_item(file).get(request.item)
            if found is not None:
                return self._given(request, found)
        text = self._answers.text
        if text is not None and (self._text_is_json or (request.form is None and not self._marked)):
            return self._given(
                request, Answer(self._filled(request, text)), lengthened=not self._text_is_json
            )
        return self._own(request)

    # -- the fake's own words ------------------------------------------------------------------

    def _own(self, request: Request) -> Content:
        """The mark and the scenario's or the fake's sentence; JSON with the mark where that is asked for."""
        pieces = self._own_pieces(request)
        usage = self._drawn(request)
        form = request.form
        if form is not None:
            word = self._word(request.item)
            block = Block(
                "text" if form.tool is None else "call",
                equal_pieces(form.text(word), len(pieces)),
                form.tool or "",
            )
        else:
            block = Block("text", pieces if usage is None else of_length(pieces, usage.completion_tokens))
        blocks = (Block("reasoning", _REASONING), block) if request.reasoning else (block,)
        finish: Finish = "stop" if block.kind == "text" else "tool_calls"
        return self._charged(request, blocks, finish, usage)

    def _word(self, item: str | None) -> str:
        """What a schema's free strings say."""
        if item is None or self._answers.mark == "none":
            return WITHOUT_ITEM[0]
        return mark(item) if self._marked else item

    @property
    def _marked(self) -> bool:
        return self._answers.mark in (None, "prefix")

    def _own_pieces(self, request: Request) -> tuple[str, ...]:
        if self._marked:
            words = self._words
            if self._has_placeholders and self._answers.text is not None:
                words = words_of(self._filled(request, self._answers.text)) or None
            return own_answer(request.item, words)
        if self._answers.mark == "hidden" and request.item is not None:
            return tokens_of("".join(own_answer(request.item)).replace(mark(request.item), request.item, 1))
        return WITHOUT_ITEM

    def _filled(self, request: Request, text: str) -> str:
        return filled(text, request.item or "", request.prompt, as_json=self._text_is_json)

    # -- answers that are given ----------------------------------------------------------------

    def _given(self, request: Request, answer: Answer, *, lengthened: bool = False) -> Content:
        """An answer as it was given, to the letter unless the scenario wants the mark before it.

        `lengthened`: the text is repeated or cut to the length that the scenario draws.
        """
        text = str(answer.text)
        calls = answer.tool_calls
        form = request.form
        if form is not None and form.tool is not None and not calls and is_json_object(text):
            calls, text = (ToolCall(form.tool, text),), ""
        usage = answer.usage or self._drawn(request)
        pieces = tokens_of(text)
        if text and request.item is not None and self._answers.mark == "prefix" and not is_json(text):
            pieces = (mark(request.item), *tokens_of(f" {text}"))
        if lengthened and usage is not None and pieces:
            pieces = of_length(pieces, usage.completion_tokens)
        reasoning = tokens_of(answer.reasoning) or (_REASONING if request.reasoning else ())
        blocks = [Block("reasoning", reasoning)] if reasoning else []
        if text or not (calls or reasoning):
            blocks.append(Block("text", pieces))
        blocks += [Block("call", tokens_of(text_of(call.arguments)), call.name) for call in calls]
        finish: Finish = answer.finish or ("tool_calls" if calls else "stop")
        return self._charged(request, tuple(blocks), finish, usage)

    def _charged(
        self, request: Request, blocks: tuple[Block, ...], finish: Finish, usage: Usage | UsageRow | None
    ) -> Content:
        """The answer with what it is charged for, cut to what the request allows."""
        tokens, most, lasts = sum(len(block.pieces) for block in blocks), request.max_tokens, None
        if most is not None and most < tokens:
            blocks, finish, tokens = cut(blocks, most), "length", most
        if usage is not None:
            tokens = usage.completion_tokens
            if usage.prompt_tokens is not None:
                request.prompt_tokens = usage.prompt_tokens
        if isinstance(usage, UsageRow):
            lasts = usage.lasts
            tokens = tokens if most is None else min(tokens, most)
        return Content(blocks, finish, tokens, lasts)

    def _drawn(self, request: Request) -> UsageRow | None:
        """The length that the scenario draws for an item."""
        answers, item = self._answers, request.item or ""
        if answers.usage is not None:
            rows = answers.usage.rows
            return rows[self._picks.between(0, len(rows) - 1, "usage", None, item, 0)]
        if answers.tokens is None:
            return None
        length = self._picks.between(answers.tokens.low, answers.tokens.high, "tokens", None, item, 0)
        return UsageRow(None, length)

    def remember(self, request: Request, content: Content) -> None:
        """The answer is sent: remember whose it is, unless its mark says so or nothing is to say it."""
        if self._is_marked and self.ask is None:
            return
        if self._answers.mark == "none" or request.item is None or not request.generates:
            return
        texts = (content.text, *(call.text for call in content.calls))
        if not any(mark(request.item) in text for text in texts):
            self.remembered.add(request.item, texts)

    def __repr__(self) -> str:
        return f"<AnswerSource {self._answers}>"


@lru_cache(maxsize=_KEPT)
def _own_content(item: str | None, words: tuple[str, ...] | None, most: int | None) -> Content:
    """The usual answer to an item."""
    pieces = own_answer(item, words)
    if most is None or most >= len(pieces):
        return Content((Block("text", pieces),), "stop", len(pieces))
    return Content((Block("text", pieces[:most]),), "length", most)


@lru_cache(maxsize=8)
def _by_item(file: AnswerFile) -> Mapping[str, Answer]:
    """The answers of a file, those to long prompts also by what such an item is called."""
    return {shortened(item): answer for item, answer in file.answers.items()} | dict(file.answers)


def filled(text: str, item: str, prompt: str, *, as_json: bool = False) -> str:
    """A template with its placeholders filled in; inside JSON what is filled in is escaped.

    >>> filled('{"id": "{item}"}', 'a"b', "", as_json=True)
    '{"id": "a\\\\"b"}'
    """
    values = {"{item}": item, "{prompt}": prompt}
    for name, value in values.items():
        values[name] = json.dumps(value, ensure_ascii=False)[1:-1] if as_json else value
    return _PLACEHOLDER.sub(lambda found: values[found[0]], text)


_PLACEHOLDER: Final = re.compile("|".join(re.escape(f"{{{name}}}") for name in PLACEHOLDERS))


def is_json(text: str) -> bool:
    """Whether a text is JSON, so that nothing may be put before it."""
    return text.lstrip().startswith(_JSON_BEGINS) and _decoded(text) is not _NO_JSON


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object, as the arguments of a tool are."""
    return text.lstrip().startswith("{") and isinstance(_decoded(text), dict)


_NO_JSON: Final = object()


def _decoded(text: str) -> object:
    data = text.encode(errors="replace")
    try:
        return _NO_JSON if too_deep(data) else msgspec.json.decode(data)
    except msgspec.DecodeError:
        return _NO_JSON
