"""Runs of the real engine on the bundled model, each made once for all tests that read it.

float32 repeats exactly on a CPU, whatever is batched with what: only so can a killed and
resumed run be compared with an uninterrupted one byte by byte.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.store import Run, open_run

ROOT = Path(__file__).resolve().parents[2]
COLD = [sys.executable, "-m", "selfinstruct"]
# A round takes as long as its longest texts: it has few of them, and they end early.
SMALL = ["--seed", "0", "--dtype", "float32", "--set", "propose.per_round=6"]
SMALL += ["--set", "instances.sampling.max_tokens=128"]
SMALL += ["--set", "likelihood.calibration=8", "--set", "likelihood.gain=true"]
TARGET = 10
Cli = Callable[..., str]


def generate_arguments(out: Path, *more: str) -> list[str]:
    return ["generate", "--out", str(out), "--target", str(TARGET), *SMALL, *more]


def said_by(command: list[str], *, expect: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def cli(warm: Path) -> Cli:
    """Run a command, or a script of this repository; return all that it wrote."""
    return lambda *words, expect=0: said_by([str(warm), *words], expect=expect)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run, of a command that imports all that it needs itself."""
    out = tmp_path_factory.mktemp("real") / "whole"
    said_by([*COLD, *generate_arguments(out)])
    return open_run(out)


@pytest.fixture(scope="session")
def chain_arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The whole chain on a small target, with a judge at its end."""
    folder = tmp_path_factory.mktemp("chain")
    lines = (ROOT / "seeds" / "eval_tasks.jsonl").read_text().splitlines()[:12]
    tasks, text = folder / "tasks.jsonl", folder / "text.txt"
    tasks.write_text("\n".join(lines))
    text.write_text("The sky was blue, and so was her coat. He asked, and she said blue.")
    arguments = ["align", "--out", str(folder / "chain"), "--target", "16"]
    for stage in (
        "generate=--set propose.per_round=16 --set instances.sampling.max_tokens=128",
        "sft=--epochs 1",
        "prefer=--k 3 --max-tokens 112 --held-out 6 --pairs-per-task 3",
        "dpo=--epochs 1 --fresh 4 --fresh-tokens 24",
        f"evaluate=--tasks {tasks} --max-tokens 64 --plain-text {text}",
    ):
        arguments += ["--stage", stage]
    return arguments


@pytest.fixture(scope="session")
def chain(cli: Cli, chain_arguments: list[str]) -> Path:
    """The folder of the chain, once it has ended."""
    cli(*chain_arguments)
    return Path(chain_arguments[2])
