"""Policy gradients: answers that are rewarded become likelier, by TRL's RLOO and GRPO, watched.

Maximised is E[R(y; x) − beta·log(π(y|x) ÷ π_ref(y|x))] over the policy's own answers y, by the
gradient E[A·∇log π(y|x)] (Williams 1992), where A is by how much an answer's reward is above that
of the other answers to its prompt: docs/rl.md has the formulas of both algorithms.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.prompts import (
    EncodedPrompt,
    PromptSplit,
    compared,
    encoded_prompts,
)
from selfinstruct.train.health.rl_page import rl_page
from selfinstruct.train.health.rl_verdict import RlHealth, RlPoint, rl_health_of
from selfinstruct.train.model_card import preferences_name
from selfinstruct.train.recipe import Card, Examples, Job, Recipe, Source, Training
from selfinstruct.train.recipes.dpo import HEALTH, PAGE, lent, loaded_reference
from selfinstruct.train.recipes.rl_settings import (
    RlSettings,
    check_batch,
    rl_arguments,
    settled,
)
from selfinstruct.train.rewards.base import Lend, Reward
from selfinstruct.train.saving import plain

_HISTORY = "history.json"


@dataclass(frozen=True)
class RlData:
    """Prompts to answer, what rewards an answer, and what scores it independently."""

    prompts: PromptSplit
    rewards: Sequence[Reward]
    gold: Reward | None = None


@dataclass(frozen=True)
class RlResult:
    """The result, stored as training.json in the model's folder; its health is in health.json.

    `trained_rewards` is (step, mean reward) of the answers that were trained on.
    """

    algo: str
    rewards: list[str]
    gold: str | None
    beta: float
    train_prompts: int
    held_out_prompts: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    trained_rewards: list[tuple[int, float]]
    history: list[RlPoint]
    health: RlHealth
    sources: Sequence[MixedPart] = ()


def _encode(data: RlData, tokenizer: Any, settings: RlSettings) -> Examples:
    """Return prompts as tokens.

    Raises:
        ConfigError: a reward cannot score them, none is short enough, or a scorer is missing.
    """
    if settings.stop_on_hacking and data.gold is None:
        raise ConfigError("--stop-on-hacking: needs an independent scorer; give --gold")
    split = data.prompts
    for option, rewards in (("--reward", data.rewards), ("--gold", (data.gold,))):
        for reward in filter(None, rewards):
            reward.check([*split.train, *split.held_out], option)
    train, held, dropped = encoded_prompts(
        split,
        tokenizer,
        max_length=settings.max_length,
        room=settings.answer_tokens,
        eos_token=settings.eos_token,
    )
    rows: dict[str, list[Any]] = {
        "prompts to train on": compared(train),
        "held-out prompts": compared(held),
        "rewards": [[reward.text, reward.known_by] for reward in data.rewards],
        "gold": [[data.gold.text, data.gold.known_by]] if data.gold else [],
    }
    return Examples(train, held, dict(sorted(dropped.items())), rows)


def _dataset(rows: Sequence[EncodedPrompt]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {"prompt": row.prompt.text, "prompt_ids": row.ids, "place": place}
            for place, row in enumerate(rows)
        ]
    )


def _classes(algo: str) -> tuple[Any, Any]:
    with warnings.catch_warnings():  # of a vLLM that TRL does not know, which is not used here
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
        from trl import GRPOConfig, RLOOConfig

        from selfinstruct.train.recipes.rl_trainer import GrpoTrainer, RlooTrainer

    return {"rloo": (RLOOConfig, RlooTrainer), "grpo": (GRPOConfig, GrpoTrainer)}[algo]


def _trainer_arguments(job: Job[RlData, RlSettings], _: Any) -> dict[str, Any]:
    from selfinstruct.train.recipes.rl_trainer import RewardFunction

    return {"reward_funcs": [RewardFunction(reward.text) for reward in job.data.rewards]}


def _prepare(training: Training[RlData, RlSettings]) -> None:
    """Load what scores the answers, and watch the policy from now on."""
    import torch

    from selfinstruct.train.health.rl_watch import RlWatch, Scorers, Watched

    job, trainer, examples = training.job, training.trainer, training.examples
    settings, data = job.settings, job.data
    reference = _reference(training)
    scorers = Scorers(
        {reward.text: (reward.weight, reward.open(reference)) for reward in data.rewards},
        data.gold.open(reference) if data.gold else None,
    )
    trainer.reward_weights = torch.tensor([reward.weight for reward in data.rewards])
    for function, (_, score) in zip(trainer.reward_funcs, scorers.rewards.values(), strict=True):
        function.score, function.rows = score, examples.train
    rows = (examples.held_out or examples.train)[: settings.fresh]
    watched = Watched(
        rows, settings.answer_tokens, settings.seed, settings.beta, settings.stop_on_hacking
    )
    trainer.watch = RlWatch(trainer, reference, watched, scorers, job.out / CHECKPOINTS / _HISTORY)
    trainer.add_callback(trainer.watch)


def _reference(training: Training[RlData, RlSettings]) -> Lend:
    """Return what lends the policy as it was before the first step."""
    from selfinstruct.train.health.fresh import without_adapter

    job, trainer = training.job, training.trainer
    if job.settings.method != "full":
        return partial(without_adapter, trainer.model)
    if trainer.ref_model is not None:
        return partial(lent, trainer.ref_model)
    return partial(lent, loaded_reference(job.model, trainer.model))


def _result(training: Training[RlData, RlSettings]) -> RlResult:
    examples, trainer, data = training.examples, training.trainer, training.job.data
    watch, rows = trainer.watch, trainer.state.log_history
    return RlResult(
        algo=training.job.settings.algo,
        rewards=[reward.text for reward in data.rewards],
        gold=data.gold.text if data.gold else None,
        beta=training.job.settings.beta,
        train_prompts=len(examples.train),
        held_out_prompts=len(examples.held_out),
        dropped=examples.dropped,
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        trained_rewards=[(row["step"], row["reward"]) for row in rows if "reward" in row],
        history=watch.history,
        health=rl_health_of(watch.history, len(examples.held_out), watch.saved_step()),
        sources=data.prompts.sources,
    )


def _report(result: RlResult) -> dict[str, Any]:
    return {**reported(result), "objective": "rl"}


def _files(result: RlResult) -> dict[str, str]:
    health = plain(asdict(result.health))
    return {HEALTH: json.dumps(health, indent=2) + "\n", PAGE: rl_page(result)}


def _card(source: Source, settings: RlSettings, result: RlResult) -> Card:
    health = result.health
    gain = health.gain
    return Card(
        title=f"Trained on rewards, by {settings.algo.upper()}",
        tag=settings.algo,
        task="text-generation",
        trained_on=preferences_name(source),
        data={
            "mixture": shown(result.sources),
            **source.choices,
            "prompts": f"{result.train_prompts:,}, held out {result.held_out_prompts:,}",
            "dropped": ", ".join(f"{count:,} {why}" for why, count in result.dropped.items()),
            "reward": " + ".join(f"`{text}`" for text in result.rewards),
            "gold score": f"`{result.gold}`" if result.gold else "",
        },
        outcome={
            "beta": settings.beta,
            "answers to a prompt": settings.k,
            "reward of fresh answers": f"{health.reward_before:.3g} before, {health.reward:.3g} "
            f"after ({gain.mean:+.3g}, {gain.low:+.3g} to {gain.high:+.3g})",
            "divergence from the reference": f"{health.divergence:.2f} nats an answer",
            "health": "; ".join(warned.found for warned in health.warnings)
            or "nothing is wrong that the report would show",
        },
    )


def _watched(settings: RlSettings, examples: Examples) -> int:
    """Return the positions of fresh answers, and their prompts, that are scored at once."""
    from selfinstruct.train.health.fresh import SCORED

    rows: Sequence[EncodedPrompt] = examples.held_out or examples.train
    longest = max(len(row.ids) for row in rows)
    return min(SCORED, len(rows)) * (longest + settings.answer_tokens)


RL: Recipe[RlData, RlSettings, RlResult] = Recipe(
    name="rl",
    unit="(beta·KL less the reward)",
    encode=_encode,
    dataset=_dataset,
    sequences=EncodedPrompt.sequences,
    arguments=rl_arguments,
    settled=settled,
    reserved=frozenset(
        {
            *("output_dir", "seed", "beta", "num_generations", "num_generations_eval"),
            *("max_completion_length", "max_steps", "num_train_epochs", "reward_weights"),
            *("per_device_eval_batch_size", "remove_unused_columns", "trust_remote_code"),
        }
    ),
    classes=partial(_classes, "rloo"),
    check=check_batch,
    trainer_arguments=_trainer_arguments,
    prepare=_prepare,
    result=_result,
    report=_report,
    files=_files,
    card=_card,
    reference=True,
    outside_autocast=True,
    watched=_watched,
)
ALGORITHMS: Mapping[str, Recipe[RlData, RlSettings, RlResult]] = {
    "rloo": RL,
    "grpo": replace(RL, classes=partial(_classes, "grpo")),
}
"""The recipe of each algorithm; both are the command `train rl`."""
