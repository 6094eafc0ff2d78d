"""The user's fields and options: every mistake is one message, before a model, and no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.train.arguments import check_settings
from selfinstruct.train.fields import checked_fields
from selfinstruct.train.recipes import RECIPES
from selfinstruct.train.recipes.sft import SFT, SftSettings
from tests.train.tiny import tiny_model


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "rows.jsonl"
    file.parent.mkdir()
    lines = [{"prompt": f"Name colour {n}.", "completion": "red"} for n in range(12)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


MISTAKES = [
    (["--set", "lerning_rate=1e-3"], "did you mean 'learning_rate'?"),
    (["--set", "learning_rate=abc"], '--set learning_rate="abc": input should be a valid number'),
    (["--set", "learning_rate=-1"], "--set learning_rate=-1: is too small; give 0 or more"),
    (["--set", "num_train_epochs=[1]"], "--set num_train_epochs=[1]: input should be"),
    (["--set", "packing=often"], '--set packing="often": input should be a valid boolean'),
    (["--set", "per_device_train_batch_size=0"], "is too small; give 1 or more"),
    (["--set", "lr_scheduler_type=cosin"], "TRL refuses its options"),
    (["--set", "optim=adamw_torchh"], "TRL refuses its options"),
    (["--set", "optim=paged_adamw_8bit"], "needs the package bitsandbytes"),
    (["--set", "report_to=wandb"], "needs the package wandb, which is not installed; install it"),
    (["--set", "report_to=tensorbord"], "did you mean 'tensorboard'?"),
    (["--set", "use_liger_kernel=true"], "needs the package liger-kernel"),
    (["--set", "deepspeed=ds.json"], "needs the package deepspeed"),
    (["--set", "fsdp=full_shard"], "FSDP: spreads the weights over processes"),
    (["--set", "packing_strategy=wrapped"], "a row sees its neighbours in the pack"),
    (["--set", "eval_strategy=no", "--set", "load_best_model_at_end=true"], "TRL refuses"),
    (["--attention", "flash_attention_2"], "--attention flash_attention_2: needs a GPU"),
    (["--attention", "flash_atention_2"], "did you mean 'flash_attention_2'?"),
    (["--attention", "kernels-community/flash-attn2"], "needs a GPU"),
    (
        ["--set", "model_init_kwargs={trust_remote_code: true}"],
        "trust_remote_code is always false here",
    ),
    (["--set", "model_init_kwargs={attn_implementation: flash_attention_3}"], "needs a GPU"),
    (["--lora-targets", "q_prj"], "did you mean 'q_proj'? it has down_proj, gate_proj, k_proj"),
    (["--lora-targets", ","], "--lora-targets: names no layer"),
    (["--full", "--dora"], "--full: trains all weights, without an adapter; leave --lora-alpha"),
    (["--load-in-4bit"], "--load-in-4bit: needs a GPU"),
]


@pytest.mark.parametrize(("more", "message"), MISTAKES)
def test_a_mistake_is_one_message_and_no_file(
    more: list[str],
    message: str,
    rows: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch
    from transformers import PreTrainedModel

    if torch.cuda.is_available() and "needs a GPU" in message:
        pytest.skip("there is a GPU")

    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    model = tiny_model(tmp_path / "tiny")
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", loaded)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["train", "sft", "--data", str(rows), "--model", str(model.path)]
    assert cli([*arguments, "--out", str(tmp_path / "out"), *more]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert message in said
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == before


def test_strategies_of_sharded_weights_are_seen_in_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfinstruct.train.sharding import check_whole

    check_whole({})
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    with pytest.raises(ConfigError, match="ZeRO stage 3: spreads the weights"):
        check_whole({"deepspeed": str(file)})
    check_whole({"deepspeed": {"zero_optimization": {"stage": 2}}})
    with pytest.raises(ConfigError, match="cannot be read as DeepSpeed's configuration"):
        check_whole({"deepspeed": str(tmp_path / "none.json")})
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    check_whole({})
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(file))
    with pytest.raises(ConfigError, match="ZeRO stage 3"):
        check_whole({})
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="FSDP: spreads"):
        check_whole({})


def fields_of(**options: Any) -> dict[str, Any]:
    return check_settings(SFT, SftSettings(options=options))


def test_values_get_the_type_of_their_field() -> None:
    found = fields_of(
        learning_rate="1e-3", eval_strategy=False, run_name=2024, warmup_steps=10, bf16=False
    )
    assert found == {
        "learning_rate": 1e-3,
        "eval_strategy": "no",
        "run_name": "2024",
        "warmup_steps": 10,
        "bf16": False,
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_field_of_trl_takes_its_own_default(recipe: Any) -> None:
    from dataclasses import MISSING, fields

    config_class, _ = recipe.classes()
    defaults = {
        field.name: field.default
        for field in fields(config_class)
        if field.init and field.default is not MISSING and field.name not in recipe.reserved
    }
    assert len(defaults) > 80
    assert checked_fields(config_class, defaults, recipe.reserved) == defaults


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("epoch", "epoch", True)),
        ({"eval_strategy": "no"}, ("no", "epoch", False)),
        ({"save_strategy": "no"}, ("epoch", "no", False)),
        ({"eval_strategy": "steps", "eval_steps": 5}, ("steps", "steps", True)),
        ({"save_strategy": "steps", "save_steps": 5}, ("steps", "steps", True)),
    ],
)
def test_saving_and_validating_go_together(
    options: dict[str, Any], expected: tuple[str, str, bool]
) -> None:
    from selfinstruct.train.arguments import _strategies

    found = _strategies(options, validated=True)
    assert (
        found["eval_strategy"],
        found["save_strategy"],
        found["load_best_model_at_end"],
    ) == expected
    if "steps" in expected:
        assert 5 in (found.get("save_steps"), found.get("eval_steps"))
