"""Run the shell and Python blocks of a page, with stand-ins for its models and servers."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.search import Filter, candidates
from selfinstruct.cli.app import run as cli
from selfinstruct.store import open_run

ROOT = Path(__file__).resolve().parents[2]
FILE = re.compile(r"^cat > (\S+) <<'(\w+)'\n(.*?)\n\2$", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"([^\n]*)\n\n```(sh|python)\n(.*?)```", re.DOTALL)
# What else a page may call; everything else must be `selfinstruct`.
HARMLESS = {"head", "cat", "ls"}
# Commands that run a model, and so take `--engine`.
ASKING = {"generate", "answer", "complete", "converse", "prefer", "best-of", "evaluate"}
NAMES = re.compile(r"^((?:\w[\w-]*=)?)(bundled|[A-Z]\w+/[\w.-]+)$")
MOST_TASKS = 50
# Fetches a package: `tests/real` runs it.
PREPARE = ["selfinstruct", "models", "prepare"]
ID = re.compile(r"r\d{5}-p\d{3}-i\d{2}")


@dataclass(frozen=True)
class StandIns:
    """What stands in for the models and servers of a page.

    Attributes:
        model: a folder with a model that trains.
        server: the address of a server with scripted answers; None: the page names none.
        quick: further words of a command, by its name: they make it fast on so small a model.
    """

    model: Path
    server: str | None
    quick: dict[str, list[str]]


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (language, text) of the blocks of a page that are to run."""
    for before, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "not run here" not in before and "./scripts/" not in text:
            yield language, text


def run_page(page: Path, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Run a page's blocks in the current folder; return the arguments of each command of ours."""
    ran: list[list[str]] = []
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, str(page), "exec"), {})
            continue
        for line in lines_of(text):
            words = shlex.split(line, comments=True)
            if not words or words[0] == "source" or words[:3] == PREPARE:
                continue
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                monkeypatch.setenv(name, value)
            elif words[0] in HARMLESS:
                subprocess.run(words, check=True, capture_output=True)
            else:
                assert words[0] == "selfinstruct", f"{page}: {line}"
                arguments = replaced(words[1:], stand_ins)
                monkeypatch.setattr("sys.stdin", io.StringIO("abcabd" * 60))
                assert cli(arguments) == 0, f"{page}: {line}\n(as {arguments})"
                ran.append(words[1:])
    return ran


def lines_of(block: str) -> Iterator[str]:
    """Write the files of a block, and yield its commands."""
    for name, _, content in FILE.findall(block):
        Path(name).write_text(content + "\n", encoding="utf-8")
    yield from FILE.sub("", block).replace("\\\n", " ").splitlines()


def replaced(words: list[str], stand_ins: StandIns) -> list[str]:
    """Return a command with stand-ins for its models, and ids that its run has."""
    served = [word for word in words if word.startswith("http://127.0.0.1:8000")]
    out = [NAMES.sub(rf"\1{stand_ins.model}", word) for word in words]
    # A page may ask for a thousand tasks; the script would write them, and take a minute.
    if "--target" in out:
        at = out.index("--target") + 1
        out[at] = str(min(int(out[at]), MOST_TASKS))
    if served:
        assert stand_ins.server is not None
        out = [f"{stand_ins.server}#toy" if word in served else word for word in out]
    command = " ".join(words[:2]) if words[0] in {"train", "audit", "models"} else words[0]
    if command == "generate" and "--model" not in words and "--resume" not in words:
        out += ["--model", str(stand_ins.model)]
        out += [] if "--target" in words else ["--target", "12"]
    resumes_served = "--resume" in words and is_served(words, stand_ins)
    if resumes_served:
        out += ["--base-url", str(stand_ins.server)]
    elif words[0] in ASKING and not served:
        out += ["--engine", "scripted"]
    out += stand_ins.quick.get(command, [])
    if command in {"audit restore", "audit drop", "audit edit", "audit undo", "audit show"}:
        out = [an_id(command, words) if ID.fullmatch(word) else word for word in out]
    return out


def is_served(words: list[str], stand_ins: StandIns) -> bool:
    out = Path(words[words.index("--out") + 1]) if "--out" in words else None
    return stand_ins.server is not None and out is not None and out.name == "served"


def an_id(command: str, words: list[str]) -> str:
    """Return the id of a candidate that the run of a command has, and that fits the command."""
    run = open_run(Path(words[2]))
    if command == "audit undo":
        from selfinstruct.decisions.overrides import read_overrides

        return list(read_overrides(run).current)[-1]
    wanted: dict[str, Any] = {"verdict": "accepted"}
    if command == "audit restore":
        wanted = {"reason": "not_novel"}
    return next(iter(candidates(run, Filter("instructions", **wanted), limit=1)))["id"]
