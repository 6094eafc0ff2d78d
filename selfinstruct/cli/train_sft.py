"""`selfinstruct train sft`: from a run to a fine-tuned model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import stderr
from selfinstruct.cli.export import AnswersName
from selfinstruct.cli.help import default
from selfinstruct.cli.options import TRAINING, renamed
from selfinstruct.cli.train import (
    AdapterOnlyOption,
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
    print_evaluation,
    print_trained,
    run_recipe,
    trl_options,
)

# Rows to show of those that repeat tasks of an evaluation.
_SHOWN = 10


def sft(
    data: Annotated[
        Path, typer.Option("--data", help="A run's folder, or JSON lines as `export` writes them.")
    ],
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
    held_out: Annotated[
        float,
        typer.Option("--held-out", min=0, max=0.5, help="Share to hold out: the last rows."),
    ] = 0.1,
    validation: Annotated[float | None, renamed("--validation", min=0, max=0.5)] = None,
    answers: Annotated[
        AnswersName,
        typer.Option(
            "--answers",
            metavar="WHOSE",
            help=f"Whose outputs to learn: {', '.join(AnswersName)}.",
        ),
    ] = AnswersName.OWN,
    with_seeds: Annotated[
        bool, typer.Option("--with-seeds", help="Learn the run's seed tasks too.")
    ] = False,
    decontaminate: Annotated[
        Path | None,
        typer.Option("--decontaminate", help="Leave out rows that repeat tasks of this file."),
    ] = None,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Fine-tune a model on the accepted tasks of a run, and save it for vLLM and transformers.

    The loss is on the answers alone, and training stops when the validation loss no longer
    falls.

    Example:
        selfinstruct train sft --data outputs/first --model bundled --out outputs/sft
    """
    from selfinstruct.dataset.rows import Answers
    from selfinstruct.models import resolve_model
    from selfinstruct.train.data.rows import read_rows, split_rows
    from selfinstruct.train.recipe import Job, Source
    from selfinstruct.train.recipes.sft import SFT, SftSettings

    options = trl_options(config, settings, epochs, learning_rate)
    train_data = read_rows(data, answers=Answers(str(answers)), with_seeds=with_seeds)
    if decontaminate is not None:
        train_data = replace(train_data, rows=_without_copies(train_data.rows, decontaminate))
    split = split_rows(train_data, held_out if validation is None else validation)
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
        options=options,
    )
    choices = {"answers": str(answers)} if data.is_dir() else {}
    if with_seeds:
        choices["with seeds"] = "yes"
    if decontaminate is not None:
        choices["decontaminated against"] = f"`{decontaminate.name}`"
    local = resolve_model(model, lambda *_: None)
    job = Job(split, local, out, sft_settings, resume, Source(data, choices))
    result = run_recipe(SFT, job)
    if result is not None:
        rows_learnt = f"{result.train_rows} rows"
        print_trained(rows_learnt, result.tokens, result.steps, result.seconds)
        if not adapter_only:
            print_evaluation(f"base={model}", f"sft={out}", out)


def _without_copies(rows: list[Any], file: Path) -> list[Any]:
    """Leave out rows that repeat tasks of an evaluation, and say which."""
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.tasks import read_eval_tasks
    from selfinstruct.prompts.canonical import user_text
    from selfinstruct.train.data.decontaminate import decontaminate

    tasks = read_eval_tasks(file, "--decontaminate")
    texts = [user_text(task.instruction, task.input) for task in tasks]
    texts += [task.instruction for task in tasks]
    kept, removed = decontaminate(rows, texts, 0.7)
    stderr.print(
        f"{len(removed)} of {len(rows)} rows repeat tasks of {file} and are left out"
        f"{f', the first {_SHOWN} of them' if len(removed) > _SHOWN else ''}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for copy in removed[:_SHOWN]:
        row = {"row": copy.row.id, "how": copy.how, "instruction": copy.row.instruction}
        stderr.print(f"  {json.dumps(row)}", markup=False, highlight=False, soft_wrap=True)
    if not kept:
        raise ConfigError(
            f"{file}: every row repeats one of its tasks; nothing is left to train on"
        )
    return kept
