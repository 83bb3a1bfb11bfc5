"""What one answer says, piece by piece: each piece is one token, and one part of a stream."""

from __future__ import annotations

from typing import Final, Literal, final

import msgspec

from ..scenario import Fault, Finish, RefusalError

BlockKind = Literal["reasoning", "text", "call"]


@final
class Block(msgspec.Struct, frozen=True):
    """A stretch of an answer of one kind, in pieces of one token each; of a call they are its arguments.

    `name` is the tool that is called.
    """

    kind: BlockKind
    pieces: tuple[str, ...]
    name: str = ""

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(self.pieces)


@final
class Content(msgspec.Struct, frozen=True):
    """An answer, apart from how it is sent.

    `tokens` is what it is charged for, mostly the number of its pieces. `lasts` is how many nanoseconds
    the last piece is sent after its request was let in; `None` leaves that to the latency of
    the scenario. `fault` is one that it meets, whatever the scenario's.
    """

    blocks: tuple[Block, ...]
    finish: Finish
    tokens: int
    lasts: int | None = None
    fault: Fault | None = None

    @property
    def pieces(self) -> tuple[str, ...]:
        """All pieces, in the order in which they are sent."""
        if len(self.blocks) == 1:
            return self.blocks[0].pieces
        return tuple(piece for block in self.blocks for piece in block.pieces)

    def pieces_of(self, kind: BlockKind) -> tuple[str, ...]:
        """The pieces of one kind; there is one block of reasoning or text at most."""
        for block in self.blocks:
            if block.kind == kind:
                return block.pieces
        return ()

    @property
    def text(self) -> str:
        """The text, without reasoning and calls."""
        return "".join(self.pieces_of("text"))

    @property
    def reasoning(self) -> str:
        """What was thought before it."""
        return "".join(self.pieces_of("reasoning"))

    @property
    def calls(self) -> tuple[Block, ...]:
        """The calls of tools."""
        return tuple(block for block in self.blocks if block.kind == "call")


def cut(blocks: tuple[Block, ...], most: int) -> tuple[Block, ...]:
    """The first pieces of an answer, so many at most."""
    kept: list[Block] = []
    for block in blocks:
        if most:
            pieces = block.pieces[:most]
            most -= len(pieces)
            kept.append(Block(block.kind, pieces, block.name))
    return tuple(kept) or NOTHING.blocks


NOTHING: Final = Content((Block("text", ()),), "length", 0)
"""What is sent where no text is generated."""


@final
class WantedRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal in place of an answer.

    `status` `None` is the dialect's own for the `error`, and `retry_after` is in nanoseconds. `message` is
    what it says. `invalid`: it is said as of a request that cannot be taken.
    """

    error: RefusalError
    message: str
    status: int | None = None
    retry_after: int | None = None
    invalid: bool = False
