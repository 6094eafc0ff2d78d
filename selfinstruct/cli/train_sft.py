"""`selfinstruct train sft`: from a run to a fine-tuned model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.data_options import READING, MixtureOption
from selfinstruct.cli.export import WHOSE, AnswersName
from selfinstruct.cli.help import default
from selfinstruct.cli.options import renamed
from selfinstruct.cli.sft_data import (
    HELD_OUT,
    Field,
    chosen_mixture,
    print_split,
    sft_mixture,
    without_copies,
)
from selfinstruct.cli.train import print_evaluation, print_trained, run_recipe
from selfinstruct.cli.training_options import (
    AdapterOnlyOption,
    Adapters,
    Common,
    ModelOption,
    OutOption,
    Reading,
    epochs_option,
    rate_option,
    shared_settings,
)

if TYPE_CHECKING:
    from selfinstruct.train.data.turns import TrainRow


def sft(
    data: MixtureOption,
    model: ModelOption,
    out: OutOption,
    adapter_only: AdapterOnlyOption = False,
    epochs: Annotated[float | None, epochs_option("3")] = None,
    learning_rate: Annotated[float | None, rate_option("2e-4, with --full 2e-5")] = None,
    last_turn_only: Annotated[
        bool,
        typer.Option("--last-turn-only", help="Train only on the last answer of a conversation."),
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
    answers: Annotated[
        AnswersName,
        typer.Option(
            "--answers",
            metavar="WHOSE",
            help=f"Whose outputs to train on: {WHOSE}.",
        ),
    ] = AnswersName.OWN,
    field: Annotated[
        Field,
        typer.Option(
            "--field",
            metavar="NAME",
            help="What to train on in a row: its answer (answer), or the chosen answer of a pair "
            "(chosen).",
            rich_help_panel=READING,
        ),
    ] = Field.ANSWER,
    with_seeds: Annotated[
        float,
        typer.Option(
            "--with-seeds",
            min=0,
            metavar="[WEIGHT]",
            help="Also train on the runs' seed tasks; with 3, each one three times per epoch.",
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
    adapters: Adapters = Adapters(),
    common: Common = Common(),
    reading: Reading = Reading(),
) -> None:
    """Fine-tune a model on the accepted tasks of a run, and save it for vLLM and transformers.

    The loss is computed only on answers; in a conversation, on every answer of the assistant.
    Training stops when the validation loss no longer falls.

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

    learnt = shared_settings(common, adapters, epochs, learning_rate, adapter_only=adapter_only)
    held_out = held_out if validation is None else validation
    if held_out is not None and reading.validation_data is not None:
        raise ConfigError("--validation-data: replaces held-out rows; leave --held-out out")
    share = HELD_OUT if held_out is None else held_out
    validation_rows: Sequence[TrainRow] | None
    if field is Field.CHOSEN:
        if with_seeds or answers is not AnswersName.OWN:
            raise ConfigError("--field chosen: is for pairs; leave --with-seeds and --answers out")
        mixture, validation_rows = chosen_mixture(data, reading, share)
    else:
        mixture, validation_rows = sft_mixture(
            data, reading, Answers(str(answers)), seeds=with_seeds > 0
        )
    runs = [part for part in map(parse_part, data) if run_exists(Path(part.data))]
    if decontaminate is not None:
        mixture = without_copies(mixture, decontaminate)
    split = mix_rows(
        mixture, share=share, seeds_weight=with_seeds, seed=common.seed, validation=validation_rows
    )
    print_split(split)
    sft_settings = SftSettings(**learnt, merge=not adapter_only, last_turn_only=last_turn_only)
    choices = {
        "answers": str(answers) if runs and field is Field.ANSWER else "",
        "learnt": "the chosen answers of pairs" if field is Field.CHOSEN else "",
        "with seeds": _times(with_seeds),
        "validated on": _named(reading.validation_data),
        "decontaminated against": _named(decontaminate),
    }
    choices = {name: choice for name, choice in choices.items() if choice}
    check_settings(SFT, sft_settings)
    local = resolve_model(model, lambda *_: None)
    first, *others = (part.data for part, _ in mixture)
    source = Source(Path(first), choices, others=tuple(others))
    job = Job(split, local, out, sft_settings, common.resume, source)
    result = run_recipe(SFT, job, dry=common.dry_run)
    if result is not None:
        rows_learnt = f"{result.train_rows} rows"
        print_trained(rows_learnt, result.tokens, result.steps, result.seconds)
        if not adapter_only:
            print_evaluation(f"base={model}", f"sft={out}", out)


def _times(weight: float) -> str:
    return "" if not weight else "yes" if weight == 1 else f"{weight:g} times"


def _named(data: str | None) -> str:
    return "" if data is None else f"`{Path(data).name}`"
