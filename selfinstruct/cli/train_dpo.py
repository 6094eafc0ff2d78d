"""`selfinstruct train dpo`: from preferences to a better policy, and the health of the training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import PairsOption, mixed_pairs
from selfinstruct.cli.options import TRAINING
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
    BetaOption,
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
    from selfinstruct.train.health.verdict import Health
    from selfinstruct.train.recipes.dpo import DpoResult


def dpo(
    data: PairsOption,
    model: ModelOption,
    out: OutOption,
    beta: BetaOption = 0.1,
    loss_type: Annotated[
        str,
        typer.Option(
            "--loss-type",
            help="TRL's name of the loss, or several: `sigmoid,sft`.",
            rich_help_panel=TRAINING,
        ),
    ] = "sigmoid",
    adapter_only: AdapterOnlyOption = False,
    epochs: Annotated[float | None, epochs_option("2")] = None,
    learning_rate: Annotated[float | None, rate_option("3e-4, with --full 5e-6")] = None,
    held_out: HeldOutOption = None,
    fresh: Annotated[
        int,
        typer.Option(
            "--fresh",
            min=1,
            help="Number of prompts that the policy answers again at each evaluation, to "
            "monitor the training.",
            rich_help_panel=TRAINING,
        ),
    ] = 32,
    fresh_tokens: Annotated[
        int,
        typer.Option(
            "--fresh-tokens",
            min=1,
            help="Maximum tokens per such answer.",
            rich_help_panel=TRAINING,
        ),
    ] = 128,
    adapters: Adapters = Adapters(),
    common: Common = Common(),
    reading: Reading = Reading(),
) -> None:
    """Train a policy to prefer the chosen answers, by direct preference optimisation.

    Held-out pairs and newly sampled answers show what training does to the policy. health.html has
    the curves; the last lines that the command prints name any problems.

    Example:
        selfinstruct train dpo --data outputs/pairs --model outputs/sft --out dpo
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.preference_rows import read_pairs
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.dpo import DPO, PAGE, DpoSettings

    dpo_settings = DpoSettings(
        **shared_settings(common, adapters, epochs, learning_rate, adapter_only=adapter_only),
        merge=not adapter_only,
        beta=beta,
        loss_type=tuple(name.strip() for name in loss_type.split(",")),
        fresh=fresh,
        fresh_tokens=fresh_tokens,
    )
    read = partial(read_pairs, reading=reading.rows())
    split, source = mixed_pairs(data, read, held_out, reading.validation_data, common.seed)
    check_settings(DPO, dpo_settings)
    local = resolve_model(model, lambda *_: None)
    job = Job(split, local, out, dpo_settings, common.resume, source)
    result = run_recipe(DPO, job, dry=common.dry_run)
    if result is not None:
        _print(result)
        stderr.print(f"  {out / PAGE}", markup=False, highlight=False, soft_wrap=True)
        print_evaluation(f"before={model}", f"dpo={out}", out)


def _print(result: DpoResult) -> None:
    pairs = f"{result.train_pairs} pairs"
    print_trained(pairs, result.tokens, result.steps, result.seconds)
    print_dropped(result.dropped)
    print_health(result.health)


def print_health(health: Health) -> None:
    """Print the numbers and the verdict."""
    from rich.table import Table

    if health.pairs:
        table = Table(title=f"on {health.pairs} held-out pairs", title_justify="left")
        table.add_column("")
        for column in ("mean", "from", "to"):
            table.add_column(column, justify="right", no_wrap=True)
        shown = (
            ("chosen preferred, %", health.accuracy, 100),
            ("margin of implicit rewards", health.margin, 1),
            ("chosen, nats since the start", health.chosen, 1),
            ("rejected, nats since the start", health.rejected, 1),
        )
        for title, interval, scale in shown:
            values = (interval.mean, interval.low, interval.high)
            cells = (f"{scale * value:.2f}" for value in values)
            table.add_row(title, *cells)
        stdout.print(table)
    stdout.print(
        f"fresh answers: divergence from the reference {health.divergence:.2f} nats, "
        f"{health.tokens_after:.0f} tokens ({health.tokens_before:.0f} before)",
        highlight=False,
    )
    print_warnings(health.warnings)
