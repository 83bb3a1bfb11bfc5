"""Names in modules that come, go and grow between two looks at them."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

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
    assert looked_at == ["another", "module_998"]


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
