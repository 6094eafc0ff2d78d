"""`selfinstruct train reward`: a model that scores answers, and where its accuracy comes from."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import plain, stdout
from selfinstruct.cli.data_options import PairsOption, mixed_pairs
from selfinstruct.cli.help import default
from selfinstruct.cli.options import TRAINING
from selfinstruct.cli.train import print_dropped, print_trained, run_recipe
from selfinstruct.cli.training_options import (
    Adapters,
    Common,
    HeldOutOption,
    ModelOption,
    OutOption,
    Reading,
    epochs_option,
    rate_option,
    shared_settings,
)

if TYPE_CHECKING:
    from selfinstruct.train.recipes.regression import RegressionResult
    from selfinstruct.train.recipes.reward import RewardResult
    from selfinstruct.train.recipes.reward_report import CheckReport

# Missed checks to show.
_SHOWN = 10


class LossName(StrEnum):
    """The losses."""

    BRADLEY_TERRY = "bradley-terry"
    REGRESSION = "regression"


def reward(
    data: PairsOption,
    model: ModelOption,
    out: OutOption,
    ranked: Annotated[
        bool,
        typer.Option(
            "--ranked",
            help="The data has ranked answers: train on every pair that a ranking implies.",
        ),
    ] = False,
    loss: Annotated[
        LossName,
        typer.Option(
            "--loss",
            metavar="NAME",
            help="What is learnt: bradley-terry, which of two answers is better; regression, the "
            "score of an answer (data with scores).",
            rich_help_panel=TRAINING,
        ),
    ] = LossName.BRADLEY_TERRY,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="FILE",
            help="Pairs with a clear winner, on which the reward model is tested, or `none`."
            + default("the shipped ones"),
        ),
    ] = None,
    epochs: Annotated[float | None, epochs_option("2")] = None,
    learning_rate: Annotated[float | None, rate_option("1e-4, with --full 1e-5")] = None,
    held_out: HeldOutOption = None,
    adapters: Adapters = Adapters(),
    common: Common = Common(),
    reading: Reading = Reading(),
) -> None:
    """Train a reward model on preference pairs, or on answers with scores.

    The report has the model's accuracy on held-out pairs, its calibration, and whether it relies
    only on length.

    Example:
        selfinstruct train reward --data outputs/pairs --model bundled --out reward
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.inputs.purposes import REWARD as REWARD_PAIRS
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.preference_rows import read_pairs
    from selfinstruct.train.data.ranked import read_comparisons
    from selfinstruct.train.data.scored import mix_scored, read_scores
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.regression import REGRESSION, RegressionData
    from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardSettings
    from selfinstruct.train.recipes.reward_report import read_checks, shipped_checks

    if ranked and loss == LossName.REGRESSION:
        raise ConfigError(
            "--ranked: ranks have no scores for --loss regression to learn; leave one of them out"
        )
    reward_settings = RewardSettings(
        **shared_settings(common, adapters, epochs, learning_rate),
    )
    checks = [] if check == "none" else read_checks(check or shipped_checks())
    if loss == LossName.REGRESSION:
        read_answers = partial(read_scores, reading=reading.rows())
        answers, source = mixed_pairs(
            data, read_answers, held_out, reading.validation_data, common.seed, mix=mix_scored
        )
        check_settings(REGRESSION, reward_settings)
        local = resolve_model(model, lambda *_: None)
        scored = RegressionData(answers, checks)
        scored_job = Job(scored, local, out, reward_settings, common.resume, source)
        regressed = run_recipe(REGRESSION, scored_job, dry=common.dry_run)
        if regressed is not None:
            print_regression(regressed)
        return
    read = (
        partial(read_comparisons, reading=reading.rows())
        if ranked
        else partial(read_pairs, reading=reading.rows(), purpose=REWARD_PAIRS)
    )
    split, source = mixed_pairs(data, read, held_out, reading.validation_data, common.seed)
    check_settings(REWARD, reward_settings)
    local = resolve_model(model, lambda *_: None)
    pairs = RewardData(split, checks)
    job = Job(pairs, local, out, reward_settings, common.resume, source)
    result = run_recipe(REWARD, job, dry=common.dry_run)
    if result is not None:
        _print(result)


def _print(result: RewardResult) -> None:
    from rich.table import Table

    pairs_learnt = f"{result.train_pairs} pairs"
    print_trained(pairs_learnt, result.tokens, result.steps, result.seconds)
    table = Table(title="how often it is right", title_justify="left")
    for column in ("", "pairs", "%", "95 %"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    held = result.held_out
    shown = [
        ("held-out pairs", held.pairs, held.accuracy),
        ("  the longer is worse", held.longer_is_worse_pairs, held.longer_is_worse),
        ("  the longer is better", held.longer_is_better_pairs, held.longer_is_better),
    ]
    shown += [
        (f"  where it says {100 * bin.predicted:.0f} %", bin.pairs, bin.observed)
        for bin in held.calibration
    ]
    if result.checks:
        shown.append(("checks", result.checks.checks, result.checks.accuracy))
    for title, pairs, rate in shown:
        if pairs:
            ends = f"{100 * rate.low:.0f} to {100 * rate.high:.0f}"
            table.add_row(title, str(pairs), f"{100 * rate.mean:.0f}", ends)
    stdout.print(table)
    if result.checks:
        _print_missed(result.checks)


def print_regression(result: RegressionResult) -> None:
    """Print how near the rewards are to the scores, and the checks."""
    answers_learnt = f"{result.train_answers} scored answers"
    print_trained(answers_learnt, result.tokens, result.steps, result.seconds)
    print_dropped(result.dropped)
    held = result.held_out
    stdout.print(
        f"score = {result.score_mean:.4g} + {result.score_deviation:.4g} * reward",
        highlight=False,
    )
    if held.answers:
        stdout.print(
            f"{held.answers} held-out answers: correlation {held.correlation:.2f}, explained "
            f"variance {100 * held.explained:.0f} %, mean squared error {held.error:.2f} variances",
            highlight=False,
            soft_wrap=True,
        )
    rates = [("answers to one prompt in the order of their scores", held.pairs, held.accuracy)]
    if result.checks:
        rates.append(("checks", result.checks.checks, result.checks.accuracy))
    for title, count, rate in rates:
        if count:
            ends = f"{100 * rate.low:.0f} to {100 * rate.high:.0f}"
            shown = f"{title}: {100 * rate.mean:.0f} % of {count} ({ends})"
            stdout.print(shown, highlight=False, soft_wrap=True)
    if result.checks:
        _print_missed(result.checks)


def _print_missed(checks: CheckReport) -> None:
    traps = ", ".join(f"{trap} {100 * rate.mean:.0f} %" for trap, rate in checks.traps.items())
    stdout.print(f"checks by trap: {traps}", markup=False, highlight=False)
    for missed in checks.missed[:_SHOWN]:
        text = " ".join(plain(missed.prompt).split())[:80]
        shown = f"  wrong: {missed.id} ({missed.trap}) {text}"
        stdout.print(shown, markup=False, highlight=False)
    if len(checks.missed) > _SHOWN:
        stdout.print(f"  and {len(checks.missed) - _SHOWN} more, in training.json", highlight=False)
