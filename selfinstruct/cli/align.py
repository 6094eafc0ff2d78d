"""`selfinstruct align`: the whole chain, from seed tasks to an aligned model and a report."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.options import (
    LOCAL_MODEL,
    EngineOption,
    SeedsOption,
    interrupt,
    renamed,
    required_engine,
)

if TYPE_CHECKING:
    from selfinstruct.align.chain import AlignSettings, Stage


def align(
    out: Annotated[Path, typer.Option("--out", help="Folder of the chain.")],
    model: Annotated[
        str,
        typer.Option("--model", help=f"MODEL that writes the tasks and is trained: {LOCAL_MODEL}."),
    ] = "bundled",
    target: Annotated[int, typer.Option("--target", min=1, help="Tasks to generate.")] = 150,
    judge: Annotated[
        str,
        typer.Option("--judge", help="MODEL that compares answers at the end, or `none`."),
    ] = "bundled",
    seeds: SeedsOption = None,
    engine: EngineOption = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--stage-options",
            metavar="STAGE=OPTIONS",
            help="Further options for a stage (generate, export, sft, prefer, dpo, evaluate), such "
            'as sft="--epochs 1". May be repeated.',
        ),
    ] = None,
    stage: Annotated[list[str] | None, renamed("--stage")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
) -> None:
    """Generate, fine-tune, rank the model's own answers, train on the ranking (DPO), and evaluate.

    All results go into one folder. Each stage is a command in its own process. Run the same command
    again to continue: it skips finished stages. Use another folder for another model, target or
    option.

    Example:
        selfinstruct align --out outputs/aligned --target 150
    """
    from selfinstruct.align.chain import AlignSettings, StageFailed
    from selfinstruct.align.chain import align as run_chain
    from selfinstruct.align.page import write_page

    settings = AlignSettings(
        model=model,
        target=target,
        judge=None if judge == "none" else judge,
        seed=seed,
        seeds=seeds,
        options=_options([*(stage or []), *(options or [])]),
        engine=engine,
    )
    _check(out, settings)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        report = run_chain(out, settings, _run, _tell)
    except (StageFailed, KeyboardInterrupt) as failed:
        arguments = shlex.join(["selfinstruct", *sys.argv[1:]])
        stderr.print("\nfinished stages are kept. To continue, run the same command:")
        stderr.print(f"  {arguments}", markup=False, highlight=False, soft_wrap=True)
        if isinstance(failed, StageFailed):
            raise typer.Exit(failed.code) from failed
        raise
    write_page(report, out)
    _print(report)
    stderr.print(f"  {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _check(out: Path, settings: AlignSettings) -> None:
    """Refuse at once what a stage would refuse after hours.

    Raises:
        ConfigError: a model, a file, an option of a stage, or a missing package.
    """
    from selfinstruct.align.chain import stages_of
    from selfinstruct.dataset.read import read_any
    from selfinstruct.inputs.seed_rows import seeds_of
    from selfinstruct.models import check_model
    from selfinstruct.train.libraries import require_trl

    for stage in stages_of(out, settings):
        _parse(stage)
    if settings.seeds is not None:
        seeds_of(read_any(settings.seeds, "--seeds"))
    check_model(settings.model)
    if settings.judge is not None:
        check_model(settings.judge)
    required_engine(settings.engine)
    require_trl()


def _parse(stage: Stage) -> None:
    """Parse the command of a stage, as its process will.

    Raises:
        ConfigError: an option or a value is wrong.
    """
    import typer.main
    from typer.exceptions import TyperException

    from selfinstruct.cli.app import app, with_values
    from selfinstruct.common.errors import ConfigError

    command: Any = typer.main.get_command(app)
    words = list(stage.words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    try:
        command.make_context(stage.name, with_values(words))
    except TyperException as error:
        raise ConfigError(f"--stage-options {stage.name}: {error.format_message()}") from error


def _options(stage_options: Sequence[str]) -> dict[str, list[str]]:
    from selfinstruct.align.chain import STAGES
    from selfinstruct.common.errors import ConfigError, why
    from selfinstruct.common.suggest import did_you_mean

    by_stage: dict[str, list[str]] = {}
    for text in stage_options:
        name, mark, words = text.partition("=")
        if not mark or name not in STAGES:
            raise ConfigError(
                f"--stage-options {text}: give STAGE=OPTIONS; {did_you_mean(name, STAGES)}"
                f"the stages are {', '.join(STAGES)}"
            )
        try:
            by_stage.setdefault(name, []).extend(shlex.split(words))
        except ValueError as error:
            raise ConfigError(f"--stage-options {text}: {why(error)}") from error
    return by_stage


def _run(words: Sequence[str]) -> int:
    """Run a command; on an interruption, wait until it has ended."""
    process = subprocess.Popen([sys.executable, "-m", "selfinstruct", *words])
    try:
        code = process.wait()
    except KeyboardInterrupt:
        if process.poll() is None:
            process.terminate()  # the terminal sends it Ctrl-C, but not our SIGTERM
        if process.wait() != 0:
            raise
        code = 0
    return code if code >= 0 else 128 - code


def _tell(name: str, number: int, count: int, ready: bool) -> None:
    done = "done before" if ready else "…"
    stderr.rule(f"{number}/{count} {name} {done}", style="bold")


def _print(report: dict[str, Any]) -> None:
    minutes = ", ".join(f"{one['name']} {one['seconds'] / 60:.1f}" for one in report["stages"])
    stdout.print(f"minutes: {minutes}; {report['seconds'] / 60:.1f} in all", highlight=False)
