"""Trainings that were stopped half-way: how they began, and go on.

They are found again from the folder that they were begun in (`half/NAME`, from where the
process stands): checkpoints name each other by path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfinstruct.common.records import Message
from selfinstruct.models import resolve_model
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import task_row
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.dpo import DPO, DpoSettings
from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardSettings
from selfinstruct.train.recipes.sft import SFT, SftSettings
from selfinstruct.train.runner import train
from selfinstruct.train.watching import TrainProgress

TINY = Path("tiny")
COLOURS = ("red", "blue", "green", "white", "black", "brown")
OPTIONS: Mapping[str, Any] = {
    "num_train_epochs": 3,
    "learning_rate": 5e-3,
    "bf16": False,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
}
# Of each training an epoch has this many steps; it is stopped within the second.
STEPS, STOPS_AT = 3, 5

ROWS = [
    task_row(
        f"r{n}", f"Name colour {n}.", f"Name colour {n}.", COLOURS[n % 6], n // 6, f"p{n // 2}"
    )
    for n in range(16)
]
PAIRS = [
    PreferenceRow(
        f"r{n}",
        f"p{n}",
        (Message(role="user", content=f"Name colour {n}."),),
        COLOURS[n % 6],
        f"no dog {n % 3}",
    )
    for n in range(16)
]
SPLIT = Split(ROWS[:12], ROWS[12:], [])
PREFERENCES = PreferenceSplit(PAIRS[:12], PAIRS[12:])


def sft(out: Path, listen: Any, *, resume: bool) -> Any:
    how = SftSettings(lora_r=2, max_length=256, options={**OPTIONS, "packing": False}, patience=0)
    return train(SFT, Job(SPLIT, tiny(), out, how, resume), listen)


def dpo(out: Path, listen: Any, *, resume: bool) -> Any:
    how = DpoSettings(
        lora_r=2, max_length=256, fresh=2, fresh_tokens=4, options=OPTIONS, patience=0
    )
    return train(DPO, Job(PREFERENCES, tiny(), out, how, resume), listen)


def reward(out: Path, listen: Any, *, resume: bool) -> Any:
    how = RewardSettings(lora_r=2, max_length=256, options=OPTIONS, patience=0)
    return train(REWARD, Job(RewardData(PREFERENCES), tiny(), out, how, resume), listen)


TRAININGS: Mapping[str, Callable[..., Any]] = {"sft": sft, "dpo": dpo, "reward": reward}


def tiny() -> Any:
    return resolve_model(str(TINY), lambda *_: None)


def begin(name: str, out: Path) -> None:
    """Train for an epoch and a bit; the checkpoint of the first epoch is kept."""

    def stop(event: TrainProgress) -> None:
        if event.what == "training" and event.step >= STOPS_AT:
            raise KeyboardInterrupt

    try:
        TRAININGS[name](out, stop, resume=False)
    except KeyboardInterrupt:
        return
    raise AssertionError(f"{name}: is done, and was to stop half-way")


def go_on(name: str, out: Path) -> dict[str, Any]:
    """Train to the end; return the steps that were trained now, and the losses of all.

    `waited_for`: what else was done; of DPO, the reference model is none of it.
    """
    steps: set[int] = set()
    waited_for: set[str] = set()

    def listen(event: TrainProgress) -> None:
        if event.what != "training":
            waited_for.add(event.what)
        elif event.loss is not None:
            steps.add(event.step)

    told = asdict(TRAININGS[name](out, listen, resume=True))
    losses = ("losses", "validation_losses")
    found = {key: [list(one) for one in told[key]] for key in losses if key in told}
    if name == "dpo":
        found["history"] = [[point["step"], point["margin"]] for point in told["history"]]
    done = {"trained": sorted(steps), "waited_for": sorted(waited_for)}
    return {**done, "tokens": told["tokens"], **found}


def make_tiny(folder: Path) -> None:
    """Write a Llama of one layer, with random weights and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {"<start>": 0, "<end>": 1}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(character, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)
