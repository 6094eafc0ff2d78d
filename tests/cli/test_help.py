"""What --help shows: an example that parses, defaults in one style, one meaning per option name."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from selfinstruct.cli.app import app, run
from selfinstruct.cli.help import default

ROOT = typer.main.get_command(app)


def every(command: Any = ROOT, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group with its name."""
    yield name, command
    for key, below in getattr(command, "commands", {}).items():
        yield from every(below, f"{name} {key}".strip())


EVERY = dict(every())
LEAVES = {name: command for name, command in EVERY.items() if not hasattr(command, "commands")}


def options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option"]


def parse(words: list[str]) -> None:
    """Parse a command line without running it; a wrong one raises."""
    command: Any = ROOT
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


@pytest.mark.parametrize("name", EVERY)
def test_every_help_ends_with_an_example_that_parses(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    (example,) = filter(str.strip, shown.rpartition("Example:")[2].splitlines())
    words = shlex.split(example)
    assert words[0] == "selfinstruct"
    assert " ".join(words[1:]).startswith(name)
    parse(words[1:])


@pytest.mark.parametrize("name", EVERY)
def test_defaults_have_one_style(name: str) -> None:
    for option in options(EVERY[name]):
        shown = option.help or ""
        said = shown.partition(default("@").partition("@")[0])[0]
        assert "default" not in said.lower(), f"{option.opts}: {shown}"
        assert not isinstance(option.show_default, str), option.opts


def test_auto_is_shown_as_what_it_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run(["generate", "--help"])
    shown = " ".join(re.sub("[^!-~]", " ", capsys.readouterr().out).split())
    assert "[default: auto: bfloat16 if the machine computes it fast, otherwise float32]" in shown
    assert "[default: auto: the mode that suits the model best at each stage" in shown
    assert "[default: 100]" in shown


def test_long_helps_have_panels() -> None:
    """Nobody reads twenty options in a row."""
    for name, command in LEAVES.items():
        panels: dict[str, int] = defaultdict(int)
        for option in options(command):
            if not option.hidden:
                panels[getattr(option, "rich_help_panel", None) or "Options"] += 1
        assert max(panels.values(), default=0) <= 10, f"{name}: {dict(panels)}"


def test_an_option_name_has_one_meaning() -> None:
    """Its type is the same in every command, and its help does not speak of something else."""
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, command in LEAVES.items():
        for option in options(command):
            if not option.hidden:
                kind = str(option.type_descriptor.annotation)
                kind = "words" if "Name'" in kind or "Sampled'" in kind else kind
                kinds[max(option.opts, key=len)][kind].append(name)
    # A list of contestants NAME=MODEL, and one MODEL, and their system prompts; formats that are
    # read, and those that are written; reasons of an export, and one reason; the share of imported
    # tasks with a rationale, and whether answers have one.
    apart = {"--model", "--system", "--format", "--reason", "--rationale"}
    several = {name for name, by_kind in kinds.items() if len(by_kind) > 1} - apart
    assert several == set(), {name: dict(kinds[name]) for name in several}
    shown = {
        word: {name for name in LEAVES if word in visible(LEAVES[name])}
        for word in (
            "--held-out",
            "--held-out-pairs",
            "--labeller",
            "--max-tokens",
            "--answer-tokens",
        )
    }
    assert shown == {
        "--held-out": {"train sft", "train dpo", "train kto", "train reward", "train rl"}
        | {"train distill"},
        "--held-out-pairs": {"prefer"},
        "--labeller": {"prefer", "best-of"},
        "--max-tokens": {"generate"},
        "--answer-tokens": {"prefer", "best-of", "evaluate", "train rl", "train distill"},
    }


def visible(command: Any) -> set[str]:
    return {word for option in options(command) if not option.hidden for word in option.opts}


FORMER = {
    "--scorer": (["best-of", "run", "--policy", "m", "--out", "o"], ["--scorer", "judge"]),
    "--held-out": (["prefer", "run", "--policy", "m", "--out", "o"], ["--held-out", "5"]),
    "--validation": (
        ["train", "sft", "--data", "d", "--model", "m", "--out", "o"],
        ["--validation", "0.2"],
    ),
    "--stage": (["align", "--out", "o"], ["--stage", "sft=--epochs 1"]),
    "--max-tokens": (["evaluate", "--model", "a=b", "--out", "o"], ["--max-tokens", "9"]),
    "--text": (["audit", "list", "run"], ["--text", "bird"]),
}


@pytest.mark.parametrize("former", FORMER)
def test_former_names_still_parse_and_are_not_shown(former: str) -> None:
    words, more = FORMER[former]
    parse([*words, *more])
    name = " ".join(words[:2]) if " ".join(words[:2]) in LEAVES else words[0]
    assert former not in visible(LEAVES[name])
    docs = Path(__file__).resolve().parents[2]
    for path in [docs / "README.md", *(docs / "docs").glob("*.md")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            command = re.search(rf"selfinstruct {name} .*", line)
            assert command is None or former not in command[0].split(), f"{path}: {line}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str) -> None:
    """As the shell itself asks: with the words so far in its variables."""

    def completed(line: str) -> str:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        words |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        done = subprocess.run(
            [sys.executable, "-m", "selfinstruct"],
            env={**os.environ, **words, "_PYTHON__M_SELFINSTRUCT_COMPLETE": f"complete_{shell}"}
            | {"_SELFINSTRUCT_COMPLETE": f"complete_{shell}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    assert "generate" in completed("selfinstruct gen")
    assert "--target" in completed("selfinstruct generate --ta")
    assert "prompt-completion" in completed("selfinstruct export run --format p")


def test_completion_can_be_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "selfinstruct", "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "_SELFINSTRUCT_COMPLETE=complete_bash" in done.stdout


def test_completion_can_be_installed(tmp_path: Path) -> None:
    """For the shell that is named, since a test has none around it; into a home of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "selfinstruct", "--install-completion", "bash"],
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bash completion installed in" in done.stdout
    script = tmp_path / ".bash_completions" / "selfinstruct.sh"
    assert "complete -o default -F _selfinstruct_completion selfinstruct" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
