"""Forms with a file in them, as uploads send them (RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final, final

import msgspec

from ..http import HttpRequest

_FORM: Final = "multipart/form-data"


@final
class Form(msgspec.Struct, frozen=True):
    """The fields of a form, and its file: name and content, `None` if there is none."""

    fields: Mapping[str, str]
    file: tuple[str, bytes] | None


def form_of(request: HttpRequest) -> Form | None:
    """The form that a request sends; `None` if its body is none."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(_FORM):
        return None
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    if not message.is_multipart():
        return None
    fields: dict[str, str] = {}
    file: tuple[str, bytes] | None = None
    for part in message.iter_parts():
        data = part.get_payload(decode=True)
        content = data if isinstance(data, bytes) else b""
        name = part.get_param("name", header="content-disposition")
        filename = part.get_filename()
        if filename is not None:
            file = filename, content
        elif isinstance(name, str):
            fields[name] = content.decode(errors="replace")
    return Form(fields, file)
