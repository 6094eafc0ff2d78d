"""A model that was trained here stops by itself in the real engine, as in transformers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.records import LocalModel
from selfinstruct.engines.machine import installed_vllm
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import task_row
from tests.train.conventions import CONVENTIONS
from tests.train.sft_runs import train
from tests.train.tiny import tiny_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]

HERE = Path(__file__).resolve().parent
KIND = CONVENTIONS["Gemma 2"]
ASKED = "Name it."
# The same number of bytes as ASKED, with a control token that a person typed.
TYPED = "N<eos>e."


def small_model(folder: Path) -> LocalModel:
    """A model whose heads are wide enough for vLLM."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(
        template=KIND.template, bos=KIND.bos, eos=KIND.eos, control=KIND.control
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = json.loads((folder / "config.json").read_text())
    return LocalModel("small", folder, "digest", loaded)


def answers(warm: Path, folder: Path) -> list[list[Any]]:
    words = [warm, HERE / "drive_ends.py", folder, ASKED, TYPED]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_model_stops_where_its_template_ends_an_answer(warm: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    model = small_model(tmp_path / "base")
    rows = [task_row(f"r{n}", ASKED, ASKED, "red") for n in range(8)]
    out = tmp_path / "out"
    options = {"num_train_epochs": 20, "learning_rate": 1e-2, "packing": False}
    train(model, out, Split(rows, [], []), method="full", options=options)
    chat = pipeline("text-generation", model=str(out))
    [said] = chat([{"role": "user", "content": ASKED}], max_new_tokens=24, do_sample=False)
    assert said["generated_text"][-1] == {"role": "assistant", "content": "red"}
    trained = answers(warm, out)
    assert trained[0][:2] == ["red", "stop"]
    # What a person typed is as long as other text: no control token shortens it.
    assert trained[1][2] == trained[0][2]
    # A base model with a chat template does not know that the template's token ends a turn.
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        told = json.loads((out / name).read_text())
        own = KIND.eos if name.startswith("tokenizer") else 1
        told["eos_token" if name.startswith("tokenizer") else "eos_token_id"] = own
        (out / name).write_text(json.dumps(told))
    assert answers(warm, out)[0][:2] == ["red", "stop"]
