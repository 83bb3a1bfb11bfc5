"""The status of a refusal: as written, else the dialect's own for what is wrong."""

from __future__ import annotations

from typing import get_args

import pytest

from wavetank.provider.vendor_card import DIRECT, VendorCard
from wavetank.provider.vendor_registry import card_named, cards
from wavetank.scenario import VARIED, RefusalError, Wave, usual_status


def card_of(dialect: str) -> VendorCard:
    """The card of a vendor, or that of a direct call."""
    return DIRECT if dialect == "direct" else card_named(dialect)


@pytest.mark.parametrize(
    ("dialect", "error", "status"),
    [
        ("openai", "billing", 429),
        ("anthropic", "billing", 402),
        ("openrouter", "billing", 402),
        ("groq", "billing", 400),
        ("openai", "too-large", 429),
        ("anthropic", "too-large", 413),
        ("groq", "too-large", 413),
        ("openai", "overloaded", 503),
        ("anthropic", "overloaded", 529),
        ("openrouter", "overloaded", 529),
        ("direct", "overloaded", 503),
        ("gemini", "timeout", 504),
        ("cohere", "timeout", 408),
        ("vllm", "conflict", 409),
        ("ollama", "server", 500),
        ("mistral", "quota", 429),
    ],
)
def test_an_error_has_its_dialects_status(dialect: str, error: RefusalError, status: int) -> None:
    """In a wave that names no status, and in an error after a 200."""
    card = card_of(dialect)
    assert card.status_of_wave(Wave(error=error)) == card.status_of_error(error) == status


def test_a_drawing_leaves_out_the_statuses_that_vary() -> None:
    """They are those of the errors that some dialect has a status of its own for."""
    varied = {
        error
        for error in get_args(RefusalError)
        if {card.status_of_error(error) for card in cards()} != {usual_status(error)}
    }
    assert varied == set(VARIED)


@pytest.mark.parametrize("status", [429, 402, 503])
def test_a_status_that_is_written_is_sent(status: int) -> None:
    """Whatever the error is, and whatever the provider would send."""
    assert card_of("anthropic").status_of_wave(Wave(status=status, error="overloaded")) == status
    assert card_of("openrouter").status_of_wave(Wave(status=status)) == status


def test_a_wave_that_names_neither_is_a_rate_limit() -> None:
    """With every provider."""
    assert card_of("groq").status_of_wave(Wave()) == 429


def test_a_limit_that_is_passed_is_a_429() -> None:
    """Groq has a status of its own for a request that no waiting helps."""
    assert card_of("anthropic").status_over_limit("too-large") == 429
    assert card_of("groq").status_over_limit("quota") == 429
    assert card_of("groq").status_over_limit("too-large") == 413
