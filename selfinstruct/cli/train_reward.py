"""`selfinstruct train reward`: a model that scores answers, and where its accuracy comes from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import plain, stdout
from selfinstruct.cli.training import (
    ConfigOption,
    FourBitsOption,
    LoraOption,
    MaxLengthOption,
    ModelOption,
    OutOption,
    ResumeOption,
    SeedOption,
    SetOption,
    method_of,
    trl_options,
    watched,
)

if TYPE_CHECKING:
    from selfinstruct.train.reward import RewardResult
    from selfinstruct.train.reward_report import CheckReport

# Checks that are named of those that were missed.
_TOLD = 10


def reward(
    data: Annotated[
        Path,
        typer.Option("--data", help="A folder of `prefer`, or a file of prompt, chosen, rejected."),
    ],
    model: ModelOption,
    out: OutOption,
    ranked: Annotated[
        bool,
        typer.Option("--ranked", help="Learn every comparison of all ranked answers of a prompt."),
    ] = False,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="FILE",
            help="Pairs with a clear winner to try it on (100 of ours); `none`: leave it out.",
        ),
    ] = None,
    lora: LoraOption = True,
    load_in_4bit: FourBitsOption = False,
    epochs: Annotated[
        float | None, typer.Option("--epochs", min=0.01, help="At most (default 2).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0, help="Default 1e-4, for `full` 1e-5.")
    ] = None,
    max_length: MaxLengthOption = 1024,
    held_out: Annotated[
        float, typer.Option("--held-out", min=0, max=0.5, help="Of a file: share held out.")
    ] = 0.2,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Train a reward model on preferences, by Bradley and Terry's model of pairs.

    Says how often it is right on pairs that are held out, whether it is as right as it is
    sure, and whether it looks at more than length.
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.card import preference_card
    from selfinstruct.train.preference_rows import read_preferences
    from selfinstruct.train.progress import is_main_process
    from selfinstruct.train.ranked import read_ranked
    from selfinstruct.train.reward import RewardSettings, train_reward
    from selfinstruct.train.reward_report import read_checks, shipped_checks

    how = RewardSettings(
        method=method_of(lora, load_in_4bit, adapter_only=False),
        max_length=max_length,
        seed=seed,
        options=trl_options(config, settings, epochs, learning_rate),
    )
    checks = [] if check == "none" else read_checks(Path(check) if check else shipped_checks())
    read = read_ranked if ranked else read_preferences
    split = read(data, held_out=held_out)
    local = resolve_model(model, lambda *_: None)
    with watched(out, "nats per pair") as listen:
        result = train_reward(
            split,
            local,
            out,
            how,
            listen,
            checks=checks,
            resume=resume,
            card=partial(preference_card, data, local, how),
        )
    if is_main_process():
        _print(result)


def _print(result: RewardResult) -> None:
    from rich.table import Table

    stdout.print(
        f"trained on {result.train_pairs} pairs, {result.tokens:,} tokens in {result.steps} steps "
        f"and {result.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
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
        (f"  where it says {100 * one.predicted:.0f} %", one.pairs, one.observed)
        for one in held.calibration
    ]
    if result.checks:
        shown.append(("checks", result.checks.checks, result.checks.accuracy))
    for title, pairs, one in shown:
        if pairs:
            ends = f"{100 * one.low:.0f} to {100 * one.high:.0f}"
            table.add_row(title, str(pairs), f"{100 * one.mean:.0f}", ends)
    stdout.print(table)
    if result.checks:
        _print_missed(result.checks)


def _print_missed(checks: CheckReport) -> None:
    traps = ", ".join(f"{trap} {100 * one.mean:.0f} %" for trap, one in checks.traps.items())
    stdout.print(f"checks by trap: {traps}", markup=False, highlight=False)
    for one in checks.missed[:_TOLD]:
        text = " ".join(plain(one.prompt).split())[:80]
        stdout.print(f"  wrong: {one.id} ({one.trap}) {text}", markup=False, highlight=False)
    if len(checks.missed) > _TOLD:
        stdout.print(f"  and {len(checks.missed) - _TOLD} more, in training.json", highlight=False)
