"""Fine-tuning of a tiny model: what is learnt and saved, adapters, bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import REPORT
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.watching import TrainProgress
from tests.train.sft_runs import tokenizer_of, train
from tests.train.tiny import tiny_model


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_learns_and_what_it_saves_loads(model: LocalModel, tmp_path: Path, method: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    events: list[TrainProgress] = []
    result = train(
        model,
        tmp_path / "out",
        listen=events.append,
        method=method,
        diverse=False,
        patience=0,
        options={"num_train_epochs": 15, "learning_rate": 0.02 if method == "lora" else 5e-3},
    )
    assert result.losses[-1][1] < 0.7 * result.losses[0][1]
    assert result.tokens > 0
    assert any(event.validation_loss is not None for event in events)
    assert events[-1].step == events[-1].steps == result.steps
    out = tmp_path / "out"
    assert not (out / "checkpoints").exists()
    assert json.loads((out / REPORT).read_text())["steps"] == result.steps
    trained = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert trained.generation_config.eos_token_id == tokenizer.eos_token_id == 1
    assert "lora" not in str(type(trained)).lower()
    before = AutoModelForCausalLM.from_pretrained(model.path)
    assert any(
        not bool((one == other).all())
        for one, other in zip(trained.parameters(), before.parameters(), strict=True)
    )
    assert tokenizer.chat_template
    assert sorted(path.suffix for path in out.iterdir() if path.suffix == ".safetensors")


def test_adapters_of_four_bits_are_merged_into_the_models_own_weights(
    model: LocalModel, tmp_path: Path
) -> None:
    """What QLoRA does at its end; the training itself needs a GPU."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from selfinstruct.train.network import merged_network

    def adapted() -> Any:
        torch.manual_seed(1)
        base = AutoModelForCausalLM.from_pretrained(model.path)
        adapter = LoraConfig(
            r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        return get_peft_model(base, adapter)

    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    spoiled = adapted()
    for name, weight in spoiled.named_parameters():
        if "lora" not in name:
            weight.data.zero_()  # stands for weights of 4 bits, which are not to be used
    found = merged_network(spoiled, tokenizer, model, "qlora")
    wanted = merged_network(adapted(), tokenizer, model, "lora")
    for one, other in zip(found.parameters(), wanted.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_early_stopping(model: LocalModel, tmp_path: Path) -> None:
    result = train(
        model,
        tmp_path / "out",
        patience=1,
        options={"num_train_epochs": 50, "learning_rate": 0.05},
    )
    losses = [loss for _, loss in result.validation_losses]
    assert len(losses) < 50
    assert losses[-1] > min(losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warp": 9}, "--set warp: TRL's SFTConfig has no such field"),
        ({"output_dir": "x"}, "output_dir: set by selfinstruct itself"),
        ({"packing_strategy": "x"}, "TRL refuses its options"),
        ({"load_best_model_at_end": True, "eval_strategy": "no"}, "TRL refuses its options"),
    ],
)
def test_options_that_cannot_be(
    model: LocalModel, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(model, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_four_bits_need_a_gpu(model: LocalModel, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="needs a GPU"):
        train(model, tmp_path / "out", method="qlora")


def test_a_template_that_ends_answers_otherwise_is_refused(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<turn>{{ m['content'] }}<turn>{% endfor %}"
        "{% if add_generation_prompt %}<turn>{% endif %}"
    )
    model = tiny_model(tmp_path / "tiny", template=template)
    with pytest.raises(ConfigError, match="would not stop"):
        train(model, tmp_path / "out")
    fitting = tiny_model(tmp_path / "other", template=template, eos="<turn>")
    result = train(fitting, tmp_path / "out", options={"num_train_epochs": 1})
    assert math.isfinite(result.losses[-1][1])


def test_a_folder_that_holds_something_is_refused(model: LocalModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        train(model, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_an_adapter_alone(model: LocalModel, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    train(model, tmp_path / "out", merge=False)
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    base = AutoModelForCausalLM.from_pretrained(model.path)
    assert PeftModel.from_pretrained(base, tmp_path / "out") is not None
