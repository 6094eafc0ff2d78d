"""The estimate of memory against the measured peak of whole trainings, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from tests.cli.test_dry_run import table
from tests.train.tiny import tiny_model

ARTICLE = "the quick brown fox jumps over a lazy dog and runs into the deep green wood "


# A small process between: at its start a process counts the memory of the one that it came from.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak_of(words: list[str]) -> tuple[int, str]:
    """Run a command; return the bytes that it had in memory at its peak, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, sys.executable, "-m", "selfinstruct", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    said, _, peak = done.stdout.rstrip().rpartition("\n")
    return int(peak) * 1024, said


def rows(path: Path, kind: str) -> Path:
    lines: list[dict[str, Any]] = []
    for n in range(40):
        prompt = f"Tell me more about number {n}. " + ARTICLE * (n % 7)
        good, bad = f"{n} is {ARTICLE * (1 + n % 5)}", f"I know nothing about {n}."
        one = {"completion": good} if kind == "sft" else {"chosen": good, "rejected": bad}
        lines.append({"prompt": prompt, **one})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def words_of(kind: str, model: str, folder: Path, more: tuple[str, ...]) -> list[str]:
    data = rows(folder / "rows.jsonl", kind)
    words = ["train", kind, "--data", str(data), "--model", model, "--out", str(folder / "out")]
    words += ["--set", "max_steps=3", *more]
    if kind == "dpo":
        words += ["--fresh", "4", "--fresh-tokens", "16"]
    return words


def estimate(words: list[str]) -> float:
    """The largest of the peaks that a dry run prints, in bytes."""
    _, said = peak_of([*words, "--dry-run"])
    found = table(said)
    names = ("at the peak of a step", "at an evaluation", "while the adapter is merged")
    return 1e9 * max(float(found[name].split()[0]) for name in names if name in found)


def compare(kind: str, model: str, folder: Path, more: tuple[str, ...]) -> tuple[float, int]:
    words = words_of(kind, model, folder, more)
    return estimate(words), peak_of(words)[0]


@pytest.mark.slow
def test_of_a_tiny_model(tmp_path: Path) -> None:
    """Most of it is Python with its libraries."""
    model = tiny_model(tmp_path / "tiny")
    estimated, peak = compare("sft", str(model.path), tmp_path, ("--max-length", "2000"))
    assert estimated == pytest.approx(peak, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("sft", ()),
        ("sft", ("--full",)),
        ("sft", ("--set", "gradient_checkpointing=true", "--set", "packing=false")),
        ("dpo", ()),
    ],
    ids=["lora", "full", "checkpointing", "dpo"],
)
def test_of_a_real_model(kind: str, more: tuple[str, ...], tmp_path: Path) -> None:
    estimated, peak = compare(kind, "bundled", tmp_path, more)
    assert estimated == pytest.approx(peak, rel=0.25)
