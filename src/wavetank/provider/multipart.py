"""Bodies of forms with files (`multipart/form-data`, RFC 7578)."""

from __future__ import annotations

from email.message import Message
from email.parser import HeaderParser
from typing import NamedTuple


class FormField(NamedTuple):
    """A field of a form: a text, or a file with its name."""

    name: str
    data: bytes
    filename: str | None = None

    @property
    def text(self) -> str:
        """What the field says."""
        return self.data.decode("utf-8", "replace")


def form_fields(content_type: str, body: bytes) -> list[FormField]:
    r"""The fields of a form, in their order.

    >>> form_fields("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; '
    ...             b'name="model"\r\n\r\nm-1\r\n--b--\r\n')[0].text
    'm-1'

    Raises:
        ValueError: it is no form, or one that ends before its last boundary.
    """
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        raise ValueError("the content type is not multipart/form-data with a boundary")
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if not parts or not parts[-1].startswith(b"--"):
        raise ValueError("the form ends before its last boundary")
    return [_field(part) for part in parts[:-1]]


def _field(part: bytes) -> FormField:
    head, found, data = part.partition(b"\r\n\r\n")
    # Browsers and HTTP libraries write the names of files in UTF-8.
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace").strip("\r\n"))
    name = headers.get_param("name", header="content-disposition")
    if not found or not isinstance(name, str):
        raise ValueError("a part of the form has no name")
    return FormField(name, data, headers.get_filename())
