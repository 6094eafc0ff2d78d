"""`selfinstruct align`: the whole chain, from seed tasks to an aligned model and a report."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.align.settings import AI, GOLD
from selfinstruct.align.steps import KINDS, METHODS
from selfinstruct.cli.console import stderr, stdout, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    LABELS,
    LOCAL_MODEL,
    EngineOption,
    SeedsOption,
    interrupt,
    renamed,
    required_engine,
)

if TYPE_CHECKING:
    from selfinstruct.align.settings import AlignSettings
    from selfinstruct.align.stages import Stage

JUDGE = "bundled"


class Feedback(StrEnum):
    """Whose feedback, where not the labeller's of `prefer`."""

    AI = AI


_NAMES, _KINDS = ", ".join(step.kind for step in METHODS), ", ".join(KINDS)


def align(
    out: Annotated[Path, typer.Option("--out", help="Folder of the chain.")],
    model: Annotated[
        str,
        typer.Option("--model", help=f"MODEL that writes the tasks and is trained: {LOCAL_MODEL}."),
    ] = "bundled",
    target: Annotated[int, typer.Option("--target", min=1, help="Tasks to generate.")] = 150,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME,…",
            help=f"Methods to train and compare, also with the prompted model: {_NAMES}. May be "
            "repeated." + default("dpo, without the prompted model"),
        ),
    ] = None,
    iterations: Annotated[
        int,
        typer.Option(
            "--iterations",
            min=1,
            help="How often to sample answers, label them, train a reward model on all labels so "
            "far, and train the policy by the one --method.",
        ),
    ] = 1,
    gold: Annotated[
        str,
        typer.Option(
            "--gold",
            metavar="KIND[:VALUE]",
            help="Independent scorer of the policies, as --reward of `train rl` names them, or "
            "`none`.",
        ),
    ] = GOLD,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="MODEL that compares answers at the end, or `none`."
            + default("bundled; none if that model labels the answers"),
        ),
    ] = None,
    feedback: Annotated[
        Feedback | None,
        typer.Option(
            "--feedback",
            metavar="WHOSE",
            help="ai: the model revises its answers by principles before fine-tuning, and labels "
            "the policy's answers by them (RLAIF)." + default("the labeller `likelihood`"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    principles: Annotated[
        Path | None,
        typer.Option(
            "--principles",
            help="With --feedback ai: YAML file of principles." + default("the shipped ones"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    seeds: SeedsOption = None,
    engine: EngineOption = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--stage-options",
            metavar="STAGE=OPTIONS",
            help=f"Further options for a stage ({_KINDS}), such as "
            'sft="--epochs 1". May be repeated.',
        ),
    ] = None,
    stage: Annotated[list[str] | None, renamed("--stage")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
) -> None:
    """Generate, fine-tune, rank the model's own answers, train on the ranking, and evaluate.

    All results go into one folder. Each stage is a command in its own process. Run the same command
    again to continue: it skips finished stages. More methods or iterations continue a folder too.
    Use another folder for another model, target or option.

    Example:
        selfinstruct align --out outputs/aligned --target 150
    """
    from selfinstruct.align.chain import StageFailed
    from selfinstruct.align.chain import align as run_chain
    from selfinstruct.align.page import write_page
    from selfinstruct.align.settings import AlignSettings

    settings = AlignSettings(
        model=model,
        target=target,
        judge=None,
        seed=seed,
        seeds=seeds,
        options=_options([*(stage or []), *(options or [])]),
        engine=engine,
        methods=_methods(method or []),
        iterations=iterations,
        gold=None if gold == "none" else gold,
        feedback=feedback and str(feedback),
        principles=None if principles is None else str(principles),
    )
    if judge is None:
        judge = "none" if settings.label_judge == JUDGE else JUDGE
    settings = replace(settings, judge=None if judge == "none" else judge)
    _check(out, settings)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        report = run_chain(out, settings, _run, _tell, _draw)
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
    from selfinstruct.align.chain import check_settings
    from selfinstruct.align.stages import stages_of
    from selfinstruct.dataset.read import read_any
    from selfinstruct.inputs.seed_rows import seeds_of
    from selfinstruct.models import check_model
    from selfinstruct.prompts.principles import read_principles
    from selfinstruct.train.libraries import require_trl
    from selfinstruct.train.rewards.parse import parse_gold

    check_settings(settings)
    for stage in stages_of(out, settings):
        _parse(stage)
    if settings.gold is not None:
        parse_gold(settings.gold, ())
    if settings.by_principles:
        read_principles(settings.principles)
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
        raise ConfigError(f"--stage-options {stage.step.kind}: {error.format_message()}") from error


def _methods(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the methods that were named, each once.

    Raises:
        ConfigError: there is none of a name.
    """
    from selfinstruct.align.steps import method_named

    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(dict.fromkeys(map(method_named, names)))


def _options(stage_options: Sequence[str]) -> dict[str, list[str]]:
    from selfinstruct.common.errors import ConfigError, why
    from selfinstruct.common.suggest import did_you_mean

    by_stage: dict[str, list[str]] = {}
    for text in stage_options:
        name, mark, words = text.partition("=")
        if not mark or name not in KINDS:
            raise ConfigError(
                f"--stage-options {text}: give STAGE=OPTIONS; {did_you_mean(name, KINDS)}"
                f"the stages are {', '.join(KINDS)}"
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


def _draw(out: Path, settings: AlignSettings, stages: Sequence[Stage]) -> dict[str, Any]:
    """Draw the curve of the iterations, and show how far it is."""
    from selfinstruct.align.curve import draw_curve
    from selfinstruct.cli.bars import Bars
    from selfinstruct.engines.isolated import apart

    with Bars(terminal()) as bars:
        bar = bars.add_task("policies measured", total=None)
        return draw_curve(
            out,
            settings,
            stages,
            apart=apart,
            advance=lambda done, total: bars.update(bar, completed=done, total=total),
        )


def _print(report: dict[str, Any]) -> None:
    from selfinstruct.cli.align_tables import print_curve, print_table

    print_table(report["table"])
    if "curve" in report:
        print_curve(report["curve"])
    minutes = ", ".join(f"{one['name']} {one['seconds'] / 60:.1f}" for one in report["stages"])
    stdout.print(f"minutes: {minutes}; {report['seconds'] / 60:.1f} in all", highlight=False)
