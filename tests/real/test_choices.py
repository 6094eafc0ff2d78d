"""Questions with choices on the real engine: the likelihoods are those of transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfinstruct.engines.machine import installed_vllm
from selfinstruct.evaluate.choices import SHIPPED, read_choices
from selfinstruct.models import resolve_model
from tests.real.conftest import Cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]
SYSTEM = "You are a helpful, honest and harmless assistant."


def log_likelihoods(texts: Sequence[tuple[str, str]]) -> list[float]:
    """Sums in nats over the tokens after each beginning, by transformers in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve_model("bundled", lambda *_: None).path
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    sums = []
    for beginning, rest in texts:
        own = tokenizer(beginning, add_special_tokens=False).input_ids
        whole = tokenizer(beginning + rest, add_special_tokens=False).input_ids
        assert whole[: len(own)] == own
        with torch.no_grad():
            logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        sums.append(sum(float(logits[n - 1, whole[n]]) for n in range(len(own), len(whole))))
    return sums


def test_the_shipped_questions(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", "--model", "plain=bundled", "--model", "told=bundled"]
    arguments += ["--system", f"told={SYSTEM}", "--choices", "shipped", "--dtype", "float32"]
    cli(*arguments, "--out", str(out))
    report = json.loads((out / "report.json").read_text())
    assert report["models"]["plain"]["choice_accuracy"] >= 0.5  # by chance a quarter
    kept = json.loads((out / "answers" / "told.json").read_text())["choices"]
    items = read_choices(SHIPPED)
    scene, asked = items[0], items[25]
    texts = [(f"{SYSTEM}\n\n{scene.turns[0]['content']}", f" {text}") for text in scene.options]
    chat = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
        f"{asked.turns[0]['content']}<|im_end|>\n<|im_start|>assistant\n"
    )
    texts += [(chat, text) for text in asked.options]
    found = [*kept[0]["logprobs"], *kept[25]["logprobs"]]
    assert found == pytest.approx(log_likelihoods(texts), abs=1e-3)
