"""`train … --dry-run`: it says what the training then does, and touches nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import LocalModel
from tests.train import dpo_runs
from tests.train.tiny import tiny_model

QUICK = ["--max-length", "128", "--held-out", "0.25", "--set", "bf16=false"]


def written(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def data_of(kind: str, folder: Path) -> Path:
    pairs = [
        {"prompt": row.messages[0]["content"], "chosen": row.chosen, "rejected": row.rejected}
        for row in dpo_runs.ROWS
    ]
    rows: list[dict[str, Any]] = pairs
    if kind == "sft":
        rows = [{"prompt": f"Name colour {n}.", "completion": "red " * (n % 9)} for n in range(60)]
        rows = [row for row in rows if row["completion"]]
    if kind == "kto":
        rows = [
            {"prompt": pair["prompt"], "completion": pair[name], "label": name == "chosen"}
            for pair in pairs
            for name in ("chosen", "rejected")
        ]
    return written(folder / "data" / f"{kind}.jsonl", rows)


def table(text: str) -> dict[str, str]:
    """The rows of all tables, by their first column."""
    cells = (line.strip("│ ").split("│") for line in text.splitlines() if line.startswith("│"))
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2}


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "reward", "rl", "distill"])
@pytest.mark.parametrize("more", [[], ["--full", "--epochs", "3"]], ids=["lora", "full"])
def test_a_dry_run_says_what_the_training_does(
    kind: str,
    more: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import PreTrainedModel

    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    model, data, out = tiny_model(tmp_path / "tiny"), data_of(kind, tmp_path), tmp_path / "out"
    words = ["train", kind, "--data", str(data), "--model", str(model.path), "--out", str(out)]
    if kind == "rl":
        more = [word for word in more if word not in ("--epochs", "3")]
        more += ["--reward", "words", "--steps", "2", "--k", "2", "--answer-tokens", "4"]
        more += ["--fresh", "2"]
    if kind == "distill":
        more = [word for word in more if word not in ("--epochs", "3")]
        more += ["--prompt", "hhh", "--steps", "2", "--answer-tokens", "4", "--fresh", "2"]
        more += ["--max-length", "2048"]
    words += [*QUICK, *more, "--patience", "0"]
    if kind == "dpo":
        words += ["--fresh", "2", "--fresh-tokens", "4"]
    if kind == "reward":
        words += ["--check", "none"]
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedModel, "from_pretrained", loaded)
        assert cli([*words, "--dry-run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capfd.readouterr()
    assert "a dry run: nothing was loaded, and nothing was written" in said.err
    planned = table(said.out)
    assert planned["attention"] == "sdpa"
    assert planned["gradient_checkpointing"] == "False"
    assert any(name.endswith("(chosen)") for name in planned)
    assert ("adapter" in planned) == ("--full" not in more)
    assert ("reference model" in planned) == ("--full" in more and kind in ("dpo", "kto", "rl"))
    assert ("teacher" in planned) == (kind == "distill")
    assert cli(words) == 0
    trained = re.search(r"tokens in (\d+) steps", capfd.readouterr().out)
    assert trained is not None
    assert planned["steps"] == trained[1]
    report = json.loads((out / "training.json").read_text())
    held = "validation_rows" if kind == "sft" else "held_out"
    if isinstance(report.get(held), int):
        assert planned["held out"] == str(report[held])


def test_a_dry_run_refuses_what_the_training_refuses(
    tmp_path: Path, model: LocalModel, capfd: pytest.CaptureFixture[str]
) -> None:
    data, out = data_of("sft", tmp_path), tmp_path / "out"
    words = ["train", "sft", "--data", str(data), "--model", str(model.path), "--out", str(out)]
    assert cli([*words, "--dry-run", "--set", "lerning_rate=1"]) == 2
    assert "did you mean 'learning_rate'?" in capfd.readouterr().err
    out.mkdir()
    (out / "a file").touch()
    assert cli([*words, "--dry-run"]) == 2
    assert "is not empty" in capfd.readouterr().err


def test_the_users_settings_are_shown(
    tmp_path: Path, model: LocalModel, capfd: pytest.CaptureFixture[str]
) -> None:
    data = data_of("sft", tmp_path)
    words = ["train", "sft", "--data", str(data), "--model", str(model.path), "--dry-run"]
    words += ["--out", str(tmp_path / "out"), "--attention", "eager", "--set", "optim=sgd"]
    words += ["--set", "gradient_checkpointing=true", "--set", "max_steps=7"]
    assert cli(words) == 0
    planned = table(capfd.readouterr().out)
    assert (planned["attention"], planned["optim"], planned["steps"]) == ("eager", "sgd", "7")
    assert planned["gradient_checkpointing"] == "True"
    assert "--lora, checkpointing (chosen)" in planned
    assert "optimizer" not in planned  # SGD keeps nothing


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    return tiny_model(tmp_path / "tiny")
