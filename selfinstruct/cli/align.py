"""`selfinstruct align`: the whole chain, from seed tasks to an aligned model and a report."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import DATA
from selfinstruct.cli.options import EngineOption, interrupt, required_engine


def align(
    out: Annotated[Path, typer.Option("--out", help="Folder of the chain.")],
    model: Annotated[
        str, typer.Option("--model", help="MODEL that writes the tasks and is trained.")
    ] = "bundled",
    target: Annotated[int, typer.Option("--target", min=1, help="Tasks to generate.")] = 150,
    judge: Annotated[
        str,
        typer.Option("--judge", help="MODEL that compares answers at the end, or `none`."),
    ] = "bundled",
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="DATA", help=f"Seed tasks: {DATA}.")
    ] = None,
    engine: EngineOption = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="STAGE=OPTIONS",
            help='More options of a stage: --stage sft="--epochs 1". May be repeated.',
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
) -> None:
    """Generate, fine-tune, rank the model's own answers, optimise, and evaluate, in one folder.

    Each stage is a command in its own process. Run the same command again to continue: it skips
    finished stages. Use another folder for another model, target or option.
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
        options=_options(options or []),
        engine=engine,
    )
    if engine is not None:
        required_engine(engine)
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


def _options(stage_options: Sequence[str]) -> dict[str, list[str]]:
    from selfinstruct.align.chain import STAGES
    from selfinstruct.common.errors import ConfigError

    by_stage: dict[str, list[str]] = {}
    for text in stage_options:
        name, mark, words = text.partition("=")
        if not mark or name not in STAGES:
            raise ConfigError(
                f"--stage {text}: give STAGE=OPTIONS, with a stage of {', '.join(STAGES)}"
            )
        try:
            by_stage.setdefault(name, []).extend(shlex.split(words))
        except ValueError as error:
            raise ConfigError(f"--stage {text}: {error}") from error
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
