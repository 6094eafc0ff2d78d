"""`selfinstruct train dpo`: from preferences to a better policy, and the health of the training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.adapter_options import (
    AttentionOption,
    DoraOption,
    LoraAlphaOption,
    LoraDropoutOption,
    LoraRankOption,
    LoraTargetsOption,
    PatienceOption,
    adapter_of,
)
from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import (
    ColumnsOption,
    FormatOption,
    PairsOption,
    SkipInvalidOption,
    ValidationDataOption,
    mixed_pairs,
    reading_of,
)
from selfinstruct.cli.help import default
from selfinstruct.cli.options import TRAINING
from selfinstruct.cli.train import (
    AdapterOnlyOption,
    ConfigOption,
    EosTokenOption,
    FourBitsOption,
    LoraOption,
    MaxLengthOption,
    ModelOption,
    OutOption,
    ResumeOption,
    SeedOption,
    SetOption,
    method_of,
    print_evaluation,
    print_trained,
    run_recipe,
    trl_options,
)

if TYPE_CHECKING:
    from selfinstruct.train.health.verdict import Health
    from selfinstruct.train.recipes.dpo import DpoResult


def dpo(
    data: PairsOption,
    model: ModelOption,
    out: OutOption,
    beta: Annotated[
        float,
        typer.Option(
            "--beta",
            min=1e-4,
            help="How closely to keep to the reference.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.1,
    loss_type: Annotated[
        str,
        typer.Option(
            "--loss-type",
            help="TRL's name, or several: `sigmoid,sft`.",
            rich_help_panel=TRAINING,
        ),
    ] = "sigmoid",
    lora: LoraOption = True,
    load_in_4bit: FourBitsOption = False,
    adapter_only: AdapterOnlyOption = False,
    lora_r: LoraRankOption = 16,
    lora_alpha: LoraAlphaOption = None,
    lora_dropout: LoraDropoutOption = None,
    lora_targets: LoraTargetsOption = None,
    dora: DoraOption = False,
    attention: AttentionOption = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs", min=0.01, help="Most epochs." + default("2"), rich_help_panel=TRAINING
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            min=0,
            help="Highest learning rate." + default("3e-4, with --full 5e-6"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    max_length: MaxLengthOption = 1024,
    patience: PatienceOption = 1,
    held_out: Annotated[
        float | None,
        typer.Option(
            "--held-out", min=0, max=0.5, help="For a file: share to hold out." + default("0.2")
        ),
    ] = None,
    fresh: Annotated[
        int,
        typer.Option(
            "--fresh",
            min=1,
            help="Prompts to answer at each evaluation, to watch the training.",
            rich_help_panel=TRAINING,
        ),
    ] = 32,
    fresh_tokens: Annotated[
        int,
        typer.Option(
            "--fresh-tokens", min=1, help="Most tokens of such an answer.", rich_help_panel=TRAINING
        ),
    ] = 128,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    validation_data: ValidationDataOption = None,
    eos_token: EosTokenOption = None,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Train a policy to prefer the chosen answers, by direct preference optimisation.

    Held-out pairs and fresh answers show what training does to the policy. health.html has the
    curves; the last lines say what is wrong.

    Example:
        selfinstruct train dpo --data outputs/pairs --model outputs/sft --out dpo
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.preference_rows import read_pairs
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.dpo import DPO, PAGE, DpoSettings

    reading = reading_of(format, columns, skip_invalid)
    method = method_of(lora, load_in_4bit, adapter_only)
    dpo_settings = DpoSettings(
        method=method,
        lora_r=lora_r,
        adapter=adapter_of(method, lora_alpha, lora_dropout, lora_targets, dora),
        attention=attention,
        patience=patience,
        merge=not adapter_only,
        beta=beta,
        loss_type=tuple(name.strip() for name in loss_type.split(",")),
        max_length=max_length,
        fresh=fresh,
        fresh_tokens=fresh_tokens,
        seed=seed,
        eos_token=eos_token,
        options=trl_options(config, settings, epochs, learning_rate),
    )
    read = partial(read_pairs, reading=reading)
    split, source = mixed_pairs(data, read, held_out, validation_data, seed)
    check_settings(DPO, dpo_settings)
    local = resolve_model(model, lambda *_: None)
    result = run_recipe(DPO, Job(split, local, out, dpo_settings, resume, source))
    if result is not None:
        _print(result)
        stderr.print(f"  {out / PAGE}", markup=False, highlight=False, soft_wrap=True)
        print_evaluation(f"before={model}", f"dpo={out}", out)


def _print(result: DpoResult) -> None:
    pairs = f"{result.train_pairs} pairs"
    print_trained(pairs, result.tokens, result.steps, result.seconds)
    if result.dropped:
        dropped = ", ".join(f"{count} {reason}" for reason, count in result.dropped.items())
        stdout.print(f"dropped: {dropped}", highlight=False)
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
        f"fresh answers: {health.divergence:.2f} nats from the reference's, "
        f"{health.tokens_after:.0f} tokens ({health.tokens_before:.0f} before)",
        highlight=False,
    )
    for warned in health.warnings:
        stderr.print(f"[yellow]{warned.trouble}[/]: {warned.found}", highlight=False)
        stderr.print(f"  {warned.advice}", markup=False, highlight=False, soft_wrap=True)
    if not health.warnings:
        stdout.print("these numbers show nothing wrong")
