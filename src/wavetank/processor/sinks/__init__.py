"""Sinks: where results go as they come, one whole row at a time."""

from __future__ import annotations

from ..store import Sink
from .callback_sink import CallbackSink
from .row_file import SinkError
from .row_sinks import RESULT_COLUMNS, CsvSink, JsonlSink, result_row

__all__ = ["RESULT_COLUMNS", "CallbackSink", "CsvSink", "JsonlSink", "Sink", "SinkError", "result_row"]
