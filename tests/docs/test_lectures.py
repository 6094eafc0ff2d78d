"""docs/lectures.md: every command, link and test that it names exists, and what is declined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from selfinstruct.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "lectures.md"
COLUMNS = ["lecture", "what it is", "command", "docs", "test"]


def tables() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield (section, columns, rows) of every table."""
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, _, body = section.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("|")]
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        yield name, head, rows


TABLES = list(tables())
ROWS = [row for _, columns, rows in TABLES if columns == COLUMNS for row in rows]


def command_of(text: str) -> tuple[Any, list[str]]:
    """Return the command that words name, and the options after it."""
    command: Any = typer.main.get_command(app)
    words = text.split()
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, text
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"{text}: names a group"
    return command, words


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_what_a_row_names_exists(row: list[str]) -> None:
    lecture, _, commands, docs, test = row
    assert set(lecture.split(", ")) <= {"1", "2"}
    named = re.findall(r"`([^`]+)`", commands)
    assert named
    for text in named:
        command, options = command_of(text)
        visible = {
            word
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for word in parameter.opts
        }
        assert set(options) <= visible, text
    (link,) = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", docs)  # anchors: test_links.py
    assert (PAGE.parent / link).is_file(), link
    (path,) = re.findall(r"`([^`]+)`", test)
    assert (ROOT / path).is_file(), path
    assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), path


def test_the_tables() -> None:
    """Every table of what is here has all columns, and no cell is empty."""
    assert [name for name, _, _ in TABLES] == [
        *("Methods", "Baselines", "Measurements", "Failure modes", "Declined"),
    ]
    for name, columns, rows in TABLES[:4]:
        assert columns == COLUMNS, name
        assert len(rows) >= 4, name
    for _, columns, rows in TABLES:
        assert all(len(row) == len(columns) and all(row) for row in rows)


def test_every_method_of_the_chain_is_on_the_page() -> None:
    """A new method of `align` has a row of its own."""
    from selfinstruct.align.steps import METHODS

    ways = {step.kind: f"train {step.kind}" for step in METHODS}
    ways |= {"sft-chosen": "train sft --field", "best-of": "align --method"}
    ways |= {"votes": "answer --votes", "star": "answer --rationale --keep-if-match"}
    commands = " ".join(row[2] for row in ROWS)
    for step in METHODS:
        assert ways[step.kind] in commands, step.kind


@pytest.mark.parametrize(
    "topic", ["ILQL", "A-LoL", "spans", "Value-based", "Pre-training", "Arenas", "PPO"]
)
def test_what_is_declined_says_why(topic: str) -> None:
    _, _, declined = TABLES[-1]
    (row,) = [row for row in declined if topic in row[1]]
    assert len(row[2].split()) >= 12
