"""Limits as data: every number has a source, every name is found or comes near, and scenarios take them."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path

import pytest

from wavetank import limits as package
from wavetank.cli import main
from wavetank.limits import LimitsError, listed_limits, load_limits, provider_names
from wavetank.scenario import scenario_from_dict

MINE = """
provider = "mine"
day_begins = "8h"
[sources.contract]
url = "https://llm.example.com/contract"
date = 2026-11-01
[[model]]
name = "house/large"
aliases = ["large"]
[[model.tier]]
name = "gold"
source = "contract"
requests_per_minute = 900
requests_per_day = 5000
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return path


def test_the_usual_providers_are_there() -> None:
    """One file each, called after the provider."""
    assert {"anthropic", "azure", "gemini", "groq", "mistral", "openai"} <= set(provider_names())


@pytest.mark.parametrize("provider", provider_names())
def test_every_entry_has_a_source_and_a_date(provider: str) -> None:
    """An address and a day that is not ahead; no source is without use, no name is there twice."""
    found = list(listed_limits(provider))
    file = found[0].file
    assert file.provider == provider
    for each in found:
        assert each.numbers
        assert each.sources
        for source in each.sources:
            assert source.url.startswith("https://")
            assert date(2024, 1, 1) < source.date <= date(2026, 12, 31)
    used = {each.tier.source for each in found} | {each.tier.batch_source for each in found}
    used |= {model.price.source for model in file.model if model.price is not None}
    assert file.sources.keys() == used - {None}
    names = [name for model in file.model for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    assert len({each.name for each in found}) == len(found)


@pytest.mark.parametrize("provider", provider_names())
def test_a_scenario_takes_all_of_them(provider: str) -> None:
    """Under the names of its `[[limit]]`; a tier that states batch queues only has no such table."""
    for each in listed_limits(provider):
        tables = each.scenario_limits()
        scenario = scenario_from_dict({"limit": tables}, name="x", source=each.name)
        assert bool(scenario.limit) == any(not name.startswith("batch") for name in each.numbers)


def test_prices_halve_in_batches_where_they_are_stated() -> None:
    """A slip of the pen would show: all these vendors give half off."""
    prices = [each.price for provider in provider_names() for each in listed_limits(provider)]
    stated = [each for each in prices if each is not None and each.batch_input is not None]
    assert stated
    for each in stated:
        assert (each.batch_input, each.batch_output) == (each.input / 2, each.output / 2)


def test_one_tier_by_its_name() -> None:
    """As its page has it; the day of OpenAI comes back a bit at a time."""
    found = load_limits("openai/gpt-4o-mini/tier-1")
    assert found.numbers == {
        "requests_per_minute": 500,
        "requests_per_day": 10_000,
        "tokens_per_minute": 200_000,
        "batch_queue_tokens": 2_000_000,
    }
    assert found.scenario_limits() == [
        {
            "requests_per_minute": 500,
            "tokens_per_minute": 200_000,
            "requests_per_day": 10_000,
            "day": "rolling",
        }
    ]
    assert found.price is not None
    assert (found.price.input, found.price.output) == (0.15, 0.6)


def test_other_names_of_a_model_and_names_with_slashes() -> None:
    """An alias finds the model, and `openai/gpt-oss-120b` is a model of Groq's."""
    assert load_limits("anthropic/claude-sonnet/tier-2").model.name == "claude-sonnet-4-6"
    assert load_limits("groq/openai/gpt-oss-120b/free").numbers["tokens_per_day"] == 200_000
    assert load_limits("mistral/mistral-small/free").scenario_limits()[1] == {"requests": 1, "per": "1s"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opnai", "did you mean 'openai'"),
        ("nobody/x", "choose from anthropic, "),
        ("openai/gpt4o-mini/tier-1", "no model 'gpt4o-mini'; did you mean 'gpt-4o-mini'"),
        ("openai/gpt-4o-mini/teir-1", "no tier 'teir-1'; did you mean 'tier-1'"),
        ("openai/gpt-4o-mini/gold", "no tier 'gold'; choose from tier-1, tier-2"),
        ("openai/gpt-4o-mini", "has 5 tiers: name one, such as openai/gpt-4o-mini/tier-1"),
        ("nowhere.toml", "cannot be read"),
    ],
)
def test_a_wrong_name_comes_near(name: str, said: str) -> None:
    """What was meant, or what there is."""
    with pytest.raises(LimitsError) as caught:
        load_limits(name)
    assert said in str(caught.value)


def test_a_file_of_the_users_in_the_same_form(mine: Path) -> None:
    """Alone its path is enough; model and tier may stand behind it."""
    for name in (str(mine), f"{mine}/large", f"{mine}/house/large/gold", f"{mine}/gold"):
        assert load_limits(name).numbers == {"requests_per_minute": 900, "requests_per_day": 5000}
    assert load_limits(str(mine)).scenario_limits()[0]["day_begins"] == "8h"


def test_numbers_can_be_overridden(mine: Path) -> None:
    """The others stay, and it is known which are not from the file."""
    found = load_limits(str(mine), overrides={"requests_per_minute": 10, "concurrent": 4})
    assert found.numbers == {"requests_per_minute": 10, "requests_per_day": 5000, "concurrent": 4}
    assert found.overridden == ("concurrent", "requests_per_minute")
    with pytest.raises(LimitsError, match="did you mean 'requests_per_minute'"):
        load_limits(str(mine), overrides={"request_per_minute": 10})
    with pytest.raises(LimitsError, match="at least 1"):
        load_limits(str(mine), overrides={"concurrent": 0})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "contract"', 'source = "contrat"', "did you mean 'contract'"),
        ('source = "contract"\n', "", "source"),
        ("date = 2026-11-01", "", "date"),
        ("= 900", "= 0", "admits nothing"),
        ("requests_per_minute = 900\nrequests_per_day = 5000", "", "states nothing"),
        ("requests_per_minute", "requests_a_minute", "requests_a_minute"),
        ("[[model]]", "[[model]", "not TOML"),
        ('"8h"', '"late"', "not a duration"),
    ],
)
def test_a_wrong_file_says_where(mine: Path, old: str, new: str, said: str) -> None:
    """The file, the key and the fix."""
    mine.write_text(MINE.replace(old, new))
    with pytest.raises(LimitsError) as caught:
        load_limits(str(mine))
    assert said in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_the_command_lists_and_shows(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All, one provider, one tier with its sources, as text and as JSON."""
    assert main(["limits"]) == 0
    assert "anthropic/claude-haiku-4-5/scale" in capsys.readouterr().out
    assert main(["limits", "openai/gpt-4o-mini/tier-1", "--set", "requests-per-minute=1_000"]) == 0
    shown = capsys.readouterr().out
    assert "1,000  (given here)" in shown
    assert "source: https://developers.openai.com/api/docs/models/gpt-4o-mini (2026-" in shown
    assert main(["limits", str(mine), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["limits"]
    assert entry["name"] == "mine/house/large/gold"
    assert entry["sources"] == [{"url": "https://llm.example.com/contract", "date": "2026-11-01", "note": ""}]
    assert main(["limits", "opnai"]) == 2
    assert "did you mean 'openai'" in capsys.readouterr().err


def test_limits_are_read_from_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `[[limit]]` tables; a log that shows none says so."""
    log, spent = tmp_path / "log.csv", [-9.0]
    rows = ["time,status"]
    for number in range(60):
        at = number * 0.7
        refused = at - spent[-1] < 1
        rows.append(f"{at:.1f},{429 if refused else 200}")
        spent += [] if refused else [at]
    log.write_text("\n".join(rows) + "\n")
    assert main(["limits", str(log)]) == 0
    tables = tomllib.loads(capsys.readouterr().out)["limit"]
    assert scenario_from_dict({"limit": tables}, name="x", source="x").limit
    log.write_text("time,status\n0,200\n1,429\n2,200\n")
    assert main(["limits", str(log)]) == 2
    assert "no limit explains" in capsys.readouterr().err


def test_the_files_are_in_the_package() -> None:
    """Beside the code, so that a wheel and an editable install have them."""
    folder = Path(package.__file__).parent
    assert sorted(file.stem for file in folder.glob("*.toml")) == list(provider_names())
