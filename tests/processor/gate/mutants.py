"""Changes the gate in one place at a time, and sees whether its tests notice.

`python -m tests.processor.gate.mutants` prints the changes that no test noticed; docs/gate.md says of
each why it is none. Each change is tried in a process of its own, against the tests of the gate
and the pace; it counts as noticed if they fail or do not end.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
MODULE: Final = "wavetank.processor.gate.gate"
SOURCE: Final = ROOT / "src/wavetank/processor/gate/gate.py"
TESTS: Final = ("tests/processor/gate/test_gate.py", "tests/processor/gate/test_gate_rules.py")
PATIENCE_SECONDS: Final = 20

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
    """Loads the gate from a changed tree."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return importlib.machinery.ModuleSpec(name, self, origin=str(SOURCE)) if name == MODULE else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(SOURCE), "exec"), module.__dict__)


def _try(tree: ast.Module) -> None:
    """Run the tests on a changed gate; the exit code is theirs."""
    sys.meta_path.insert(0, Changed(tree))
    for name in [name for name in sys.modules if name.startswith("wavetank.processor")]:
        del sys.modules[name]
    # Before pytest puts its own finder, which rewrites the package of a plugin, before ours.
    importlib.import_module(MODULE)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        # Without its rewriting of assertions pytest does not mind that the package is there already.
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
        os._exit(importlib.import_module("pytest").main([*options, *TESTS]))


def survivors(only: Sequence[str] = ()) -> Iterator[str]:
    """The changes that no test noticed, each by its place and what it was."""
    tree = ast.parse(SOURCE.read_text("utf-8"))
    if _noticed(tree):
        raise SystemExit("the tests fail on the unchanged gate; fix that first")
    for what, other in mutants(tree):
        if (not only or any(word in what for word in only)) and not _noticed(other):
            yield what


def _noticed(tree: ast.Module) -> bool:
    """Whether the tests fail on this tree, or do not end."""
    process = multiprocessing.get_context("fork").Process(target=_try, args=(tree,))
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return True
    return process.exitcode != 0


def main() -> None:
    """Print the survivors as they are found."""
    os.chdir(ROOT)
    importlib.import_module("pytest")
    importlib.import_module("trio.testing")
    count = 0
    for what in survivors(sys.argv[1:]):
        count += 1
        print(what, flush=True)
    print(f"{count} changes went unnoticed")


if __name__ == "__main__":
    main()
