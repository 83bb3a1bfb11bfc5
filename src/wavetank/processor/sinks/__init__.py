"""Sinks: where results go as they come, one whole row at a time."""

from __future__ import annotations

from ..store import Sink
from .callback_sink import CallbackSink
from .csv_and_jsonl import RESULT_COLUMNS, CsvSink, JsonlSink, result_row
from .file_sink import SinkError

__all__ = ["RESULT_COLUMNS", "CallbackSink", "CsvSink", "JsonlSink", "Sink", "SinkError", "result_row"]
