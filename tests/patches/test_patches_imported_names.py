"""Names in modules that come, go and grow between two looks at them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from wavetank.patches import imported_names
from wavetank.patches.imported_names import ImportedNames

ORIGINAL, STAND_IN = object(), object()


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the modules whose names are gone through."""
    seen: list[str] = []
    look = ImportedNames._names_in

    def names_in(table: ImportedNames, module: ModuleType) -> tuple[str, ...]:
        seen.append(module.__name__)
        return look(table, module)

    monkeypatch.setattr(ImportedNames, "_names_in", names_in)
    return seen


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """What the table takes for `sys.modules`: a thousand modules, some of which hold the original."""
    made = {f"module_{n}": ModuleType(f"module_{n}") for n in range(1000)}
    for name in ("module_1", "module_500", "module_999"):
        vars(made[name])["held"] = ORIGINAL
    monkeypatch.setattr(imported_names, "sys", SimpleNamespace(modules=made))
    return made


@pytest.fixture
def table() -> ImportedNames:
    """A table of one pair."""
    return ImportedNames([(ORIGINAL, STAND_IN)])


def held(modules: dict[str, ModuleType]) -> dict[str, object]:
    """What is held, by module."""
    return {name: value for name, module in modules.items() if (value := vars(module).get("held"))}


def test_only_a_module_that_is_new_is_gone_through(
    modules: dict[str, ModuleType], table: ImportedNames, looked_at: list[str]
) -> None:
    """Also where it took the place of another one, such as `__main__`: there may be thousands behind it."""
    table.put_in()
    assert held(modules) == dict.fromkeys(("module_1", "module_500", "module_999"), STAND_IN)
    table.take_out()
    assert held(modules) == dict.fromkeys(("module_1", "module_500", "module_999"), ORIGINAL)
    looked_at.clear()
    modules["module_1"] = ModuleType("another")
    vars(modules["module_1"])["held"] = ORIGINAL
    del modules["module_500"]
    vars(modules["module_998"])["held"] = ORIGINAL
    table.put_in()
    assert held(modules) == dict.fromkeys(("module_1", "module_998", "module_999"), STAND_IN)
    assert sorted(looked_at) == ["another", "module_998"]


def test_a_module_that_comes_back_is_looked_at_again(
    modules: dict[str, ModuleType], table: ImportedNames
) -> None:
    """What it held when it was last there does not count."""
    table.put_in()
    gone = modules.pop("module_500")
    table.take_out()
    assert vars(gone)["held"] is STAND_IN
    modules["module_500"] = gone
    table.take_out()
    assert held(modules) == dict.fromkeys(("module_1", "module_500", "module_999"), ORIGINAL)


@pytest.mark.parametrize("kind", ["the user's own", "loads when asked", "still loading"])
def test_a_module_that_may_get_more_names_is_looked_at_again(
    modules: dict[str, ModuleType], table: ImportedNames, looked_at: list[str], kind: str
) -> None:
    """All others of a library are known once they are loaded: to count their names would take long."""
    library = modules["library"] = ModuleType("library")
    grows = modules["grows"] = ModuleType("grows")
    for module in (library, grows):
        module.__file__, module.__spec__ = json.__file__, ModuleSpec(module.__name__, None)
    if kind == "the user's own":
        grows.__file__ = __file__
    elif kind == "loads when asked":
        vars(grows)["__getattr__"] = vars(json).get
    else:
        vars(grows.__spec__)["_initializing"] = True
    table.put_in()
    table.take_out()
    looked_at.clear()
    vars(grows)["held"] = ORIGINAL
    vars(grows.__spec__)["_initializing"] = False
    table.put_in()
    assert looked_at == ["grows"]
    assert vars(grows)["held"] is STAND_IN


def test_a_module_that_has_just_been_loaded_is_looked_at_once_more(
    modules: dict[str, ModuleType], table: ImportedNames, looked_at: list[str]
) -> None:
    """It got names between the last look and the end of its loading, which another module came with."""
    grows = modules["grows"] = ModuleType("grows")
    grows.__file__, grows.__spec__ = json.__file__, ModuleSpec("grows", None)
    vars(grows.__spec__)["_initializing"] = True
    table.put_in()
    looked_at.clear()
    vars(grows)["held"] = ORIGINAL
    vars(grows.__spec__)["_initializing"] = False
    modules["new"] = ModuleType("new")
    table.put_in()
    assert sorted(looked_at) == ["grows", "new"]
    assert vars(grows)["held"] is STAND_IN


def test_a_table_that_was_not_used_for_long_goes_through_all_again(
    modules: dict[str, ModuleType], table: ImportedNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had found in modules that are gone meanwhile is forgotten."""
    monkeypatch.setattr(imported_names, "_stock", imported_names._Stock())
    monkeypatch.setattr(imported_names._stock, "_changes", deque(maxlen=3))
    other = ImportedNames([(object(), object())])
    table.put_in()
    table.take_out()
    gone = modules.pop("module_500")
    for number in range(5):
        modules[f"new_{number}"] = ModuleType("new")
        vars(modules[f"new_{number}"])["held"] = ORIGINAL
        other.put_in()
    table.put_in()
    assert vars(gone)["held"] is ORIGINAL
    assert set(held(modules).values()) == {STAND_IN}
    assert len(held(modules)) == 7


class Lazy(ModuleType):
    """A module that loads itself when its names are asked for, the first time."""

    when_loaded: Callable[[], object] | None = None

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__" and Lazy.when_loaded is not None:
            load, Lazy.when_loaded = Lazy.when_loaded, None
            load()
        return super().__getattribute__(name)


def test_a_module_that_gives_names_to_another_when_it_is_looked_at(
    modules: dict[str, ModuleType], table: ImportedNames
) -> None:
    """The names are found in the same look."""
    table.put_in()
    modules["lazy"] = Lazy("lazy")
    Lazy.when_loaded = lambda: vars(modules["module_7"]).update(held=ORIGINAL)
    table.put_in()
    assert held(modules)["module_7"] is STAND_IN


def test_a_module_that_fails_to_load_when_it_is_looked_at(
    modules: dict[str, ModuleType], table: ImportedNames
) -> None:
    """Its error is the caller's; the next look finds all that is new."""

    def fail() -> None:
        raise KeyboardInterrupt

    table.put_in()
    modules["lazy"], modules["new"] = Lazy("lazy"), ModuleType("new")
    vars(modules["new"])["held"] = ORIGINAL
    Lazy.when_loaded = fail
    with pytest.raises(KeyboardInterrupt):
        table.put_in()
    table.put_in()
    assert held(modules)["new"] is STAND_IN
