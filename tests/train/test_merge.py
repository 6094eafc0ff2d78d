"""Adapters that are merged later: after `--adapter-only`, a full memory, or a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import ADAPTER, CHECKPOINTS, REPORT, last_checkpoint
from selfinstruct.train.watching import TrainProgress
from tests.train.sft_runs import train
from tests.train.tiny import tiny_model


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def assert_same(one: Path, other: Path) -> None:
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name


def test_an_adapter_is_merged_later_as_it_would_have_been(
    model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(model, tmp_path / "whole")
    train(model, tmp_path / "adapter", merge=False)
    arguments = ["train", "merge", "--adapter", str(tmp_path / "adapter")]
    arguments += ["--model", str(model.path)]
    assert cli([*arguments, "--out", str(tmp_path / "merged")]) == 0
    assert "merged into" in capfd.readouterr().out
    assert_same(tmp_path / "merged", tmp_path / "whole")
    merged = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert merged == json.loads((tmp_path / "whole" / "generation_config.json").read_text())
    assert "library_name: transformers" in (tmp_path / "merged" / "README.md").read_text()
    assert cli([*arguments, "--out", str(tmp_path / "merged")]) == 2
    assert "is not empty; give another --out" in capfd.readouterr().err


def test_a_full_memory_keeps_the_adapter(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(PeftModel, "merge_and_unload", full, raising=False)
        with pytest.raises(TrainError, match="selfinstruct train merge --adapter") as raised:
            train(model, out, options={"save_strategy": "no"})
    kept = out / CHECKPOINTS / ADAPTER
    assert f"--adapter {kept}" in str(raised.value)
    arguments = ["train", "merge", "--adapter", str(out), "--model", str(model.path)]
    assert cli([*arguments, "--out", str(tmp_path / "merged")]) == 0
    train(model, tmp_path / "whole", options={"save_strategy": "no"})
    assert_same(tmp_path / "merged", tmp_path / "whole")


def test_what_cannot_be_merged(
    model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(model, tmp_path / "adapter", merge=False, options={"num_train_epochs": 1})
    merge = ["train", "merge", "--out", str(tmp_path / "merged"), "--adapter"]
    assert cli([*merge, str(model.path)]) == 2
    assert "holds no adapter (adapter_config.json)" in capfd.readouterr().err
    other = tiny_model(tmp_path / "other", control=["<more>"])
    _widen(other.path)
    assert cli([*merge, str(tmp_path / "adapter"), "--model", str(other.path)]) == 2
    assert "its matrices have other sizes" in " ".join(capfd.readouterr().err.split())
    config = tmp_path / "adapter" / "adapter_config.json"
    saved = json.loads(config.read_text())
    config.write_text(json.dumps({**saved, "base_model_name_or_path": "/nowhere/at/all"}))
    assert cli([*merge, str(tmp_path / "adapter")]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "its base model '/nowhere/at/all' is not found here; name it with --model" in said
    assert not (tmp_path / "merged").exists()


def _widen(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig.from_pretrained(folder, hidden_size=64)
    LlamaForCausalLM(config).save_pretrained(folder)


def test_an_adapter_names_a_base_that_others_can_find(model: LocalModel, tmp_path: Path) -> None:
    bundled = LocalModel("bundled", model.path, "digest", model.config)
    train(bundled, tmp_path / "bundled", merge=False, options={"num_train_epochs": 1})
    saved = json.loads((tmp_path / "bundled" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    snapshot = tmp_path / "models--some--base" / "snapshots" / "abc123"
    tiny_model(snapshot)
    hub = LocalModel("some/base", snapshot, "digest", model.config)
    train(hub, tmp_path / "hub", merge=False, options={"num_train_epochs": 1})
    saved = json.loads((tmp_path / "hub" / "adapter_config.json").read_text())
    assert (saved["base_model_name_or_path"], saved["revision"]) == ("some/base", "abc123")


@pytest.mark.parametrize(
    "torn", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json"]
)
def test_a_torn_newest_checkpoint_is_passed_over(
    model: LocalModel, tmp_path: Path, torn: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, options = tmp_path / "out", {"num_train_epochs": 4}

    def stop(event: TrainProgress) -> None:
        if event.epoch > 2.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options=options, patience=0)
    newest = last_checkpoint(out / CHECKPOINTS)
    assert newest is not None
    content = (newest / torn).read_bytes()
    (newest / torn).write_bytes(content[: len(content) // 2])
    before = last_checkpoint(out / CHECKPOINTS)
    assert before is not None
    assert before != newest
    assert f"{newest}: is not whole ({torn})" in caplog.text
    result = train(model, out, resume=True, options=options, patience=0)
    assert (out / REPORT).is_file()
    whole = train(model, tmp_path / "whole", options=options, patience=0)
    assert dict(result.losses) == pytest.approx(dict(whole.losses), abs=1e-4)


def test_a_folder_without_an_adapter(tmp_path: Path) -> None:
    from selfinstruct.train.merge import read_adapter

    with pytest.raises(ConfigError, match="holds no adapter"):
        read_adapter(tmp_path)
