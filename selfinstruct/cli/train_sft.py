"""`selfinstruct train sft`: from a run to a fine-tuned model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stderr
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
    from selfinstruct.train.data.mixture import Part
    from selfinstruct.train.data.rows import TrainData

# Share of the rows to hold out, unless another is given.
_HELD_OUT = 0.1
# Rows to show of those that repeat tasks of an evaluation.
_SHOWN = 10


def sft(
    data: MixtureOption,
    model: ModelOption,
    out: OutOption,
    lora: LoraOption = True,
    load_in_4bit: FourBitsOption = False,
    adapter_only: AdapterOnlyOption = False,
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
    from selfinstruct.train.data.mixture import mix_rows, parse_part, source_line
    from selfinstruct.train.data.rows import read_rows
    from selfinstruct.train.recipe import Job, Source
    from selfinstruct.train.recipes.sft import SFT, SftSettings

    reading = reading_of(format, columns, skip_invalid)
    options = trl_options(config, settings, epochs, learning_rate)
    held_out = held_out if validation is None else validation
    if held_out is not None and validation_data is not None:
        raise ConfigError("--validation-data: holds nothing out; leave --held-out out")
    read = partial(read_rows, reading=reading)
    validation_rows = None
    if validation_data is not None:
        validation_rows = read(validation_data, option="--validation-data").rows
    runs = [part for part in map(parse_part, data) if run_exists(Path(part.data))]
    mixture = _mixture(data, partial(read, answers=Answers(str(answers))), seeds=with_seeds > 0)
    if decontaminate is not None:
        mixture = _without_copies(mixture, decontaminate)
    split = mix_rows(
        mixture,
        share=_HELD_OUT if held_out is None else held_out,
        seeds_weight=with_seeds,
        seed=seed,
        validation=validation_rows,
    )
    for source in split.sources:
        stderr.print(source_line(source), markup=False, highlight=False, soft_wrap=True)
    if split.near:
        stderr.print(
            f"{len(split.near)} of the last rows are near neighbours of training rows: "
            "in neither part",
            highlight=False,
        )
    sft_settings = SftSettings(
        method=method_of(lora, load_in_4bit, adapter_only),
        merge=not adapter_only,
        max_length=max_length,
        seed=seed,
        last_turn_only=last_turn_only,
        eos_token=eos_token,
        options=options,
    )
    choices = {"answers": str(answers)} if runs else {}
    if with_seeds:
        choices["with seeds"] = "yes" if with_seeds == 1 else f"{with_seeds:g} times"
    if validation_data is not None:
        choices["validated on"] = f"`{Path(validation_data).name}`"
    if decontaminate is not None:
        choices["decontaminated against"] = f"`{Path(decontaminate).name}`"
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


def _mixture(
    data: list[str], read: Callable[..., TrainData], *, seeds: bool
) -> list[tuple[Part, TrainData]]:
    """Read the data sets, each with its weight and its full name.

    Seed tasks are those of the runs among them; without a run, `read` refuses them.
    """
    from selfinstruct.store import run_exists
    from selfinstruct.train.data.mixture import Part, parse_part

    parts = [parse_part(text) for text in data]
    is_run = [run_exists(Path(part.data)) for part in parts]
    mixture = []
    for part, own in zip(parts, is_run, strict=True):
        rows = read(part.data, with_seeds=seeds and (own or not any(is_run)))
        mixture.append((Part(rows.name, part.weight), rows))
    return mixture


def _without_copies(
    mixture: list[tuple[Part, TrainData]], file: str
) -> list[tuple[Part, TrainData]]:
    """Leave out rows that repeat tasks of an evaluation, and say which."""
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.train.data.decontaminate import decontaminate, read_avoided

    texts = read_avoided(file)
    cleaned = [(part, data, *decontaminate(data.rows, texts, 0.7)) for part, data in mixture]
    removed = [copy for *_, copies in cleaned for copy in copies]
    rows = sum(len(data.rows) for _, data in mixture)
    stderr.print(
        f"{len(removed)} of {rows} rows repeat tasks of {file} and are left out"
        f"{f', the first {_SHOWN} of them' if len(removed) > _SHOWN else ''}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for copy in removed[:_SHOWN]:
        row = {"row": copy.row.id, "how": copy.how, "instruction": copy.row.instruction}
        stderr.print(f"  {json.dumps(row)}", markup=False, highlight=False, soft_wrap=True)
    if len(removed) == rows:
        raise ConfigError(
            f"{file}: every row repeats one of its tasks; nothing is left to train on"
        )
    return [(part, replace(data, rows=kept)) for part, data, kept, _ in cleaned]
