"""Rows with one request each: CSV with a header, JSON Lines such as litellm's log of requests."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..clock import MILLISECOND, SECOND
from ..scenario import RetryAfterForm
from ..shown import Secrets, shortened
from .exchange import Exchange, IncidentError, is_mistake, model_name, refuses
from .lines import Line, lines_of
from .values import Instant, count, instant, length, refusal_error, retry_after, status

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "time": (
        *(
            "time",
            "timestamp",
            "ts",
            "at",
            "date",
            "datetime",
            "date_time",
            "start",
            "starttime",
            "start_time",
        ),
        *("startdatetime", "starteddatetime", "started", "started_at", "sent", "sent_at", "created"),
        *("created_at", "request_time", "requested_at", "time_sent", "timestamp_utc"),
    ),
    "status": (
        *(
            "status",
            "status_code",
            "statuscode",
            "http_status",
            "http_status_code",
            "httpstatus",
            "http_code",
        ),
        *("code", "response_code", "response_status", "http_response_status_code", "result"),
    ),
    "error": ("error_code", "error_class", "error", "error_type", "exception", "error_str", "error_message"),
    "retry_after": ("retry_after", "retryafter", "retry_after_s", "retry_after_seconds", "retry_after_sec"),
    "retry_after_ms": ("retry_after_ms", "retryafterms"),
    "model": (
        "model",
        "model_name",
        "model_id",
        "request_model",
        "gen_ai_request_model",
        "deployment",
        "engine",
    ),
    "tokens": ("tokens", "total_tokens", "totaltokens", "token_count", "tokens_total"),
    "input": ("prompt_tokens", "input_tokens", "tokens_in", "prompttokens", "inputtokens", "tokens_prompt"),
    "output": (
        *("completion_tokens", "output_tokens", "tokens_out", "completiontokens", "outputtokens"),
        "tokens_completion",
    ),
    "seconds": ("duration", "latency", "elapsed", "response_time", "seconds", "duration_s", "latency_s"),
    "milliseconds": ("duration_ms", "latency_ms", "elapsed_ms", "response_time_ms", "milliseconds"),
    "end": ("endtime", "end_time", "end", "ended", "ended_at", "completed_at"),
}
"""What each column may be called, in lower case and with `_` between words."""

_NAMED: Final = {name: column for column, names in _COLUMNS.items() for name in names}
_UNIT: Final = re.compile(r"_(?:utc|s|secs?|seconds?)$")
_MILLISECONDS: Final = re.compile(r"_(?:msecs?|millis|milliseconds?)$")
_TIMES: Final = ("time", "end", "retry_after", "seconds")
"""Columns whose names may have their unit behind them; `tokens_s` are no tokens, but tokens a second."""

_DELIMITERS: Final = (",", ";", "\t", "|")
_LONGEST_FIELD: Final = 16 * 1024 * 1024
_MOST_SHOWN: Final = 20
"""Names of columns in an error."""


def named(columns: Iterable[str]) -> dict[str, str]:
    """Which of these names is which column; of several that mean one, the first.

    >>> named(["Started-At", "Status Code", "prompt"])
    {'time': 'Started-At', 'status': 'Status Code'}
    """
    found: dict[str, str] = {}
    with_unit: dict[str, str] = {}
    for name in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", str(name).strip().lower()).strip("_")
        column = _NAMED.get(_MILLISECONDS.sub("_ms", plain))
        if column is not None:
            found.setdefault(column, name)
        elif (column := _NAMED.get(_UNIT.sub("", plain))) in _TIMES:
            with_unit.setdefault(column, name)
    return with_unit | found


def csv_exchanges(path: Path) -> Iterator[tuple[Exchange, bool]]:
    """The requests of a CSV file, each with whether its time is a date.

    Raises:
        IncidentError: there is no column of times or of statuses, or a row has none; names the line.
    """
    lines = lines_of(path)
    csv.field_size_limit(_LONGEST_FIELD)
    number = [0]
    reader = csv.reader(_decoded(lines, number), delimiter=_delimiter(path))
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = _columns(f"{path}, line {number[0] or 1}", header)
        for fields in reader:
            place = f"{path}, line {number[0]}"
            if any(each.strip() for each in fields[len(header) :]):
                raise IncidentError(
                    f"{place}: {len(fields)} values for {len(header)} columns; put a value that contains "
                    "the delimiter in quotes, or remove the line"
                )
            row = dict(zip(header, fields, strict=False))
            yield _exchange(place, {column: row.get(name, "") for column, name in columns.items()})
    except csv.Error as error:
        raise IncidentError(f"{path}, line {number[0]}: not CSV: {error}; fix or remove the line") from None


def json_exchange(line: Line, value: Mapping[str, Any]) -> tuple[Exchange, bool]:
    """The request of one JSON object, and whether its time is a date.

    Raises:
        IncidentError: it has no time or no status; names the line.
    """
    inner = value.get("error_information")
    flat = (
        {**value, **{name: each for name, each in inner.items() if each}}
        if isinstance(inner, dict)
        else value
    )
    columns = _columns(line.place, list(flat))
    return _exchange(line.place, {column: flat[name] for column, name in columns.items()})


def _columns(place: str, names: list[str]) -> dict[str, str]:
    columns = named(names)
    missing = [
        what
        for what, known in (
            ("time", "time" in columns),
            ("status", bool({"status", "error"} & columns.keys())),
        )
        if not known
    ]
    if missing:
        shown = ", ".join(shortened(Secrets().hide(repr(name)), 40) for name in names[:_MOST_SHOWN])
        more = ", …" if len(names) > _MOST_SHOWN else ""
        wanted = "; ".join(f"a {what} is called one of {', '.join(_COLUMNS[what])}" for what in missing)
        raise IncidentError(
            f"{place}: there is no {' and no '.join(missing)} here; found: {shown}{more}; {wanted}. "
            "Give a journal of `wavetank serve`, a HAR file, spans in JSON, or rows with these columns"
        )
    return columns


def _exchange(place: str, row: Mapping[str, Any]) -> tuple[Exchange, bool]:
    at = instant(row["time"])
    if at is None:
        raise IncidentError(
            f"{place}: no time: {_shown(row['time'])} is no date (ISO 8601 or a Unix time) and no number of "
            "seconds; write one, or remove the line"
        )
    code = _status(row)
    if code is None and not _is_blank(row.get("status", "")) and not _means_failure(row.get("status")):
        raise IncidentError(
            f"{place}: no status: {_shown(row.get('status'))} is no HTTP status; write one such as 429, "
            "leave it empty where no answer came, or remove the line"
        )
    lasted = _lasted(row, at)
    wait, form = _retry_after(place, row.get("retry_after"), at, lasted)
    in_ms = length(row.get("retry_after_ms"), MILLISECOND)
    refused = refuses(code)
    return (
        Exchange(
            at=at.ns,
            status=code,
            refused=refused,
            own_mistake=is_mistake(code),
            retry_after=wait if in_ms is None else in_ms,
            form=form if in_ms is None else "ms",
            error=refusal_error(str(row.get("error", ""))) if refused else None,
            lasted=lasted,
            model=model_name(row.get("model") or ""),
            prompt_tokens=count(row.get("input", row.get("tokens"))),
            completion_tokens=count(row.get("output")),
        ),
        at.is_date,
    )


def _retry_after(
    place: str, value: object, at: Instant, lasted: int | None
) -> tuple[int | None, RetryAfterForm]:
    wait, form = retry_after(value, at.ns + (lasted or 0))
    if wait is None and isinstance(value, str) and not _is_blank(value):
        raise IncidentError(
            f"{place}: no Retry-After: {_shown(value)} is no number of seconds and no HTTP date; write one, "
            "leave it empty, or remove the line"
        )
    # A date says nothing about times that are counted from the start of a run.
    return (None, "seconds") if form == "http-date" and not at.is_date else (wait, form)


def _status(row: Mapping[str, Any]) -> int | None:
    """By the status; where that only says that it failed, by what the error is called."""
    code = status(row.get("status"))
    said = status(row.get("error"))
    return said if code is None or (code == 200 and said and "status" not in row) else code


def _means_failure(value: object) -> bool:
    return str(value).strip().lower() in ("failure", "failed", "error", "fail", "false")


def _lasted(row: Mapping[str, Any], at: Instant) -> int | None:
    in_ms = length(row.get("milliseconds"), MILLISECOND)
    if in_ms is not None:
        return in_ms
    in_seconds = length(row.get("seconds"), SECOND)
    if in_seconds is not None:
        return in_seconds
    end = instant(row.get("end"))
    return max(0, end.ns - at.ns) if end is not None and end.is_date == at.is_date else None


def _is_blank(value: object) -> bool:
    return value is None or str(value).strip().lower() in ("", "0", "-", "null", "none", "nan", "n/a")


def _shown(value: object) -> str:
    return shortened(Secrets().hide(repr(value)), 60)


def _decoded(lines: Iterator[Line], number: list[int]) -> Iterator[str]:
    for line in lines:
        number[0] = line.number
        try:
            yield line.text.decode() + "\n"
        except UnicodeDecodeError:
            raise IncidentError(f"{line.place}: not UTF-8 text; save the file as UTF-8") from None


def _delimiter(path: Path) -> str:
    first = next(lines_of(path)).text.decode(errors="replace")
    return max(_DELIMITERS, key=first.count)
