"""`selfinstruct train kto`: from answers that people liked or not to a better policy."""

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
from selfinstruct.cli.console import stdout
from selfinstruct.cli.data_options import (
    ColumnsOption,
    FormatOption,
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
    from selfinstruct.train.recipes.kto import KtoResult


def kto(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="DATA[@WEIGHT]",
            help="Answers with a label, liked or not, or pairs. May be repeated; @2 learns its "
            "answers twice.",
        ),
    ],
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
    """Train a policy on single answers that people liked or did not, by KTO.

    Needs no pairs: thumbs up and down are enough.

    Example:
        selfinstruct train kto --data thumbs.jsonl --model outputs/sft --out kto
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.labelled import mix_labelled, read_labelled
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.kto import KTO, KtoSettings

    reading = reading_of(format, columns, skip_invalid)
    method = method_of(lora, load_in_4bit, adapter_only)
    kto_settings = KtoSettings(
        method=method,
        lora_r=lora_r,
        adapter=adapter_of(method, lora_alpha, lora_dropout, lora_targets, dora),
        attention=attention,
        patience=patience,
        merge=not adapter_only,
        beta=beta,
        max_length=max_length,
        seed=seed,
        eos_token=eos_token,
        options=trl_options(config, settings, epochs, learning_rate),
    )
    read = partial(read_labelled, reading=reading)
    split, source = mixed_pairs(data, read, held_out, validation_data, seed, mix=mix_labelled)
    check_settings(KTO, kto_settings)
    local = resolve_model(model, lambda *_: None)
    result = run_recipe(KTO, Job(split, local, out, kto_settings, resume, source))
    if result is not None:
        _print(result)
        if not adapter_only:
            print_evaluation(f"before={model}", f"kto={out}", out)


def _print(result: KtoResult) -> None:
    answers = f"{result.liked} liked and {result.disliked} disliked answers"
    print_trained(answers, result.tokens, result.steps, result.seconds)
    if result.dropped:
        dropped = ", ".join(f"{count} {reason}" for reason, count in result.dropped.items())
        stdout.print(f"dropped: {dropped}", highlight=False)
    if result.rewards:
        _, liked, disliked = result.rewards[-1]
        stdout.print(
            f"implicit rewards of {result.held_out} held-out answers: {liked:+.2f} nats where "
            f"liked, {disliked:+.2f} where disliked",
            highlight=False,
            soft_wrap=True,
        )
