"""Fine-tuning that was stopped: by hand, by a full disk; what goes on, and what may not."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import REPORT, last_checkpoint
from selfinstruct.train.data.rows import Split
from selfinstruct.train.watching import TrainProgress
from tests.train.sft_runs import ROWS, train


def test_resume_refuses_another_training(model: LocalModel, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options={"num_train_epochs": 3})
    for changed, named in (
        ({"split": Split(ROWS[:18], ROWS[20:], [])}, "training rows"),
        ({"seed": 5}, "seed"),
        ({"options": {"num_train_epochs": 4}}, "options"),
    ):
        given: dict[str, Any] = {"options": {"num_train_epochs": 3}, **changed}
        with pytest.raises(ConfigError, match=f"begun with other values of .*{named}"):
            train(model, out, resume=True, **given)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no training was begun in it"):
        train(model, mine, resume=True)
    assert (mine / "config.json").read_text() == "{}"


def test_tokens_and_seconds_are_those_of_all_processes(model: LocalModel, tmp_path: Path) -> None:
    options = {"num_train_epochs": 3}
    whole = train(model, tmp_path / "whole", options=options)

    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, tmp_path / "out", listen=stop, options=options)
    assert train(model, tmp_path / "out", resume=True, options=options).tokens == whole.tokens


def test_killed_and_resumed_gives_the_same_losses(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of an epoch of many packs; adapters and batches go on alike."""
    monkeypatch.setattr("selfinstruct.train.recipes.sft._PACK", 60)
    options = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 2}
    options |= {"eval_strategy": "steps", "eval_steps": 2}
    whole = train(model, tmp_path / "whole", options=options, patience=0)
    assert whole.steps > 20

    def stop(event: TrainProgress) -> None:
        if event.step >= 11:
            raise KeyboardInterrupt

    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options=options, patience=0)
    found = last_checkpoint(out / "checkpoints")
    assert found is not None
    assert found.name == "checkpoint-10"
    with pytest.raises(ConfigError, match="--resume continues"):
        train(model, out, options=options, patience=0)
    resumed = train(model, out, resume=True, options=options, patience=0)
    assert resumed.steps == whole.steps
    assert dict(resumed.losses) == pytest.approx(dict(whole.losses), abs=1e-4)
    assert dict(resumed.validation_losses) == pytest.approx(dict(whole.validation_losses), abs=1e-4)


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    for step, whole in ((2, True), (10, True), (30, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({"weight": torch.ones(3)}, folder / "model.safetensors")
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-10"


def test_a_full_disk_leaves_the_last_whole_checkpoint(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def full_disk(self: Any, *args: Any) -> None:
        if self.state.epoch > 1.5:
            raise OSError(28, "No space left on device")
        save(self, *args)

    monkeypatch.setattr(Trainer, "_save_checkpoint", full_disk)
    with pytest.raises(TrainError, match="No space left on device"):
        train(model, tmp_path / "out", options={"num_train_epochs": 3})
    assert last_checkpoint(tmp_path / "out" / "checkpoints") is not None


def test_a_disk_that_is_really_full(
    model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the disk; libraries fail in their own ways."""
    data = tmp_path / "rows.jsonl"
    lines = ({"prompt": row.users[0], "completion": row.answer} for row in ROWS)
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["train", "sft", "--data", str(data)]
    arguments += ["--model", str(model.path), "--out", str(tmp_path / "out"), "--full"]
    arguments += ["--epochs", "1", "--set", "bf16=false", "--max-length", "128"]
    assert cli([*arguments, "--dry-run"]) == 0  # kernels are compiled, and kept, before the limit
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        code = cli(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    told = capfd.readouterr().err
    assert code == 3, told
    assert "cannot be written" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out" / REPORT).exists()
