"""`selfinstruct train`: what its commands share (options, progress, and how to continue)."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.help import ending
from selfinstruct.cli.options import interrupt

if TYPE_CHECKING:
    from rich.progress import TaskID

    from selfinstruct.cli.bars import Bars
    from selfinstruct.train.health.verdict import Warned
    from selfinstruct.train.recipe import DataT, Job, Recipe, ResultT, SettingsT
    from selfinstruct.train.watching import TrainProgress

app = typer.Typer(
    help="Train a model on a run, with TRL.",
    epilog=ending("selfinstruct train sft --data outputs/first --model bundled --out outputs/sft"),
    no_args_is_help=True,
)


def run_recipe(
    recipe: Recipe[DataT, SettingsT, ResultT], job: Job[DataT, SettingsT], *, dry: bool = False
) -> ResultT | None:
    """Train, and show the progress; return the result in the process that prints it.

    A dry run prints what the training would do instead, and has no result.
    """
    if dry:
        _print_dry_run(recipe, job)
        return None
    from selfinstruct.train.runner import train
    from selfinstruct.train.watching import is_main_process

    with _watched(job.out, recipe.unit) as listen:
        result = train(recipe, job, listen)
    return result if is_main_process() else None


def _print_dry_run(recipe: Recipe[Any, Any, Any], job: Job[Any, Any]) -> None:
    from selfinstruct.cli.dry_run import print_plan
    from selfinstruct.train.planning import plan
    from selfinstruct.train.watching import is_main_process

    log_to(terminal())
    planned = plan(recipe, job)
    if is_main_process():
        print_plan(planned)


def print_trained(learnt: str, tokens: int, steps: int, seconds: float) -> None:
    """Print what was trained on; `learnt` counts rows or pairs."""
    stdout.print(
        f"trained on {learnt}, {tokens:,} tokens in {steps} steps and {seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )


def print_dropped(dropped: Mapping[str, int]) -> None:
    """Print how many examples were dropped, by reason."""
    if dropped:
        shown = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        stdout.print(f"dropped: {shown}", highlight=False)


def print_warnings(warnings: Sequence[Warned]) -> None:
    """Print what is wrong with a training, and what to try."""
    for warned in warnings:
        stderr.print(f"[yellow]{warned.trouble}[/]: {warned.found}", highlight=False)
        stderr.print(f"  {warned.advice}", markup=False, highlight=False, soft_wrap=True)
    if not warnings:
        stdout.print("these numbers show nothing wrong")


def print_evaluation(before: str, trained: str, out: Path, more: Sequence[str] = ()) -> None:
    """Print the command that compares the trained model; both are NAME=MODEL."""
    words = ["selfinstruct", "evaluate", "--model", before, "--model", trained]
    words += [*more, "--out", f"{out}-eval"]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _watched(out: Path, unit: str) -> Iterator[Callable[[TrainProgress], object]]:
    """Show how far a training is; after an interruption say how to continue."""
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import DivergedError, TrainError
    from selfinstruct.train.watching import is_main_process

    console = terminal()
    console.quiet = not is_main_process()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Bars(console) as progress:
        bar = progress.add_task("training", total=None)
        try:
            yield partial(_show, progress, bar, unit)
        except (KeyboardInterrupt, TrainError) as error:
            progress.stop()
            if is_main_process() and not isinstance(error, DivergedError):
                _say_how_to_go_on(out)
            raise


def _say_how_to_go_on(out: Path) -> None:
    from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint

    checkpoint = last_checkpoint(out / CHECKPOINTS)
    kept = f"{checkpoint.name} is safe" if checkpoint else "before there was a checkpoint"
    stderr.print(f"\n[yellow]stopped early[/], {kept}. Continue with:", highlight=False)
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    command = shlex.join(["selfinstruct", *arguments, "--resume"])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _show(progress: Bars, bar: TaskID, unit: str, event: TrainProgress) -> None:
    speed = event.tokens / event.seconds if event.seconds else 0.0
    if event.what != "training":
        # One step alone gives no fraction.
        done, total = (event.step, event.steps) if event.steps > 1 else (0, None)
        progress.update(bar, description=event.what, completed=done, total=total, details="")
        return
    details = f"epoch {event.epoch:.1f}"
    if event.loss is not None:
        details += f" · loss {event.loss:.3f}"
    if speed:
        details += f" · {speed:,.0f} tokens/s"
    progress.update(
        bar,
        description=event.what,
        completed=event.step,
        total=event.steps or None,
        details=details,
    )
    if event.validation_loss is not None:
        stderr.print(
            f"epoch {event.epoch:.1f}: validation loss {event.validation_loss:.4f} {unit}",
            highlight=False,
        )
