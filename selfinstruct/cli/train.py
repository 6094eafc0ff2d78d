"""`selfinstruct train`: from a run to a fine-tuned model."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.export import AnswersName
from selfinstruct.cli.options import interrupt

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from selfinstruct.train.progress import TrainProgress
    from selfinstruct.train.sft import SftResult

# Rows that are shown of those that repeat tasks of an evaluation.
_TOLD = 10

app = typer.Typer(help="Train a model on a run, by TRL.", no_args_is_help=True)


@app.command("sft")
def sft(
    data: Annotated[
        Path, typer.Option("--data", help="A run's folder, or JSON lines as `export` writes them.")
    ],
    model: Annotated[str, typer.Option("--model", help="A name of `models list`, a folder, …")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the trained model.")],
    lora: Annotated[
        bool, typer.Option("--lora/--full", help="Train LoRA adapters, or all weights.")
    ] = True,
    load_in_4bit: Annotated[
        bool, typer.Option("--load-in-4bit", help="QLoRA: needs a GPU and bitsandbytes.")
    ] = False,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Save the adapter alone; do not merge it.")
    ] = False,
    epochs: Annotated[
        float | None, typer.Option("--epochs", min=0.01, help="At most (default 3).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0, help="Default 2e-4, for `full` 2e-5.")
    ] = None,
    max_length: Annotated[
        int, typer.Option("--max-length", min=16, help="Longer rows are left out, and counted.")
    ] = 1024,
    validation: Annotated[
        float, typer.Option("--validation", min=0, max=0.5, help="Share held out, the last rows.")
    ] = 0.1,
    answers: Annotated[
        AnswersName, typer.Option("--answers", help="Whose outputs to learn.")
    ] = AnswersName.OWN,
    with_seeds: Annotated[
        bool, typer.Option("--with-seeds", help="Learn the run's seed tasks too.")
    ] = False,
    decontaminate: Annotated[
        Path | None,
        typer.Option("--decontaminate", help="Leave out what repeats tasks of this file."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every draw.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with fields of TRL's SFTConfig.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="One such field. May be repeated."),
    ] = None,
) -> None:
    """Fine-tune a model on the accepted tasks of a run, and save it for vLLM and transformers.

    The loss is on the answers alone, and training stops when the validation loss no longer
    falls.
    """
    from functools import partial

    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    from selfinstruct.config_values import parse_settings, read_yaml
    from selfinstruct.errors import DivergedError, TrainError
    from selfinstruct.export import Answers
    from selfinstruct.models import resolve_model
    from selfinstruct.train.card import model_card
    from selfinstruct.train.progress import is_main_process
    from selfinstruct.train.rows import near_threshold, read_rows, split_rows
    from selfinstruct.train.sft import SftSettings, train_sft

    options: dict[str, Any] = read_yaml(config) if config is not None else {}
    options |= parse_settings(settings or [])
    options = {key: _number(value) for key, value in options.items()}
    for key, value in (("num_train_epochs", epochs), ("learning_rate", learning_rate)):
        if value is not None:
            options[key] = value
    rows = read_rows(data, answers=Answers(str(answers)), with_seeds=with_seeds)
    if decontaminate is not None:
        rows = _without_copies(rows, decontaminate)
    split = split_rows(rows, validation, near_threshold(data))
    if split.near:
        stderr.print(
            f"{len(split.near)} of the last rows are near neighbours of others: in neither part",
            highlight=False,
        )
    how = SftSettings(
        method=_method(lora, load_in_4bit, adapter_only),
        merge=not adapter_only,
        max_length=max_length,
        seed=seed,
        options=options,
    )
    chosen = {"answers": str(answers)} if data.is_dir() else {}
    if with_seeds:
        chosen["with seeds"] = "yes"
    if decontaminate is not None:
        chosen["decontaminated against"] = f"`{decontaminate.name}`"
    local = resolve_model(model, lambda *_: None)
    console = terminal()
    console.quiet = not is_main_process()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    columns = (
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("training", total=None, told="")
        try:
            result = train_sft(
                split,
                local,
                out,
                how,
                partial(_show, progress, bar),
                resume=resume,
                card=partial(model_card, data, chosen, local, how),
            )
        except (KeyboardInterrupt, TrainError) as error:
            progress.stop()
            if is_main_process() and not isinstance(error, DivergedError):
                _say_how_to_go_on(out)
            raise
    if is_main_process():
        _finished(result, out, model, whole=not adapter_only)


def _number(value: Any) -> Any:
    """Return 2e-4, which YAML takes for text, as the number that it is."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _method(lora: bool, load_in_4bit: bool, adapter_only: bool) -> str:
    from selfinstruct.errors import ConfigError

    if not lora and (load_in_4bit or adapter_only):
        raise ConfigError("--full: trains all weights, without an adapter; leave the other out")
    if not lora:
        return "full"
    return "qlora" if load_in_4bit else "lora"


def _without_copies(rows: list[Any], file: Path) -> list[Any]:
    """Leave out rows that repeat tasks of an evaluation, and say which."""
    from selfinstruct.errors import ConfigError
    from selfinstruct.evaluate.tasks import read_eval_tasks
    from selfinstruct.prompts.canonical import user_text
    from selfinstruct.train.rows import decontaminate

    tasks = read_eval_tasks(file, "--decontaminate")
    texts = [user_text(task.instruction, task.input) for task in tasks]
    texts += [task.instruction for task in tasks]
    kept, removed = decontaminate(rows, texts, 0.7)
    stderr.print(
        f"{len(removed)} of {len(rows)} rows repeat tasks of {file} and are left out"
        f"{f', the first {_TOLD} of them' if len(removed) > _TOLD else ''}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for one in removed[:_TOLD]:
        shown = json.dumps({"row": one.row.id, "how": one.how, "instruction": one.row.instruction})
        stderr.print(f"  {shown}", markup=False, highlight=False, soft_wrap=True)
    if not kept:
        raise ConfigError(
            f"{file}: every row repeats one of its tasks; nothing is left to train on"
        )
    return kept


def _say_how_to_go_on(out: Path) -> None:
    from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint

    checkpoint = last_checkpoint(out / CHECKPOINTS)
    kept = f"{checkpoint.name} is safe" if checkpoint else "before there was a checkpoint"
    stderr.print(f"\n[yellow]stopped early[/], {kept}. Go on with:", highlight=False)
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    command = shlex.join(["selfinstruct", *arguments, "--resume"])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _show(progress: Progress, bar: TaskID, event: TrainProgress) -> None:
    speed = event.tokens / event.seconds if event.seconds else 0.0
    told = f"epoch {event.epoch:.1f}"
    if event.loss is not None:
        told += f" · loss {event.loss:.3f}"
    if speed:
        told += f" · {speed:,.0f} tokens/s"
    progress.update(bar, completed=event.step, total=event.steps, told=told)
    if event.validation_loss is not None:
        stderr.print(
            f"epoch {event.epoch:.1f}: validation loss {event.validation_loss:.4f} nats per token",
            highlight=False,
        )


def _finished(result: SftResult, out: Path, baseline: str, whole: bool) -> None:
    stdout.print(
        f"trained on {result.train_rows} rows, {result.tokens:,} tokens in {result.steps} steps "
        f"and {result.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
    if not whole:
        return
    words = ["selfinstruct", "evaluate", "--model", f"base={baseline}", "--model", f"sft={out}"]
    words += ["--out", f"{out}-eval"]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
