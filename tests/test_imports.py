"""The import graph: tiers, no cycles, heavy packages only where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import selfinstruct

ROOT = Path(selfinstruct.__file__).parent

# Tiers, lowest first; a room imports itself, lower tiers, and its own tier without a circle.
TIERS = [
    {"common"},
    {"filters"},
    {"config"},
    {"models", "engines", "prompts", "store", "inputs"},
    {"decisions", "verdicts"},
    {"generate", "labellers", "dataset"},
    {"preferences", "train", "evaluate", "audit"},
    {"align"},
    {"web"},
    {"api"},
    {"cli"},
    {"__main__"},
]
# What a room must not know, whatever its tier: who judges or reads asks no model.
NEVER = {
    "verdicts": {"engines"},
    **{room: {"generate"} for room in ("audit", "dataset", "preferences", "evaluate", "train")},
}

ONLY_IN = {
    "vllm": {"engines/vllm.py", "engines/vllm_drivers.py"},
    "ray": {"engines/ray_cluster.py"},
    "trl": {"train"},
    "duckdb": {"audit"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "plotly": {"web"},
}
# pydantic is not among them: typer itself loads it.
HEAVY = {
    "torch",
    "transformers",
    "vllm",
    "pyarrow",
    "numpy",
    "duckdb",
    "rapidfuzz",
    "numba",
    "jinja2",
    "fastapi",
    "uvicorn",
}


def unit(path: Path) -> str:
    """The part of the house that a file belongs to: its package, or its own name."""
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def tier(name: str) -> int:
    for level, names in enumerate(TIERS):
        if name in names:
            return level
    raise AssertionError(f"{name} is in no tier; add it to tests/test_imports.py")


def imports(path: Path) -> set[str]:
    """Absolute names of all imported modules, those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found.add(module)
            if module == "selfinstruct":
                found |= {f"selfinstruct.{alias.name}" for alias in node.names}
    return found


FILES = [path for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT]


def edges() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        own = unit(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "selfinstruct" or len(parts) < 2 or parts[1] == "__version__":
                continue
            if parts[1] != own:
                graph.setdefault(own, set()).add(parts[1])
    return graph


def test_files_import_lower_tiers_only() -> None:
    for own, others in edges().items():
        for other in others:
            assert tier(other) <= tier(own), f"{own} imports {other}"
            assert other not in NEVER.get(own, ()), f"{own} imports {other}"


def test_there_is_no_cycle() -> None:
    graph = edges()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done:
            return
        for other in graph.get(name, ()):
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_heavy_packages_are_imported_where_they_belong() -> None:
    for path in FILES:
        relative = path.relative_to(ROOT).as_posix()
        for name in imports(path):
            places = ONLY_IN.get(name.split(".")[0])
            if places is not None:
                assert relative in places or unit(path) in places, f"{relative} imports {name}"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from selfinstruct.cli.app import run; code = run(['generate', '--help']);"
        f"print(sorted(set(sys.modules) & {HEAVY!r}), code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
