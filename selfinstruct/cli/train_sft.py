"""`selfinstruct train sft`: from a run to a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from selfinstruct.cli.data_options import (
    READING,
    ColumnsOption,
    FormatOption,
    MixtureOption,
    SkipInvalidOption,
    ValidationDataOption,
    reading_of,
)
from selfinstruct.cli.export import AnswersName
from selfinstruct.cli.help import default
from selfinstruct.cli.options import TRAINING, renamed
from selfinstruct.cli.sft_data import HELD_OUT, Field, print_split, sft_mixture, without_copies
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


def sft(
    data: MixtureOption,
    model: ModelOption,
    out: OutOption,
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
            "--epochs", min=0.01, help="Most epochs." + default("3"), rich_help_panel=TRAINING
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            min=0,
            help="Highest learning rate." + default("2e-4, with --full 2e-5"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    max_length: MaxLengthOption = 1024,
    patience: PatienceOption = 1,
    last_turn_only: Annotated[
        bool,
        typer.Option("--last-turn-only", help="Of a conversation, learn the last answer alone."),
    ] = False,
    held_out: Annotated[
        float | None,
        typer.Option(
            "--held-out",
            min=0,
            max=0.5,
            help="Share to hold out: the last rows." + default("0.1"),
        ),
    ] = None,
    validation: Annotated[float | None, renamed("--validation", min=0, max=0.5)] = None,
    validation_data: ValidationDataOption = None,
    answers: Annotated[
        AnswersName,
        typer.Option(
            "--answers",
            metavar="WHOSE",
            help=f"Whose outputs to learn: {', '.join(AnswersName)}.",
        ),
    ] = AnswersName.OWN,
    field: Annotated[
        Field,
        typer.Option(
            "--field",
            metavar="NAME",
            help="What to learn of a row: its answer, or of pairs the chosen one (chosen).",
            rich_help_panel=READING,
        ),
    ] = Field.ANSWER,
    with_seeds: Annotated[
        float,
        typer.Option(
            "--with-seeds",
            min=0,
            metavar="[WEIGHT]",
            help="Learn the seed tasks of runs too; 3: each three times.",
            rich_help_panel=READING,
        ),
    ] = 0,
    decontaminate: Annotated[
        str | None,
        typer.Option(
            "--decontaminate",
            metavar="DATA",
            help="Leave out rows that repeat tasks of this data.",
            rich_help_panel=READING,
        ),
    ] = None,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    eos_token: EosTokenOption = None,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Fine-tune a model on the accepted tasks of a run, and save it for vLLM and transformers.

    The loss is on the answers alone, of a conversation on all of them. Training stops when the
    validation loss no longer falls.

    Example:
        selfinstruct train sft --data outputs/first --model bundled --out outputs/sft
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.dataset.rows import Answers
    from selfinstruct.models import resolve_model
    from selfinstruct.store import run_exists
    from selfinstruct.train.arguments import check_settings
    from selfinstruct.train.data.mixture import mix_rows, parse_part
    from selfinstruct.train.recipe import Job, Source
    from selfinstruct.train.recipes.sft import SFT, SftSettings

    reading = reading_of(format, columns, skip_invalid)
    options = trl_options(config, settings, epochs, learning_rate)
    held_out = held_out if validation is None else validation
    if held_out is not None and validation_data is not None:
        raise ConfigError("--validation-data: holds nothing out; leave --held-out out")
    mixture, validation_rows = sft_mixture(
        data, field, reading, Answers(str(answers)), with_seeds > 0, held_out, validation_data
    )
    runs = [part for part in map(parse_part, data) if run_exists(Path(part.data))]
    if decontaminate is not None:
        mixture = without_copies(mixture, decontaminate)
    split = mix_rows(
        mixture,
        share=HELD_OUT if held_out is None else held_out,
        seeds_weight=with_seeds,
        seed=seed,
        validation=validation_rows,
    )
    print_split(split)
    method = method_of(lora, load_in_4bit, adapter_only)
    sft_settings = SftSettings(
        method=method,
        lora_r=lora_r,
        adapter=adapter_of(method, lora_alpha, lora_dropout, lora_targets, dora),
        attention=attention,
        patience=patience,
        merge=not adapter_only,
        max_length=max_length,
        seed=seed,
        last_turn_only=last_turn_only,
        eos_token=eos_token,
        options=options,
    )
    choices = {
        "answers": str(answers) if runs and field is Field.ANSWER else "",
        "learnt": "the chosen answers of pairs" if field is Field.CHOSEN else "",
        "with seeds": _times(with_seeds),
        "validated on": _named(validation_data),
        "decontaminated against": _named(decontaminate),
    }
    choices = {name: choice for name, choice in choices.items() if choice}
    check_settings(SFT, sft_settings)
    local = resolve_model(model, lambda *_: None)
    first, *others = (part.data for part, _ in mixture)
    source = Source(Path(first), choices, others=tuple(others))
    job = Job(split, local, out, sft_settings, resume, source)
    result = run_recipe(SFT, job)
    if result is not None:
        rows_learnt = f"{result.train_rows} rows"
        print_trained(rows_learnt, result.tokens, result.steps, result.seconds)
        if not adapter_only:
            print_evaluation(f"base={model}", f"sft={out}", out)


def _times(weight: float) -> str:
    return "" if not weight else "yes" if weight == 1 else f"{weight:g} times"


def _named(data: str | None) -> str:
    return "" if data is None else f"`{Path(data).name}`"
