"""docs/evaluation.md: its commands run on the scripted engine, and it explains every metric."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.evaluate.metrics import MEASURES
from selfinstruct.evaluate.rankings import CHOICE_MEASURES, PAIR_MEASURES
from selfinstruct.evaluate.titles import TITLES
from tests.engines.kinds import add_scripted

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
FILE = re.compile(r"cat > (\S+) <<'(\w+)'\n(.*?)\n\2\n", re.DOTALL)
# What the report of each command must hold, by its folder.
EXPECTED = {
    "compared": {"rouge_l", "exact_match"},
    "prompted": {"choice_accuracy", "choice_logprob"},
    "checked": {"pass_at_1", "pass_at_5"},
    "choices": {"choice_accuracy", "choice_accuracy_sum", "choice_logprob"},
    "ranked": {"pair_accuracy", "pair_accuracy_sum", "pair_margin"},
}


def arguments(block: str, model: Path) -> list[str]:
    """The call of a block, on a folder instead of a model."""
    line = FILE.sub("", block).replace("\\\n", " ").strip()
    words = shlex.split(line)
    assert words[:2] == ["selfinstruct", "evaluate"]
    at = re.compile(r"^(\w+)=(?:bundled|outputs/tuned)$")
    return [at.sub(rf"\1={model}", word) for word in words[1:]]


def out_of(words: list[str]) -> Path:
    return Path(words[words.index("--out") + 1])


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add_scripted(monkeypatch)
    monkeypatch.chdir(tmp_path)


def run(block: str, model: Path) -> tuple[int, Path]:
    for name, _, content in FILE.findall(block):
        Path(name).write_text(content + "\n", encoding="utf-8")
    words = arguments(block, model)
    return cli([*words, "--engine", "scripted"]), out_of(words)


def test_every_command_of_the_page_is_known() -> None:
    folders = {out_of(arguments(block, Path("m"))).name for block in BLOCKS}
    assert folders == {*EXPECTED, "public"}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_commands_run(name: str, model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    [block] = [block for block in BLOCKS if f"--out outputs/{name}" in block]
    code, out = run(block, model_folder)
    said = capfd.readouterr()
    assert code == 0, said.err
    report = json.loads((out / "report.json").read_text())
    for means in report["models"].values():
        assert means.keys() >= EXPECTED[name]
    assert "differences, with 95 % intervals" in said.out


def test_the_hand_off_says_what_to_install(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("selfinstruct.evaluate.harness.is_installed", lambda: False)
    [block] = [block for block in BLOCKS if "--out outputs/public" in block]
    code, out = run(block, model_folder)
    assert (code, out.exists()) == (2, False)
    said = capfd.readouterr()
    assert said.out.count("--tasks hellaswag,arc_easy") == 2
    assert "--limit 200" in said.out


def test_every_metric_is_explained() -> None:
    documented = set(re.findall(r"`(\w+)`", PAGE))
    metrics: dict[str, Any] = {**MEASURES, **CHOICE_MEASURES, **PAIR_MEASURES}
    assert metrics.keys() <= documented
    assert metrics.keys() <= {title.name for title in TITLES}
    assert {title.name for title in TITLES} <= documented
