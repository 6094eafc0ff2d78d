"""Distillations that take seconds: prompts, and networks whose next word can be set by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel
from selfinstruct.train.data.prompts import PromptSplit
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.distill import DISTILL, DistillData, DistillResult
from selfinstruct.train.recipes.distill_settings import DistillSettings
from selfinstruct.train.runner import train as run_recipe
from tests.train.rl_runs import SPLIT
from tests.train.tiny import tiny_model

SYSTEM = "Answer with a colour, in one word."
QUICK: dict[str, Any] = {"learning_rate": 2e-2, "bf16": False}
# How far logits can be apart along the line and along its square.
_LINE, _SQUARE = 20.0, 20.0


def train(
    model: LocalModel,
    out: Path,
    teacher: LocalModel | None = None,
    split: PromptSplit = SPLIT,
    **settings: Any,
) -> DistillResult:
    resume, listen = settings.pop("resume", False), settings.pop("listen", lambda event: None)
    system = settings.pop("system", SYSTEM if teacher is None else "")
    options = {**QUICK, **settings.pop("options", {})}
    quick = {"max_length": 256, "answer_tokens": 8, "steps": 16, "fresh": 32}
    how = DistillSettings(**{**quick, **settings}, options=options)
    data = DistillData(split, teacher or model, system)
    return run_recipe(DISTILL, Job(data, model, out, how, resume), listen)


def _constant(folder: Path, state: list[float], head: Callable[[int, int], Any]) -> LocalModel:
    """Write a model whose next word does not depend on what was written.

    Its layers add nothing, and all words have one embedding, so that the head always sees `state`
    (scaled to the length √32 by the last norm). `head` makes the weights (words, 32).
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = tiny_model(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vector = torch.zeros(network.config.hidden_size)
    vector[: len(state)] = torch.tensor(state)
    with torch.no_grad():
        network.model.embed_tokens.weight.copy_(vector.expand_as(network.model.embed_tokens.weight))
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        network.lm_head.weight.copy_(head(*network.lm_head.weight.shape))
    network.save_pretrained(folder)
    return model


def places(words: int) -> Any:
    """Return the place of each word on a line from −1 to 1, by its number."""
    import torch

    return torch.linspace(-1.0, 1.0, words)


def two_modes(folder: Path) -> LocalModel:
    """Write a teacher whose next word lies near −0.5 (60 %) or near 0.5 (40 %) of the line."""

    def head(words: int, size: int) -> Any:
        import torch

        line = places(words)
        bells = [torch.exp(-(((line - middle) / 0.1) ** 2) / 2) for middle in (-0.5, 0.5)]
        likely = 0.6 * bells[0] / bells[0].sum() + 0.4 * bells[1] / bells[1].sum()
        weights = torch.zeros(words, size)
        weights[:, 0] = (likely + 1e-5).log() / math.sqrt(size)
        return weights

    return _constant(folder, [1.0], head)


def one_mode(folder: Path, lean: float = -0.0075) -> LocalModel:
    """Write a student whose next word has one mode on the line, wherever it is trained to.

    Its logits are a·place − b·place², so that it is a bell (b > 0) over the places: it begins
    wide, and leans from the middle to the left (a < 0) or right. Adapters train a and b alone,
    since the head stays.
    """

    def head(words: int, size: int) -> Any:
        import torch

        line = places(words)
        weights = torch.zeros(words, size)
        weights[:, 0] = _LINE * line
        weights[:, 1] = -_SQUARE * line**2
        return weights

    # The rest of the state lies where the head does not look.
    return _constant(folder, [lean, 0.06, 1.0, 1.0], head)


def always(folder: Path, letter: str) -> LocalModel:
    """Write a model that always writes one letter."""
    from tests.train.tiny import tiny_tokenizer

    def head(words: int, size: int) -> Any:
        import torch

        weights = torch.zeros(words, size)
        weights[tiny_tokenizer().convert_tokens_to_ids(letter), 0] = 30.0 / math.sqrt(size)
        return weights

    return _constant(folder, [1.0], head)


def next_word(folder: Path) -> Any:
    """Return a trained model's probabilities of the first word of an answer."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        ids = torch.tensor([[0, 5, 6, 7]])
        return network(input_ids=ids).logits[0, -1].softmax(-1)
