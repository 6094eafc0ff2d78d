"""The reference is complete: every command, option, key, reason, name and operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import selfinstruct as si
from selfinstruct.cli.app import app
from selfinstruct.config.schema import RunConfig, leaves
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.trainers import TRAINERS
from selfinstruct.filters.rules import reasons
from selfinstruct.inputs.formats import FORMATS

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def walk(command: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that can be run, and its name."""
    command = typer.main.get_command(app) if command is None else command
    for key, sub in getattr(command, "commands", {}).items():
        yield from walk(sub, f"{name} {key}".strip())
    if not getattr(command, "commands", {}):
        yield name, command


COMMANDS = dict(walk())


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", page("commands"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{name} is not documented"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_documented(name: str) -> None:
    text = section(name)
    for parameter in COMMANDS[name].params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            word = (parameter.metavar or parameter.name).upper()
            rows = [row for row in text.splitlines() if row.startswith("| `") and word in row]
        else:
            option = max(parameter.opts, key=len)
            start = re.compile(rf"\| (`[^|]*, )?`{option}`")
            rows = [row for row in text.splitlines() if start.match(row)]
        assert len(rows) == 1, f"{name} {parameter.opts}: {rows}"
        meaning = rows[0].rstrip("|").rpartition("|")[2].strip()
        assert len(meaning) > 3, f"{name} {parameter.opts} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert f"Example: `selfinstruct {name}" in section(name)


def test_the_options_of_the_program_itself() -> None:
    for parameter in typer.main.get_command(app).params:
        if not getattr(parameter, "hidden", False):
            assert f"{max(parameter.opts, key=len)}`" in page("commands")


def test_every_key_of_the_config() -> None:
    text = (REFERENCE.parent / "config.md").read_text(encoding="utf-8")
    for key, _, _, description in leaves(RunConfig()):
        assert description, key
        assert f"| `{key}` |" in text


def test_every_reason_format_and_trainer() -> None:
    for reason in reasons():
        assert f"| `{reason}` |" in page("reasons")
    for known in (*(one.name for one in FORMATS), *map(str, Format)):
        assert f"`{known}`" in page("formats")
    for trainer in TRAINERS:
        assert f"`--for {trainer.name}`" in page("formats")


def test_every_name_of_the_python_api() -> None:
    for name in si.__all__:
        assert f"\n## {name}\n" in page("python")
    for name, method in vars(si.Run).items():
        if not name.startswith("_") and callable(method):
            assert f"\n### Run.{name}\n" in page("python")


def test_every_operation_of_the_service() -> None:
    pytest.importorskip("fastapi")
    from selfinstruct.web import api, api_decisions, api_jobs, chats

    for router in (api.router, api_decisions.router, api_jobs.router, chats.router):
        for route in router.routes:
            for method in getattr(route, "methods", set()) - {"HEAD"}:
                assert f"`{method} /api/v1{route.path}`" in page("rest")  # type: ignore[attr-defined]
