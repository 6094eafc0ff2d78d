"""`train dpo` and `train reward`: their arguments, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from tests.train.tiny import tiny_model

QUICK = ["--epochs", "1", "--learning-rate", "5e-3", "--set", "bf16=false", "--max-length", "256"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"Name colour {n}.", "chosen": "red", "rejected": "no dog"} for n in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_train_dpo(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, out = tiny_model(tmp_path / "tiny"), tmp_path / "out"
    arguments = ["train", "dpo", "--data", str(data), "--model", str(model.path)]
    arguments += ["--out", str(out), "--fresh", "2", "--fresh-tokens", "4", *QUICK]
    assert cli(arguments) == 0
    captured = capfd.readouterr()
    assert "trained on 32 pairs" in captured.out
    assert "on 8 held-out pairs" in captured.out
    assert "few_held_out: 8 pairs are held out" in captured.err
    assert "health.html" in captured.err
    assert f"selfinstruct evaluate --model before={model.path} --model dpo=" in captured.err
    card = (out / "README.md").read_text()
    assert "preferences `pairs.jsonl`" in card
    assert "| beta | 0.1 |" in card
    assert "8 pairs are held out" in card
    assert cli(arguments) == 2
    assert "holds a trained model already" in capfd.readouterr().err


def test_train_reward(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, out = tiny_model(tmp_path / "tiny"), tmp_path / "out"
    arguments = ["train", "reward", "--data", str(data), "--model", str(model.path)]
    check = tmp_path / "checks.jsonl"
    pair = {"id": "one", "prompt": "Name it.", "chosen": "no dog", "rejected": "red", "trap": "odd"}
    check.write_text(json.dumps(pair))
    arguments += ["--out", str(out), "--check", str(check), *QUICK]
    assert cli(arguments) == 0
    told = capfd.readouterr().out
    assert "trained on 32 pairs" in told
    assert "held-out pairs" in told
    assert "wrong: one (odd) Name it." in told
    assert "text-classification" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("command", "more", "message"),
    [
        ("dpo", ["--loss-type", "dice"], "--loss-type dice: is none of TRL's"),
        ("dpo", ["--set", "beta=1"], "beta: set by selfinstruct itself"),
        ("dpo", ["--max-length", "16"], "0 of 32 pairs have at most 16 tokens"),
        ("reward", ["--set", "warp=9"], "--set warp: TRL's RewardConfig has no such field"),
        ("reward", ["--ranked"], "leave --ranked out"),
        ("reward", ["--check", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_what_cannot_be_trained(
    tmp_path: Path,
    data: Path,
    command: str,
    more: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model, out = tiny_model(tmp_path / "tiny"), tmp_path / "out"
    arguments = ["train", command, "--data", str(data), "--model", str(model.path)]
    assert cli([*arguments, "--out", str(out), *more]) == 2
    assert message in capfd.readouterr().err
    assert not out.exists()


def test_five_pairs_are_refused(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data.write_text("\n".join(data.read_text().splitlines()[:5]))
    for command in ("dpo", "reward"):
        arguments = ["train", command, "--data", str(data), "--model", "none", "--out", "x"]
        assert cli(arguments) == 2
        assert "4 pairs to train on are too few" in capfd.readouterr().err
