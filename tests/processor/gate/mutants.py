"""Changes a module of the gate in one place at a time, and sees whether its tests notice.

`python -m tests.processor.gate.mutants [MODULE] [--every N] [--only TEXT]` prints the changes that no
test noticed. Each change is tried in a process of its own; it counts as noticed if the tests fail or
do not end. `--every` tries one change in N, spread evenly over the module.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
PACKAGE: Final = "wavetank.processor.gate"
RULES: Final = ("test_gate.py", "test_gate_rules.py")
LEARNING: Final = ("test_meter.py", "test_learner.py")
TESTS: Final = {"gate": RULES, "permits": RULES, "gates": RULES}
"""Of a module that is not here, the tests are those of what is learnt."""
CPU_SECONDS: Final = 60
"""The tests take half of it at most; a change after which they take longer has made them go on for ever."""
PATIENCE_SECONDS: Final = 600
"""For a change after which they wait for ever, and take no time of the processor."""

Change = Callable[[Any], object]

_SWAPS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Every tree that differs in one place, with what was done and where."""
    for number, node in enumerate(ast.walk(tree)):
        for what, change in _changes(node):
            other = copy.deepcopy(tree)
            target = next(found for at, found in enumerate(ast.walk(other)) if at == number)
            change(target)
            line = getattr(node, "lineno", 0)
            yield f"{_place(tree, line)}: {what}", ast.fix_missing_locations(other)


def _place(tree: ast.Module, line: int) -> str:
    """The innermost function that a line stands in."""
    inside = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(inside, key=lambda node: node.lineno).name if inside else "module"


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    yield from _operators(node)
    yield from _values(node)
    yield from _statements(node)


def _operators(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            if (swap := _SWAPS.get(type(op))) is not None:
                yield f"`{ast.unparse(node)}` with {swap.__name__}", partial(_put, "ops", at, swap())
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        if (swap := _SWAPS.get(type(node.op))) is not None:
            yield f"`{ast.unparse(node)}` with {swap.__name__}", partial(_set, "op", swap())
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield (
            f"the opposite of `{ast.unparse(node.test)}`",
            lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test)),
        )


def _values(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if not isinstance(node, ast.Constant) or isinstance(node.value, str | bytes) or node.value is Ellipsis:
        return
    if isinstance(node.value, bool):
        yield f"`{node.value}` turned round", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node.value, int | float):
        yield f"`{node.value}` and 1 more", lambda n: setattr(n, "value", n.value + 1)


def _statements(node: ast.AST) -> Iterator[tuple[str, Change]]:
    for field in ("body", "orelse"):
        block = getattr(node, field, None)
        for at, statement in enumerate(block if isinstance(block, list) else ()):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Delete | ast.Return):
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    continue
                if isinstance(node, ast.Module | ast.ClassDef):
                    continue
                yield f"without `{ast.unparse(statement)}`", partial(_put, field, at, ast.Pass())


def _put(field: str, at: int, value: object, node: Any) -> None:
    getattr(node, field)[at] = value


def _set(field: str, value: object, node: Any) -> None:
    setattr(node, field, value)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads a module of the gate from a changed tree."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.name, self.source = f"{PACKAGE}.{module}", str(_source(module))
        self.tree = tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return importlib.machinery.ModuleSpec(name, self, origin=self.source) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, self.source, "exec"), module.__dict__)


def _source(module: str) -> Path:
    return ROOT / f"src/wavetank/processor/gate/{module}.py"


def _try(module: str, tree: ast.Module) -> None:
    """Run the tests on a changed module; the exit code is theirs."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    changed = Changed(module, tree)
    sys.meta_path.insert(0, changed)
    for name in [name for name in sys.modules if name.startswith("wavetank.processor")]:
        del sys.modules[name]
    # Before pytest puts its own finder, which rewrites the package of a plugin, before ours.
    importlib.import_module(changed.name)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        # Without its rewriting of assertions pytest does not mind that the package is there already.
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
        tests = [f"tests/processor/gate/{name}" for name in TESTS.get(module, LEARNING)]
        os._exit(importlib.import_module("pytest").main([*options, *tests]))


def _noticed(module: str, tree: ast.Module) -> bool:
    """Whether the tests fail on this tree, or do not end."""
    process = multiprocessing.get_context("fork").Process(target=_try, args=(module, tree))
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return True
    return process.exitcode != 0


def main() -> None:
    """Print the survivors as they are found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", nargs="?", default="gate")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    os.chdir(ROOT)
    importlib.import_module("pytest")
    importlib.import_module("trio.testing")
    tree = ast.parse(_source(options.module).read_text("utf-8"))
    if _noticed(options.module, tree):
        raise SystemExit("the tests fail on the unchanged module; fix that first")
    chosen = [one for one in mutants(tree) if options.only in one[0]]
    tried = survived = 0
    for what, other in chosen[:: options.every]:
        tried += 1
        if not _noticed(options.module, other):
            survived += 1
            print(what, flush=True)
    print(f"{survived} of {tried} changes went unnoticed; there are {len(chosen)}")


if __name__ == "__main__":
    main()
