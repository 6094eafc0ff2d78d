"""Options of a training do what they say: adapters, attention, validation, trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.records import LocalModel
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.checkpoints import CHECKPOINTS, REPORT
from selfinstruct.train.trackers import LOGS
from selfinstruct.train.watching import TrainProgress
from tests.train.sft_runs import train


def test_the_adapter_has_the_shape_that_was_asked_for(model: LocalModel, tmp_path: Path) -> None:
    shape = Adapter(alpha=4, dropout=0.1, targets=("q_proj", "v_proj"), dora=True)
    train(
        model,
        tmp_path / "out",
        merge=False,
        lora_r=8,
        adapter=shape,
        options={"num_train_epochs": 1},
    )
    saved = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"], saved["lora_dropout"]) == (8, 4, 0.1)
    assert sorted(saved["target_modules"]) == ["q_proj", "v_proj"]
    assert saved["use_dora"] is True
    from safetensors.torch import load_file

    names = load_file(tmp_path / "out" / "adapter_model.safetensors").keys()
    assert any("lora_magnitude_vector" in name for name in names)
    assert not any("k_proj" in name for name in names)


@pytest.mark.parametrize("how", ["option", "field"])
def test_attention_is_obeyed(model: LocalModel, tmp_path: Path, how: str) -> None:
    """Another attention gives the same losses: rows of a pack stay apart with it, too."""
    once = {"num_train_epochs": 1}
    whole: dict[str, Any] = {
        "method": "full",
        "options": once,
    }  # in float32, where the two can be compared
    usual = train(model, tmp_path / "usual", **whole)
    if how == "option":
        other = train(model, tmp_path / "out", attention="eager", **whole)
    else:
        field = {"model_init_kwargs": {"attn_implementation": "eager"}}
        other = train(model, tmp_path / "out", method="full", options={**once, **field})
    losses = dict(other.losses)
    assert losses == pytest.approx(dict(usual.losses), abs=1e-4)


def test_a_training_without_validation(model: LocalModel, tmp_path: Path) -> None:
    result = train(model, tmp_path / "out", options={"eval_strategy": False, "num_train_epochs": 1})
    assert result.validation_losses == []
    assert (tmp_path / "out" / REPORT).is_file()


def test_tensorboard_has_every_loss_and_survives(model: LocalModel, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, options = tmp_path / "out", {"report_to": "tensorboard", "num_train_epochs": 3}

    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options=options, patience=0)
    assert any((out / LOGS).iterdir())
    result = train(model, out, resume=True, options=options, patience=0)
    assert not (out / CHECKPOINTS).exists()
    logged: dict[int, float] = {}
    for file in sorted((out / LOGS).iterdir()):
        events = EventAccumulator(str(file))
        events.Reload()
        if "train/loss" in events.Tags()["scalars"]:
            logged |= {event.step: event.value for event in events.Scalars("train/loss")}
    assert logged == pytest.approx(dict(result.losses), abs=1e-4)
