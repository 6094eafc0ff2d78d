"""The docs are tested: commands exist and are documented, generated parts are up to date."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from selfinstruct.cli.app import app
from selfinstruct.cli.app import run as cli
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK_START = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
# An option as ours are spelt: other programs have underscores in theirs (--config_file).
OPTION = r"(?<![\w-])--[a-z][a-z0-9-]+(?!\w)"
Generate = Callable[..., tuple[Run, str]]


def commands() -> set[str]:
    """Every command of the command line, such as `audit summary`."""
    found: set[str] = set()

    def walk(command: object, name: str) -> None:
        below = getattr(command, "commands", None)
        if below:
            for key, sub in below.items():
                walk(sub, f"{name} {key}".strip())
        else:
            found.add(name)

    walk(typer.main.get_command(app), "")
    return found


def shell_blocks(page: str = QUICK_START) -> list[tuple[str, str]]:
    """A page's shell blocks, each with the line of text before it."""
    return re.findall(r"([^\n]*)\n\n```sh\n(.*?)```", page, re.DOTALL)


def runnable_blocks() -> list[str]:
    """Those of the quick start that work without a GPU or a hub."""
    return [
        text
        for before, text in shell_blocks()
        if "not run here" not in before and "./scripts/" not in text
    ]


def calls_in(blocks: list[str]) -> list[list[str]]:
    """The arguments of every `selfinstruct ...` in shell blocks."""
    return [
        shlex.split(line, comments=True)[1:]
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("selfinstruct ")
    ]


def test_every_command_is_in_the_docs() -> None:
    for command in commands():
        assert f"`{command}`" in COMMANDS, f"{command} is not documented"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_call_in_a_page_is_a_command(page: Path) -> None:
    known = commands()
    calls = calls_in([text for _, text in shell_blocks(page.read_text(encoding="utf-8"))])
    if page.stem == "quickstart":
        assert len(calls) >= 15
    for call in calls:
        assert call[0] in known or " ".join(call[:2]) in known, call


def test_the_calls_of_the_quick_start_run(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but those that load a model, which the real-vLLM tests run."""
    monkeypatch.chdir(tmp_path)
    generate(tmp_path / "outputs" / "first", stop__target=20)
    generate(tmp_path / "outputs" / "second", stop__target=20, seed=1)
    heavy = {"generate", "answer", "complete", "train", "prefer", "evaluate", "models", "align"}
    heavy |= {"best-of", "converse", "serve"}
    ran = [call for call in calls_in(runnable_blocks()) if call[0] not in heavy]
    assert len(ran) >= 8
    for call in ran:
        assert cli(call) == 0, call


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [["study_likelihood.py", "tables", "--check"], ["study_sft.py", "--tables", "--check"]],
)
def test_the_tables_of_a_study_follow_from_its_data(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_reason_is_explained() -> None:
    rules = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    for reason, meaning in reasons().items():
        assert meaning
        assert f"`{reason}`" in rules


def test_nothing_is_left_to_be_filled_in() -> None:
    for path in [ROOT / "CHANGELOG.md", *PAGES]:
        text = path.read_text(encoding="utf-8")
        assert "@@" not in text, path
        for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path}: {target}"


def test_every_option_of_a_command_that_the_docs_name_exists() -> None:
    known = set()

    def walk(command: object) -> None:
        for parameter in getattr(command, "params", []):
            options = (*parameter.opts, *parameter.secondary_opts)
            known.update(option for option in options if option.startswith("--"))
        for sub in getattr(command, "commands", {}).values():
            walk(sub)

    walk(typer.main.get_command(app))
    known |= {"--help", "--check", "--generated", "--floors", "--pool", "--rounds", "--repeat"}
    known |= {"--rows", "--steps", "--kinds", "--candidates", "--per-round", "--long", "--words"}
    known |= {"--last", "--against", "--copies"}
    known |= {"--part", "--only"}  # fault_report.py
    known |= {"--no-deps", "--extra-index-url", "--torch-backend", "--from"}  # pip and uv
    known |= {"--rm", "--user"}  # docker
    known |= {"--logdir"}  # tensorboard
    known |= {"--head", "--data-parallel-size"}  # ray start, vllm serve
    known |= {"--config-file", "--serve", "--version", "--install-completion", "--show-completion"}
    for path in PAGES:
        for option in re.findall(OPTION, path.read_text(encoding="utf-8")):
            assert option in known, f"{path}: {option}"


def test_scripts_named_in_the_readme_exist() -> None:
    for name in set(re.findall(r"scripts/[\w.]+\w", README)):
        assert (ROOT / name).is_file(), name


def test_the_shipped_seeds() -> None:
    from selfinstruct.inputs.seeds import parse_seeds, shipped_seeds
    from selfinstruct.verdicts.pool import near_duplicates

    path = shipped_seeds()
    seeds = parse_seeds(path.read_bytes(), path)
    assert len(seeds) == 175
    assert 20 <= sum(bool(seed.is_classification) for seed in seeds) <= 30
    assert list(near_duplicates(seeds)) == []
