"""Tests that meet many SDKs run in one process of pytest-xdist: to import them all takes ten seconds."""

from __future__ import annotations

import pytest

MANY_SDKS = (
    "test_answers_wire",
    "test_batches_input",
    "test_batches_scripted",
    "test_batches_sdks",
    "test_bedrock",
    "test_dialects_matrix",
    "test_dialects_more",
    "test_dialects_other",
    "test_event_stream",
    "test_free_requests",
    "test_media",
    "test_replicate",
    "test_vendors_sdks",
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in MANY_SDKS:
            item.add_marker(pytest.mark.xdist_group("SDKs"))
