"""OpenAI's files: uploaded, listed, read and deleted.

Source: `OpenAIFile`, `ListFilesResponse` and `DeleteFileResponse` of OpenAI's OpenAPI description, and the
types of its SDK (`openai.types.FileObject`); errors as its users have quoted them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, final

from ...batches.endpoint import KeptEndpoint, made
from ...batches.service import BatchService, StoredFile
from ...dialect_base.shared import InvalidRequest, Values
from ...dialect_base.wire_dialect import Endpoint
from ...http import HttpRequest
from ...model import Made
from ...multipart import form_fields
from ...request import Action, Request
from .requests import INVALID, missing, query_of

_Kept = TypeVar("_Kept")

MOST_LISTED: Final = 10_000
"""The largest page of a list of files, and the usual one."""
_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_NOT_JSON_LINES: Final = "Invalid file format for Batch API. Must be .jsonl"

Writes = Callable[[StoredFile, BatchService], Values]


def new_file_id(kept: BatchService) -> str:
    """The id of a new file."""
    return f"file-{kept.letters(22, 'file')}"


def file_object(file: StoredFile, kept: BatchService) -> Values:
    """A file as OpenAI describes it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": kept.seconds(file.created),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "expires_at": file.facts.get("expires_at"),
        "status_details": None,
    }


def found_file(kept: BatchService, dialect: str, ident: str, now: int, *, param: str = "id") -> StoredFile:
    """The file of an id.

    Raises:
        InvalidRequest: there is none.
    """
    file = kept.file(dialect, ident, now)
    if file is None:
        raise InvalidRequest(404, f"No such File object: {ident}", kind=INVALID, param=param)
    return file


def page_limit(query: Mapping[str, str], default: int, most: int) -> int:
    """How many entries of a list are wanted.

    Raises:
        InvalidRequest: it is no number from 1 to `most`.
    """
    text = query.get("limit") or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        message = f"Invalid 'limit': expected a value from 1 to {most}, but got {text} instead."
        raise InvalidRequest(400, message, kind=INVALID, param="limit", code="invalid_value")
    return int(text)


def page_of(
    entries: Sequence[_Kept], ident: Callable[[_Kept], str], after: str, limit: int
) -> tuple[list[_Kept], bool]:
    """The entries that come after the one of an id, so many at most; and whether more follow.

    Raises:
        InvalidRequest: there is no entry of that id.
    """
    idents = [ident(entry) for entry in entries]
    if after and after not in idents:
        raise InvalidRequest(400, f"Invalid 'after': there is no {after!r}.", kind=INVALID, param="after")
    start = idents.index(after) + 1 if after else 0
    return list(entries[start : start + limit]), len(entries) > start + limit


def listed(entries: list[Values], more: bool) -> Made:
    """A page of a list."""
    return made(
        {
            "object": "list",
            "data": entries,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
            "has_more": more,
        }
    )


@final
@dataclass(frozen=True, slots=True)
class Files:
    """The endpoints for files.

    `writes` describes a file, `new_id` names a new one, and `lists` writes a page of them.
    """

    writes: Writes = file_object
    new_id: Callable[[BatchService], str] = new_file_id
    lists: Callable[[list[Values], bool], Made] = listed

    def endpoints(self, start: str) -> tuple[Endpoint, ...]:
        """The endpoints whose paths begin like this: a pattern."""
        many, one = re.compile(rf"{start}/files"), re.compile(rf"{start}/files/(?P<id>[^/]+)")
        return (
            KeptEndpoint("files", many, self._create),
            KeptEndpoint("files-list", many, self._list, "GET"),
            KeptEndpoint("file", one, self._retrieve, "GET"),
            KeptEndpoint("file-delete", one, self._delete, "DELETE"),
            KeptEndpoint("file-content", re.compile(rf"{one.pattern}/content"), self._content, "GET"),
        )

    def _create(self, http: HttpRequest, found: re.Match[str]) -> Action:
        name, data, purpose, seconds = _uploaded(http)

        def keep(kept: BatchService, request: Request, now: int) -> Made:
            file = StoredFile(
                id=self.new_id(kept),
                dialect=request.dialect,
                name=name,
                purpose=purpose,
                data=data,
                created=now,
                facts={"expires_at": kept.seconds(now) + seconds} if seconds else {},
            )
            return made(self.writes(kept.keep(file), kept))

        return keep

    def _list(self, http: HttpRequest, found: re.Match[str]) -> Action:
        query = query_of(http)
        limit = page_limit(query, MOST_LISTED, MOST_LISTED)

        def listing(kept: BatchService, request: Request, now: int) -> Made:
            files = kept.files_of(request.dialect, now)
            if query.get("purpose"):
                files = [file for file in files if file.purpose == query["purpose"]]
            if query.get("order") != "asc":
                files.reverse()
            page, more = page_of(files, lambda file: file.id, query.get("after", ""), limit)
            return self.lists([self.writes(file, kept) for file in page], more)

        return listing

    def _retrieve(self, http: HttpRequest, found: re.Match[str]) -> Action:
        return lambda kept, request, now: made(
            self.writes(found_file(kept, request.dialect, found["id"], now), kept)
        )

    def _content(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def read(kept: BatchService, request: Request, now: int) -> Made:
            file = found_file(kept, request.dialect, found["id"], now)
            headers = (("content-disposition", f'attachment; filename="{file.name}"'),)
            return Made(file.data, "application/octet-stream", headers, file.carries)

        return read

    def _delete(self, http: HttpRequest, found: re.Match[str]) -> Action:
        def drop(kept: BatchService, request: Request, now: int) -> Made:
            kept.drop_file(found_file(kept, request.dialect, found["id"], now))
            return made({"id": found["id"], "object": "file", "deleted": True})

        return drop


def _uploaded(http: HttpRequest) -> tuple[str, bytes, str, int]:
    """The name, the content and the purpose of an uploaded file, and in how many seconds it expires."""
    try:
        fields = {each.name: each for each in form_fields(http.headers.get("content-type", ""), http.body)}
    except ValueError:
        raise missing("file") from None
    file, said = fields.get("file"), {name: each.text for name, each in fields.items() if name != "file"}
    if file is None or file.filename is None:
        raise missing("file")
    purpose = said.get("purpose", "")
    if not purpose:
        raise missing("purpose")
    if purpose not in _PURPOSES:
        names = ", ".join(repr(name) for name in _PURPOSES)
        message = f"Invalid value: {purpose!r}. Supported values are: {names}."
        raise InvalidRequest(400, message, kind=INVALID, param="purpose", code="invalid_value")
    name, data = file.filename, file.data
    if purpose == "batch" and not name.endswith(".jsonl"):
        raise InvalidRequest(400, _NOT_JSON_LINES, kind=INVALID)
    seconds: Any = said.get("expires_after[seconds]", "")
    return name, data, purpose, int(seconds) if seconds.isdecimal() else 0
