"""Direct preference optimisation: a thin call of TRL's DPOTrainer, watched as it goes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.memory import keep_freed_memory
from selfinstruct.common.records import LocalModel
from selfinstruct.train.arguments import trl_arguments
from selfinstruct.train.checkpoints import (
    CHECKPOINTS,
    asked_for,
    begin,
    check_asked,
    check_out,
    refused,
    written,
)
from selfinstruct.train.encode import prepare_tokenizer
from selfinstruct.train.encode_pairs import EncodedPair, encoded_split
from selfinstruct.train.health import Health, Point, health_of
from selfinstruct.train.health_page import health_page
from selfinstruct.train.libraries import quiet, require_trl
from selfinstruct.train.network import load_network, load_tokenizer, merged_network
from selfinstruct.train.preference_rows import PreferenceSplit
from selfinstruct.train.progress import Listen, is_main_process
from selfinstruct.train.saving import plain, save_model

log = logging.getLogger(__name__)

HEALTH = "health.json"
PAGE = "health.html"
# Of TRL's DPOConfig, which looks at them no sooner than at the first batch.
LOSSES = frozenset(
    {
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
        *("aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    }
)
# What is ours to set, and what would make another implicit reward than health measures.
_RESERVED = {
    *("output_dir", "seed", "max_length", "precompute_ref_log_probs", "beta", "loss_type"),
    *("ld_alpha", "f_divergence_type", "f_alpha_divergence_coef"),
}
_HISTORY = "history.json"


@dataclass(frozen=True)
class DpoSettings:
    """How to train. `options` are fields of TRL's DPOConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    beta: float = 0.1
    loss_type: tuple[str, ...] = ("sigmoid",)
    max_length: int = 1024
    patience: int = 1
    # Prompts of held-out pairs that are answered anew at every evaluation, and how long.
    fresh: int = 32
    fresh_tokens: int = 128
    seed: int = 0
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DpoResult:
    """What came of it; stored as training.json in the model's folder, and health.json."""

    train_pairs: int
    held_out_pairs: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    history: list[Point]
    health: Health


def train_dpo(
    split: PreferenceSplit,
    model: LocalModel,
    out: Path,
    settings: DpoSettings,
    listen: Listen,
    *,
    resume: bool = False,
    card: Callable[[DpoResult], str] | None = None,
) -> DpoResult:
    """Train a policy on preferences, and save it with a report of its health.

    The reference model is the policy as it was; its log-probabilities are computed once and
    kept until training has ended. Weights and adapters are held as in `sft.train_sft`.

    Args:
        split: pairs to train on, and those held out.
        model: the policy to start from, and the reference.
        out: the folder; checkpoints lie in it until training has ended.
        settings: how.
        listen: told of every logged step.
        resume: go on from the last whole checkpoint in `out`.
        card: writes README.md from the result.

    Raises:
        ConfigError: pairs, model or settings cannot be used; nothing was written.
        TrainError: the loss is not a number any more, or a checkpoint cannot be written.
    """
    require_trl()
    from transformers import EarlyStoppingCallback, set_seed
    from trl import DPOConfig

    from selfinstruct.train.dpo_trainer import Trainer
    from selfinstruct.train.fresh import without_adapter
    from selfinstruct.train.health_watch import HealthWatch
    from selfinstruct.train.reporter import Reporter

    quiet()
    keep_freed_memory()
    checkpoint = check_out(out, resume)
    tokenizer = load_tokenizer(model)
    prepare_tokenizer(tokenizer)
    train, held, dropped = encoded_split(split, tokenizer, settings.max_length)
    with refused("TRL refuses its options"):
        config = DPOConfig(**_arguments(out, settings, len(train), bool(held)))
    own = {key: value for key, value in asdict(settings).items() if key != "merge"}
    rows = {"training pairs": train, "held-out pairs": held}
    asked = asked_for(model, own, {name: [*map(asdict, part)] for name, part in rows.items()})
    check_asked(out, asked, resume)
    set_seed(settings.seed)
    with refused(f"{model.path}: cannot be loaded to be trained"):
        network, adapter = load_network(model, settings.method, settings.lora_r)
    reporter = Reporter(listen, out / CHECKPOINTS, checkpoint)
    callbacks = []
    if config.load_best_model_at_end and settings.patience > 0:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    with refused("TRL refuses its options", made=None if checkpoint else out / CHECKPOINTS):
        trainer = Trainer(
            model=network,
            args=config,
            train_dataset=_dataset(train),
            eval_dataset=_dataset(held) if held else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks,
            reporter=reporter,
        )
    begin(out, asked)
    with written(out):
        trainer.compute_reference()
        reference = partial(without_adapter, trainer.model)
        if settings.method == "full":
            reference = partial(_given, _loaded_reference(model, trainer.model))
        prompts = _distinct([one.prompt_ids for one in held or train])[: settings.fresh]
        watch = HealthWatch(trainer, reference, prompts, settings, out / CHECKPOINTS / _HISTORY)
        trainer.add_callback(watch)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        history = watch.finished()
    pairs = trainer.held_out_pairs() if held else []
    result = DpoResult(
        train_pairs=len(train),
        held_out_pairs=len(held),
        dropped=dropped,
        steps=trainer.state.global_step,
        tokens=reporter.tokens,
        seconds=round(reporter.seconds, 1),
        losses=[(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row],
        history=history,
        health=health_of(pairs, history, settings.beta),
    )
    if is_main_process():
        network = trainer.model
        if settings.merge:
            network = merged_network(network, tokenizer, model, settings.method)
        _save(network, tokenizer, out, result, card)
    return result


def _save(
    network: Any,
    tokenizer: Any,
    out: Path,
    result: DpoResult,
    card: Callable[[DpoResult], str] | None,
) -> None:
    told = plain({**asdict(result), "objective": "dpo"})
    files = {HEALTH: json.dumps(told["health"], indent=2) + "\n", PAGE: health_page(result)}
    save_model(network, tokenizer, out, told, card=card(result) if card else None, files=files)


def _arguments(out: Path, settings: DpoSettings, pairs: int, validated: bool) -> dict[str, Any]:
    """Return DPOConfig's fields: ours, and over them what the user gives by TRL's names."""
    import torch

    unknown = sorted(set(settings.loss_type) - LOSSES)
    if unknown:
        raise ConfigError(
            f"--loss-type {','.join(unknown)}: is none of TRL's; give {', '.join(sorted(LOSSES))}"
        )
    # On a CPU fewer pairs at once are faster: with less padding, and cores as busy.
    at_once = 4 if torch.cuda.is_available() else 2
    chosen = "per_device_train_batch_size" in (settings.options or {})
    return trl_arguments(
        out,
        settings.seed,
        pairs,
        validated=validated,
        own={
            "max_length": None,  # what is longer was left out
            "num_train_epochs": 2,
            "warmup_steps": 0.1,
            "beta": settings.beta,
            "loss_type": list(settings.loss_type),
            "precompute_ref_log_probs": True,
            "per_device_train_batch_size": at_once,
            "gradient_accumulation_steps": 2 if chosen else 8 // at_once,
            "per_device_eval_batch_size": 4,
            "learning_rate": 5e-6 if settings.method == "full" else 3e-4,
        },
        given=settings.options,
        reserved=_RESERVED,
    )


def _dataset(pairs: Sequence[EncodedPair]) -> Any:
    from datasets import Dataset

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_list([{name: getattr(one, name) for name in names} for one in pairs])


def _distinct(prompts: Sequence[list[int]]) -> list[list[int]]:
    return [list(one) for one in dict.fromkeys(tuple(prompt) for prompt in prompts)]


def _loaded_reference(model: LocalModel, policy: Any) -> Any:
    """Return the model as it was before all of its weights were trained."""
    network, _ = load_network(model, "full", 0)
    return network.to(next(policy.parameters()).device).eval()


@contextmanager
def _given(network: Any) -> Iterator[Any]:
    yield network
