"""`selfinstruct train rl`: a policy learns from rewards of its own answers, and is watched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import mixed_pairs
from selfinstruct.cli.options import ANSWERS, TRAINING
from selfinstruct.cli.train import (
    print_dropped,
    print_evaluation,
    print_trained,
    print_warnings,
    run_recipe,
)
from selfinstruct.cli.training_options import (
    AdapterOnlyOption,
    Adapters,
    AnswerTokensOption,
    Common,
    FreshOption,
    HeldOutOption,
    ModelOption,
    OutOption,
    PromptsOption,
    Reading,
    StepsOption,
    rate_option,
    shared_settings,
)

if TYPE_CHECKING:
    from selfinstruct.train.health.rl_verdict import RlHealth
    from selfinstruct.train.recipes.rl import RlResult

REWARDS = "What is rewarded"


class AlgoName(StrEnum):
    """The algorithms."""

    RLOO = "rloo"
    GRPO = "grpo"


@dataclass(frozen=True, slots=True)
class RlCommon(Common):
    """The options that every recipe has; of these, patience means something else here."""

    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=0,
            help="Stop after this many evaluations in a row in which the reward minus beta·KL did "
            "not exceed its best value, and save the best policy. 0: never stop early, and save "
            "the last policy.",
            rich_help_panel=TRAINING,
        ),
    ] = 0


def rl(
    data: PromptsOption,
    model: ModelOption,
    out: OutOption,
    reward: Annotated[
        list[str],
        typer.Option(
            "--reward",
            metavar="KIND[:VALUE][@WEIGHT]",
            help="What rewards an answer: model:FOLDER, reference, check, expected, "
            "scorer:MODEL@LABEL, likelihood, words, regex:EXPRESSION, or MODULE:FUNCTION. May be "
            "repeated; rewards are summed by weight.",
            rich_help_panel=REWARDS,
        ),
    ],
    gold: Annotated[
        str | None,
        typer.Option(
            "--gold",
            metavar="KIND[:VALUE]",
            help="A scorer that is not part of the reward, written like --reward. It is used to "
            "detect reward hacking.",
            rich_help_panel=REWARDS,
        ),
    ] = None,
    stop_on_hacking: Annotated[
        bool,
        typer.Option(
            "--stop-on-hacking",
            help="Stop if the reward rises while the --gold score falls, and save the policy with "
            "the highest gold score.",
            rich_help_panel=REWARDS,
        ),
    ] = False,
    beta: Annotated[
        float,
        typer.Option(
            "--beta",
            min=0,
            help="Weight of the KL penalty, which keeps the policy near the reference.",
            rich_help_panel=REWARDS,
        ),
    ] = 0.05,
    algo: Annotated[
        AlgoName,
        typer.Option(
            "--algo",
            metavar="NAME",
            help=f"Algorithm: {', '.join(AlgoName)}.",
            rich_help_panel=TRAINING,
        ),
    ] = AlgoName.RLOO,
    steps: StepsOption = 100,
    adapter_only: AdapterOnlyOption = False,
    learning_rate: Annotated[float | None, rate_option("3e-4, with --full 1e-6")] = None,
    k: Annotated[
        int,
        typer.Option(
            "--k", min=2, help="Answers to each prompt of a step.", rich_help_panel=ANSWERS
        ),
    ] = 8,
    answer_tokens: AnswerTokensOption = 128,
    fresh: FreshOption = 64,
    held_out: HeldOutOption = None,
    adapters: Adapters = Adapters(),
    common: RlCommon = RlCommon(),
    reading: Reading = Reading(),
) -> None:
    """Train a policy on rewards of its own answers, by policy gradients (RLOO or GRPO).

    Training maximises the reward minus beta·KL, where KL is the divergence from the policy before
    training. Fresh answers to held-out prompts show the effect of training. health.html has the
    curves, and the last lines name the problems.

    Example:
        selfinstruct train rl --data tasks.jsonl --model sft --reward check --out rl
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.prompts import mix_prompts, read_rl_prompts
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.dpo import PAGE
    from selfinstruct.train.recipes.rl import ALGORITHMS, RlData
    from selfinstruct.train.recipes.rl_settings import RlSettings
    from selfinstruct.train.rewards.parse import parse_gold, parse_rewards

    rl_settings = RlSettings(
        **shared_settings(common, adapters, None, learning_rate, adapter_only=adapter_only),
        merge=not adapter_only,
        algo=str(algo),
        beta=beta,
        k=k,
        answer_tokens=answer_tokens,
        steps=steps,
        fresh=fresh,
        stop_on_hacking=stop_on_hacking,
    )
    recipe = ALGORITHMS[rl_settings.algo]
    check_settings(recipe, rl_settings)
    rewards = parse_rewards(reward)
    scorer = parse_gold(gold, rewards)
    read = partial(read_rl_prompts, reading=reading.rows())
    split, source = mixed_pairs(
        data, read, held_out, reading.validation_data, common.seed, mix=mix_prompts
    )
    local = resolve_model(model, lambda *_: None)
    job = Job(RlData(split, rewards, scorer), local, out, rl_settings, common.resume, source)
    result = run_recipe(recipe, job, dry=common.dry_run)
    if result is not None:
        _print(result)
        stderr.print(f"  {out / PAGE}", markup=False, highlight=False, soft_wrap=True)
        if not adapter_only:
            print_evaluation(f"before={model}", f"rl={out}", out)


def _print(result: RlResult) -> None:
    prompts = f"answers to {result.train_prompts} prompts"
    print_trained(prompts, result.tokens, result.steps, result.seconds)
    print_dropped(result.dropped)
    print_rl_health(result.health)


def print_rl_health(health: RlHealth) -> None:
    """Print the numbers and the verdict."""
    from rich.table import Table

    title = f"fresh answers to {health.prompts} prompts"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("before", "after", "change", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, before, after, change in (
        ("reward", health.reward_before, health.reward, health.gain),
        ("gold score", health.gold_before, health.gold, health.gold_gain),
    ):
        if not math.isnan(after):
            ends = f"{change.low:+.3f} to {change.high:+.3f}"
            table.add_row(name, f"{before:.3f}", f"{after:.3f}", f"{change.mean:+.3f}", ends)
    for name, before, after in (
        ("KL from the reference, nats an answer", 0.0, health.divergence),
        ("entropy of the next word, nats", health.entropy_before, health.entropy),
        ("tokens", health.tokens_before, health.tokens_after),
        ("never stops, %", 100 * health.endless_before, 100 * health.endless),
    ):
        table.add_row(name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}", "")
    stdout.print(table)
    print_warnings(health.warnings)
