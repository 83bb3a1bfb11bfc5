"""The code blocks of the documentation's pages, and what they ask a reader to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]

_FENCE: Final = re.compile(
    r"^(?:<!-- (?P<verb>file|replace in|append to): (?P<file>\S+) -->\n)?"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@final
@dataclass(frozen=True, slots=True)
class Block:
    """A code block. A comment above it may say which file of a walk-through it makes or changes."""

    language: str
    text: str
    verb: str | None = None
    file: str | None = None


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    found = _FENCE.finditer(page.read_text("utf-8"))
    return [Block(each["language"], each["text"], each["verb"], each["file"]) for each in found]


def texts(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language that are in no file of a walk-through."""
    return [each.text for each in blocks(page) if each.language == language and each.file is None]


def is_walkthrough(page: Path) -> bool:
    """Whether the page makes files and runs commands on them, one after the other."""
    return any(each.file for each in blocks(page))


def write(block: Block, folder: Path) -> None:
    """Make or change a file as the comment above the block says."""
    assert block.file is not None
    file = folder / block.file
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text("utf-8") if file.exists() else ""
    match block.verb:
        case "file":
            after = block.text
        case "append to":
            after = f"{before}\n\n{block.text}"
        case _:
            after = _replaced(before, block.text)
    file.write_text(after, "utf-8")


def _replaced(source: str, new: str) -> str:
    """The source with another body of the function that the new text defines."""
    head = new.splitlines()[0]
    indent = len(head) - len(head.lstrip())
    lines = source.splitlines()
    first = lines.index(head)
    last = first + 1
    while last < len(lines) and (
        not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip()) > indent
    ):
        last += 1
    return "\n".join([*lines[:first], *new.splitlines(), "", *lines[last:], ""])


def commands(block: Block) -> Iterator[tuple[list[str], list[str]]]:
    """The commands of a console block, each with the lines that it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield shlex.split(command, comments=True), printed


def assert_printed(shown: list[str], lines: list[str]) -> None:
    """What a page shows is printed, in this order.

    A line of dots leaves lines out; dots at the end of a line leave out the rest of it.
    """
    printed = iter(lines)
    for line in shown:
        if line.strip() == "…":
            continue
        start = line.removesuffix("…")
        found = any(each == line or (start != line and each.startswith(start)) for each in printed)
        assert found, f"this is not printed, in this order: {line!r}\n" + "\n".join(lines)
