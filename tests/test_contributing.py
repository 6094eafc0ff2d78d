"""The guide for contributors: what it names exists; its skeletons work and pass the linter."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.filters.rule import InstructionFacts, Rule, first_failure
from tests.test_imports import TIERS

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def named() -> set[str]:
    """Every path that the guide names, but for those with a NAME to be filled in."""
    paths = re.findall(r"(?:selfinstruct|tests|scripts|docs|\.github)/[\w./-]*\w", GUIDE)
    return {path for path in paths if "NAME" not in path}


def test_every_file_that_is_named_exists() -> None:
    names = named()
    assert len(names) > 30
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("block", BLOCKS)
def test_skeletons_run(block: str) -> None:
    for rule in names_of(block).values():
        if not isinstance(rule, Rule):
            continue
        assert rule.since > 2  # the rules of the first versions are complete
        config = type("Config", (), {rule.section: rule.limits()})
        assert first_failure([rule], InstructionFacts("TELL ME WHY."), config)
        assert first_failure([rule], InstructionFacts("Tell me why."), config) is None


@pytest.mark.parametrize("block", BLOCKS)
def test_skeletons_pass_the_linter(block: str) -> None:
    home = home_of(block)
    path = home or Path("selfinstruct/mine.py")
    text = block if home is None else f"{(ROOT / home).read_text(encoding='utf-8')}\n\n{block}"
    for how in (["check", "--ignore=D100"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *how, f"--stdin-filename={path}", "-"],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def home_of(block: str) -> Path | None:
    """The file that a skeleton names in its first line: it uses the names there."""
    named_file = re.match(r"# .*?(selfinstruct/\S+\.py)", block)
    return Path(named_file[1]) if named_file else None


def names_of(block: str) -> dict[str, object]:
    """Run a skeleton, with the names of the file that it names; return all names."""
    home = home_of(block)
    names: dict[str, object] = {}
    if home is not None:
        module = ".".join(home.with_suffix("").parts)
        names = dict(vars(importlib.import_module(module)))
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return names


def skeleton(name: str) -> Any:
    """Return what a skeleton of the guide defines under a name."""
    [block] = [block for block in BLOCKS if f"\n{name} = " in block]
    return names_of(block)[name]


def test_every_room_is_in_the_table() -> None:
    rooms = {path.parent.name for path in (ROOT / "selfinstruct").glob("*/__init__.py")}
    assert rooms <= set().union(*TIERS)
    for room in rooms:
        text = (ROOT / "selfinstruct" / room / "__init__.py").read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
        assert f"| `{room}` | {first} |" in GUIDE, room


def test_links_lead_somewhere() -> None:
    for path in (ROOT / ".github").glob("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), target
