"""A reward model: a thin call of TRL's RewardTrainer on pairs or ranked answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.memory import keep_freed_memory
from selfinstruct.common.records import LocalModel
from selfinstruct.labellers.reward import token_scores
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
from selfinstruct.train.encode_pairs import EncodedPair, encode_pairs, encoded_split
from selfinstruct.train.libraries import quiet, require_trl
from selfinstruct.train.network import load_network, load_tokenizer, merged_reward
from selfinstruct.train.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.progress import Listen, is_main_process
from selfinstruct.train.reward_report import (
    Check,
    CheckReport,
    RewardReport,
    ScoredPair,
    check_report,
    reward_report,
)
from selfinstruct.train.saving import plain, save_model

_RESERVED = {"output_dir", "seed", "max_length"}


@dataclass(frozen=True)
class RewardSettings:
    """How to train. `options` are fields of TRL's RewardConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    max_length: int = 1024
    patience: int = 1
    seed: int = 0
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RewardResult:
    """What came of it; stored as training.json in the model's folder."""

    train_pairs: int
    held_out_pairs: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    held_out: RewardReport
    checks: CheckReport | None


def train_reward(
    split: PreferenceSplit,
    model: LocalModel,
    out: Path,
    settings: RewardSettings,
    listen: Listen,
    *,
    checks: Sequence[Check] = (),
    resume: bool = False,
    card: Callable[[RewardResult], str] | None = None,
) -> RewardResult:
    """Train a model to score answers, by Bradley and Terry's model of pairs.

    The loss of a pair is −log sigmoid(r(chosen) − r(rejected)) (Ouyang et al. 2022,
    arXiv:2203.02155, eq. 1). Weights and adapters are held as in `sft.train_sft`; the new head
    is trained whole.

    Args:
        split: pairs to train on, and those held out.
        model: where to start from.
        out: the folder; checkpoints lie in it until training has ended.
        settings: how.
        listen: told of every logged step.
        checks: pairs with a clear winner, to try the model on.
        resume: go on from the last whole checkpoint in `out`.
        card: writes README.md from the result.

    Raises:
        ConfigError: pairs, model or settings cannot be used; nothing was written.
        TrainError: the loss is not a number any more, or a checkpoint cannot be written.
    """
    require_trl()
    from transformers import EarlyStoppingCallback, set_seed
    from trl import RewardConfig

    from selfinstruct.train.reporter import Reporter
    from selfinstruct.train.reward_trainer import Collator, Trainer

    quiet()
    keep_freed_memory()
    checkpoint = check_out(out, resume)
    tokenizer = load_tokenizer(model)
    prepare_tokenizer(tokenizer)
    train, held, dropped = encoded_split(split, tokenizer, settings.max_length)
    with refused("TRL refuses its options"):
        config = RewardConfig(**_arguments(out, settings, len(train), bool(held)))
    rows = {"training pairs": train, "held-out pairs": held}
    asked = asked_for(
        model, asdict(settings), {name: [*map(asdict, part)] for name, part in rows.items()}
    )
    check_asked(out, asked, resume)
    set_seed(settings.seed)  # the head is new, and random
    with refused(f"{model.path}: cannot be loaded to be trained"):
        network, adapter = load_network(model, settings.method, settings.lora_r, reward=True)
    reporter = Reporter(listen, out / CHECKPOINTS, checkpoint)
    callbacks = []
    if config.load_best_model_at_end and settings.patience > 0:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    with refused("TRL refuses its options", made=None if checkpoint else out / CHECKPOINTS):
        trainer = Trainer(
            model=network,
            args=config,
            data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
            train_dataset=_dataset(train),
            eval_dataset=_dataset(held) if held else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks,
            reporter=reporter,
        )
    begin(out, asked)
    with written(out):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    network = merged_reward(trainer.model, tokenizer, model, settings.method)
    history = trainer.state.log_history
    result = RewardResult(
        train_pairs=len(train),
        held_out_pairs=len(held),
        dropped=dropped,
        steps=trainer.state.global_step,
        tokens=reporter.tokens,
        seconds=round(reporter.seconds, 1),
        losses=[(row["step"], row["loss"]) for row in history if "loss" in row],
        validation_losses=[
            (row["step"], row["eval_loss"]) for row in history if "eval_loss" in row
        ],
        held_out=_held_out_report(network, split.held_out, held),
        checks=_check_report(network, tokenizer, checks, settings.max_length) if checks else None,
    )
    if is_main_process():
        told = plain({**asdict(result), "objective": "reward"})
        save_model(network, tokenizer, out, told, card=card(result) if card else None)
    return result


def _arguments(out: Path, settings: RewardSettings, pairs: int, validated: bool) -> dict[str, Any]:
    """Return RewardConfig's fields: ours, and over them what the user gives by TRL's names."""
    return trl_arguments(
        out,
        settings.seed,
        pairs,
        validated=validated,
        own={
            "max_length": None,  # what is longer was left out
            "num_train_epochs": 2,
            "warmup_steps": 0.1,
            "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 8,
            "learning_rate": 1e-5 if settings.method == "full" else 1e-4,
            # Rewards stay near zero, so that those of two models can be compared.
            "center_rewards_coefficient": 0.01,
        },
        given=settings.options,
        reserved=_RESERVED,
    )


def _dataset(pairs: Sequence[EncodedPair]) -> Any:
    """Return pairs as the trainer reads them, weights scaled to a mean of one."""
    from datasets import Dataset

    mean = sum(one.weight for one in pairs) / len(pairs)
    return Dataset.from_list(
        [
            {
                "chosen_ids": one.prompt_ids + one.chosen_ids,
                "rejected_ids": one.prompt_ids + one.rejected_ids,
                "weight": one.weight / mean,
            }
            for one in pairs
        ]
    )


def _scores(network: Any, pairs: Sequence[EncodedPair]) -> tuple[list[float], list[float]]:
    network.eval()
    found = token_scores(
        network,
        [one.prompt_ids + ids for one in pairs for ids in (one.chosen_ids, one.rejected_ids)],
    )
    return found[::2], found[1::2]


def _held_out_report(
    network: Any, rows: Sequence[PreferenceRow], pairs: Sequence[EncodedPair]
) -> RewardReport:
    by_id = {row.id: row for row in rows}
    chosen, rejected = _scores(network, pairs)
    return reward_report(
        [
            ScoredPair(
                good,
                bad,
                len(by_id[pair.id].chosen.split()),
                len(by_id[pair.id].rejected.split()),
            )
            for pair, good, bad in zip(pairs, chosen, rejected, strict=True)
        ]
    )


def _check_report(
    network: Any, tokenizer: Any, checks: Sequence[Check], max_length: int
) -> CheckReport:
    rows = [check.row for check in checks]
    pairs = encode_pairs(rows, tokenizer, max_length=max_length, dropped=Counter())
    fitting = {pair.id for pair in pairs}
    kept = [check for check in checks if check.row.id in fitting]
    return check_report(kept, *_scores(network, pairs), left_out=len(checks) - len(kept))
