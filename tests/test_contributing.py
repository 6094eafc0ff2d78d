"""The guide for contributors: what it names exists, and its skeletons work."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
    tree = ast.parse(block)
    known = {alias.asname or alias.name for node in ast.walk(tree) for alias in _aliases(node)}
    if not known:  # a part of a file
        return
    names: dict[str, object] = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    rules = [value for value in names.values() if isinstance(value, Rule)]
    for rule in rules:
        assert rule.since > 2  # the rules of the first versions are complete
        config = type("Config", (), {rule.section: rule.limits()})
        assert first_failure([rule], InstructionFacts("TELL ME WHY."), config)
        assert first_failure([rule], InstructionFacts("Tell me why."), config) is None


def _aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.ImportFrom) else []


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
