"""Gemini's files: uploaded in steps, listed, read and deleted.

Sources: the page on the Files API and `File` of the reference of ai.google.dev, and the resumable uploads of
Google's SDK (`google.genai._api_client`): the first request is answered with the address of the others.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs

from ....clock import HOUR
from ...batches.endpoint import KeptEndpoint, made
from ...batches.service import BatchService, StoredFile
from ...dialect_base.shared import InvalidRequest, Values, as_mapping, json_object, not_served
from ...dialect_base.wire_dialect import Endpoint
from ...http import HttpRequest
from ...model import Made
from ...request import Action, Request
from ...wire_formats import rfc3339
from ..openai.models import page_size
from ..openai.requests import query_of

_KEPT_FOR: Final = 48 * HOUR
"""Files are deleted after 48 hours (the page on the Files API)."""
_START: Final = r"/v1(?:alpha|beta)?"


def file_object(file: StoredFile, kept: BatchService) -> Values:
    """A file as the Gemini API describes it."""
    created = kept.epoch_ns + file.created
    generated = file.purpose == "generated"
    uri = f"https://generativelanguage.googleapis.com/v1beta/{file.id}"
    return {
        "name": file.id,
        **({"displayName": file.name} if file.name else {}),
        "mimeType": file.facts.get("mimeType") or "application/jsonl",
        "sizeBytes": str(len(file.data)),
        "createTime": rfc3339(created),
        "updateTime": rfc3339(created),
        "expirationTime": rfc3339(created + _KEPT_FOR),
        "sha256Hash": sha256(file.data).hexdigest(),
        "uri": uri,
        **({"downloadUri": f"{uri}:download?alt=media"} if generated else {}),
        "state": "ACTIVE",
        "source": "GENERATED" if generated else "UPLOADED",
    }


def found_file(kept: BatchService, dialect: str, ident: str, now: int) -> StoredFile:
    """The file of a name such as `files/abc`.

    Raises:
        InvalidRequest: there is none, or it has been deleted for its age.
    """
    file = kept.file(dialect, ident, now)
    if file is None or now >= file.created + _KEPT_FOR:
        name = ident.removeprefix("files/")
        message = f"You do not have permission to access the File {name} or it may not exist."
        raise InvalidRequest(403, message)
    return file


def file_endpoints() -> tuple[Endpoint, ...]:
    """The endpoints for files."""
    many, one = rf"{_START}/files", rf"{_START}/(?P<name>files/[^/:]+)"
    download = rf"(?:/download)?{one}:download"
    return (
        KeptEndpoint("files", re.compile(rf"/upload{_START}/files"), _upload),
        KeptEndpoint("files-list", re.compile(many), _list, "GET"),
        KeptEndpoint("file", re.compile(one), _retrieve, "GET"),
        KeptEndpoint("file-delete", re.compile(one), _delete, "DELETE"),
        KeptEndpoint("file-content", re.compile(download), _download, "GET"),
    )


def _upload(http: HttpRequest, found: re.Match[str]) -> Action:
    commands = [each.strip() for each in http.headers.get("x-goog-upload-command", "").split(",")]
    if "start" in commands:
        return _begin_upload(http)
    ident = parse_qs(http.query).get("upload_id", [""])[0]
    if not ident:
        raise not_served("uploads that are not resumable", "X-Goog-Upload-Protocol")

    def go_on(kept: BatchService, request: Request, now: int) -> Made:
        if ident not in kept.uploads:
            raise InvalidRequest(404, "The upload is not known, or has been finalized.")
        facts, data = kept.uploads[ident]
        data += http.body
        if "finalize" not in commands:
            kept.uploads[ident] = facts, data
            return Made(b"", headers=(("x-goog-upload-status", "active"),))
        del kept.uploads[ident]
        name = facts.get("name") or f"files/{kept.letters(12, 'gemini-file').lower()}"
        file = StoredFile(
            id=name,
            dialect=request.dialect,
            name=str(facts.get("displayName") or facts.get("display_name") or ""),
            purpose="uploaded",
            data=data,
            created=now,
            facts=facts,
        )
        stated = {"file": file_object(kept.keep(file), kept)}
        return made(stated, headers=(("x-goog-upload-status", "final"),))

    return go_on


def _begin_upload(http: HttpRequest) -> Action:
    said: dict[str, Any] = dict(as_mapping((json_object(http.body) or {}).get("file")))
    if "mimeType" not in said and (kind := http.headers.get("x-goog-upload-header-content-type")):
        said["mimeType"] = kind

    def begin(kept: BatchService, request: Request, now: int) -> Made:
        ident = kept.letters(40, "upload")
        kept.uploads[ident] = said, b""
        url = f"https://{http.host}{http.path}?upload_id={ident}&upload_protocol=resumable"
        return Made(b"", headers=(("x-goog-upload-status", "active"), ("x-goog-upload-url", url)))

    return begin


def _list(http: HttpRequest, found: re.Match[str]) -> Action:
    query = query_of(http)
    size = page_size(query, "pageSize", 10, most=100)
    token = query.get("pageToken") or "0"
    if not token.isdecimal():
        raise InvalidRequest(400, "Invalid page token.")
    start, end = int(token), int(token) + size

    def listing(kept: BatchService, request: Request, now: int) -> Made:
        files = [file for file in kept.files_of(request.dialect, now) if now < file.created + _KEPT_FOR]
        more = {"nextPageToken": str(end)} if end < len(files) else {}
        return made({"files": [file_object(file, kept) for file in files[::-1][start:end]], **more})

    return listing


def _retrieve(http: HttpRequest, found: re.Match[str]) -> Action:
    return lambda kept, request, now: made(
        file_object(found_file(kept, request.dialect, found["name"], now), kept)
    )


def _delete(http: HttpRequest, found: re.Match[str]) -> Action:
    def drop(kept: BatchService, request: Request, now: int) -> Made:
        kept.drop_file(found_file(kept, request.dialect, found["name"], now))
        return made({})

    return drop


def _download(http: HttpRequest, found: re.Match[str]) -> Action:
    def read(kept: BatchService, request: Request, now: int) -> Made:
        file = found_file(kept, request.dialect, found["name"], now)
        if file.purpose != "generated":
            raise InvalidRequest(400, "Only generated files can be downloaded.")
        return Made(file.data, "application/octet-stream", carries=file.carries)

    return read
