"""Functions take at most six parameters; more of them go into a record."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import selfinstruct

ROOT = Path(selfinstruct.__file__).parent
MOST = 6

# Keyword arguments that mirror the options of the command line.
PUBLIC = "api.py"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> list[str]:
    own = function.args
    named = [*own.posonlyargs, *own.args, *own.kwonlyargs]
    rest = [each for each in (own.vararg, own.kwarg) if each is not None]
    return [each.arg for each in [*named, *rest] if each.arg not in ("self", "cls")]


def is_kernel(function: Function) -> bool:
    """Whether numba compiles it: kernels take arrays one by one."""
    nodes = (node for each in function.decorator_list for node in ast.walk(each))
    return "_jit" in {node.id for node in nodes if isinstance(node, ast.Name)}


def is_command(path: Path, function: Function) -> bool:
    """Whether typer makes options of its parameters: it is annotated with them."""
    own = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    notes = [ast.unparse(each.annotation) for each in own if each.annotation is not None]
    typed = any("typer." in note or note.endswith("Option") for note in notes)
    return path.relative_to(ROOT).parts[0] == "cli" and typed


def crowded() -> set[str]:
    """Every file:function with too many parameters."""
    return {
        f"{path.relative_to(ROOT).as_posix()}:{function.name}"
        for path in sorted(ROOT.rglob("*.py"))
        for function in functions(path)
        if len(parameters(function)) > MOST
        and path != ROOT / PUBLIC
        and not is_kernel(function)
        and not is_command(path, function)
    }


def test_functions_have_at_most_six_parameters() -> None:
    assert crowded() == set()


def test_kernels_and_commands_are_known() -> None:
    """The exceptions are real: without them the test would not see what it lets pass."""
    kernels = [f.name for f in functions(ROOT / "filters/novelty/overlap.py") if is_kernel(f)]
    assert "nearest" in kernels
    path = ROOT / "cli/generate.py"
    assert [f.name for f in functions(path) if is_command(path, f)] == ["generate"]
