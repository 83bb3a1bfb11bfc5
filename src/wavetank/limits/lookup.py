"""Limits by name: `openai/gpt-4o-mini/tier-1`, or a file of the user's in the same form."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ..clock import parse_duration
from ..shown import shortened
from ..text import did_you_mean
from .allowance import NUMBERS, Allowance, LimitsError, Model, ProviderLimits

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SUFFIX: Final = ".toml"
_LONGEST: Final = 200
"""Characters of a name in an error."""


def provider_names() -> tuple[str, ...]:
    """The providers whose limits come with the package, sorted."""
    return tuple(sorted(_files()))


def load_limits(name: str, *, overrides: Mapping[str, int] | None = None) -> Allowance:
    """Find what one tier allows of one model.

    Args:
        name: `PROVIDER/MODEL/TIER`, or `PATH.toml/MODEL/TIER` for a file of the user's. Model and tier may
            be left out where there is only one.
        overrides: numbers to take instead of those of the file, by their names, as in
            `{"requests_per_minute": 1000}`.

    Raises:
        LimitsError: there is no such provider, model or tier, several fit, or the file is wrong.
    """
    found = list(listed_limits(name))
    if len(found) > 1:
        some = ", ".join(each.name for each in found[:3])
        raise LimitsError(f"{_shown(name)} has {len(found)} tiers: name one, such as {some}")
    allowance = found[0]
    if not overrides:
        return allowance
    for key, value in overrides.items():
        if key not in NUMBERS:
            raise LimitsError(f"no limit is called {_shown(key)}{_near(key, NUMBERS)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise LimitsError(f"{key} = {value!r}: give a whole number of at least 1")
    return msgspec.structs.replace(
        allowance,
        tier=msgspec.structs.replace(allowance.tier, **overrides),
        overridden=tuple(sorted(overrides)),
    )


def listed_limits(name: str = "") -> Iterator[Allowance]:
    """All tiers below a name, at least one: of everything, a provider, a model, or one tier.

    Raises:
        LimitsError: there is no such provider, model or tier, or the file is wrong.
    """
    if not name:
        for provider in provider_names():
            yield from listed_limits(provider)
        return
    file, rest = _file_of(name)
    model_name, tier_name = _model_and_tier(file, rest, name)
    for model in file.model:
        if model_name and model_name not in (model.name, *model.aliases):
            continue
        for tier in model.tier:
            if not tier_name or tier.name == tier_name:
                yield Allowance(file=file, model=model, tier=tier)


def _file_of(name: str) -> tuple[ProviderLimits, str]:
    """The file that a name begins with, and the rest of the name."""
    path, inside, rest = name.partition(f"{_SUFFIX}/")
    if inside or name.endswith(_SUFFIX):
        return _read_path(Path(path if not inside else f"{path}{_SUFFIX}")), rest
    provider, _, rest = name.partition("/")
    known = _files()
    if provider not in known:
        raise LimitsError(
            f"there are no limits of a provider {_shown(provider)}{_near(provider, sorted(known))} (a file "
            "of your own is named by a path that ends in .toml)"
        )
    file = known[provider]
    return _parse(file.read_text(encoding="utf-8"), str(file)), rest


def _model_and_tier(file: ProviderLimits, rest: str, name: str) -> tuple[str, str]:
    """The two of them, empty where the name has none; a model may have slashes in its name."""
    rest = rest.strip("/")
    models = {each: model for model in file.model for each in (model.name, *model.aliases)}
    if not rest or rest in models:
        return rest, ""
    if len(file.model) == 1 and rest in (tier.name for tier in file.model[0].tier):
        return file.model[0].name, rest
    model_name, _, tier_name = rest.rpartition("/")
    if model_name not in models:
        wanted = (
            model_name if any(tier.name == tier_name for each in file.model for tier in each.tier) else rest
        )
        raise LimitsError(
            f"{_shown(name)}: {file.provider} has no model {_shown(wanted)}{_near(wanted, list(models))}"
        )
    tiers = [tier.name for tier in models[model_name].tier]
    if tier_name not in tiers:
        raise LimitsError(
            f"{_shown(name)}: {model_name} has no tier {_shown(tier_name)}{_near(tier_name, tiers)}"
        )
    return model_name, tier_name


def _near(name: str, options: Sequence[str]) -> str:
    return did_you_mean(name, options, start="; ") or f"; choose from {', '.join(options)}"


def _shown(name: str) -> str:
    return shortened(repr(name), _LONGEST)


def _files() -> dict[str, Traversable]:
    """The files of the package, by provider."""
    folder = files(__package__ or __name__.rpartition(".")[0])
    return {each.name.removesuffix(_SUFFIX): each for each in folder.iterdir() if each.name.endswith(_SUFFIX)}


def _read_path(path: Path) -> ProviderLimits:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LimitsError(f"{path}: not UTF-8 text at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise LimitsError(f"{path}: cannot be read: {error.strerror}; name another file") from None
    return _parse(text, str(path))


def _parse(text: str, place: str) -> ProviderLimits:
    """Read one file, and check what a type cannot say."""
    try:
        file = msgspec.convert(tomllib.loads(text), ProviderLimits)
        parse_duration(file.day_begins)
    except msgspec.ValidationError as error:
        raise LimitsError(f"{place}: {error}; `wavetank limits openai --json` shows the form") from None
    except (ValueError, RecursionError) as error:
        raise LimitsError(f"{place}: not TOML: {error}") from None
    if not file.model:
        raise LimitsError(f"{place}: no [[model]]; write one with a name and a [[model.tier]]")
    for model in file.model:
        _check(file, model, place)
    return file


def _check(file: ProviderLimits, model: Model, place: str) -> None:
    where = f"{place}: {model.name}"
    if not model.tier:
        raise LimitsError(f"{where}: no [[model.tier]]; write one with a name, a source and a number")
    used = [model.price.source] if model.price is not None else []
    for tier in model.tier:
        used += [tier.source, *([tier.batch_source] if tier.batch_source is not None else [])]
        numbers = [value for name in NUMBERS if (value := getattr(tier, name)) is not None]
        if not numbers:
            raise LimitsError(f"{where}, {tier.name}: states nothing; write one of {', '.join(NUMBERS)}")
        if min(numbers) < 1:
            raise LimitsError(
                f"{where}, {tier.name}: a limit of {min(numbers)} admits nothing; write 1 or more"
            )
    for source in used:
        if source not in file.sources:
            raise LimitsError(
                f"{where}: source {source!r} is not in [sources]{_near(source, list(file.sources))}"
            )
