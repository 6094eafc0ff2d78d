"""`selfinstruct answer`: a teacher's outputs for the tasks of a run."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    ANY_MODEL,
    MODEL,
    BaseUrlOption,
    Cluster,
    DtypeOption,
    EngineOption,
    PromptingOption,
    SystemOption,
    interrupt,
    required_engine,
    text_or_file,
)

if TYPE_CHECKING:
    from selfinstruct.generate.answer_way import Answered
    from selfinstruct.generate.own_answers import OwnSettings

OWN = "A model's own answers to closed tasks"


def answer(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    model: Annotated[
        str,
        typer.Option("--model", help=f"Teacher MODEL: {ANY_MODEL}.", rich_help_panel=MODEL),
    ],
    engine: EngineOption = None,
    base_url: BaseUrlOption = None,
    cluster: Cluster = Cluster(),
    dtype: DtypeOption = None,
    prompting: PromptingOption = None,
    system: SystemOption = None,
    votes: Annotated[
        int | None,
        typer.Option(
            "--votes",
            min=2,
            metavar="K",
            help="Sample K answers to each closed task and keep the most frequent one.",
            rich_help_panel=OWN,
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            "--min-agreement",
            min=0,
            max=1,
            metavar="SHARE",
            help="With --votes: minimum share of the votes for the most frequent answer."
            + default("0"),
            rich_help_panel=OWN,
        ),
    ] = None,
    rationale: Annotated[
        bool,
        typer.Option(
            "--rationale",
            help="Ask for a step-by-step rationale and a final answer.",
            rich_help_panel=OWN,
        ),
    ] = False,
    keep_if_match: Annotated[
        bool,
        typer.Option(
            "--keep-if-match",
            help="With --rationale: keep an answer only if it matches the task's known output; "
            "if not, ask again with that output as a hint (STaR).",
            rich_help_panel=OWN,
        ),
    ] = False,
    all_tasks: Annotated[
        bool,
        typer.Option(
            "--all-tasks",
            help="With --votes or --rationale: also answer open tasks.",
            rich_help_panel=OWN,
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key under `model`, `engine` or `instances.sampling`, such as "
            "instances.sampling.max_tokens=1024. May be repeated.",
        ),
    ] = None,
) -> None:
    """Write outputs for the accepted tasks with another model, and keep the run's own outputs.

    With --votes or --rationale, the model writes outputs for closed tasks: those with one short
    answer. It may be the run's own model. Run it again to continue after a stop. `export
    --answers` chooses which outputs are exported.

    Example:
        selfinstruct answer outputs/first --model gemma-3-270m
    """
    from rich.markup import escape

    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.config.values import engine_of, nested, overlay, parse_settings
    from selfinstruct.engines.registry import build_engine
    from selfinstruct.generate.answer import answer as answer_run
    from selfinstruct.generate.answer_way import Asking
    from selfinstruct.generate.own_answers import OwnSettings, answer_own, check_own
    from selfinstruct.models.endpoint import with_endpoint
    from selfinstruct.store import open_run

    own = OwnSettings(votes, rationale, keep_if_match, min_agreement, all_tasks)
    check_own(own)
    options: dict[str, Any] = {
        "model.name": model,
        "engine.name": engine,
        "engine.base_url": base_url,
        "model.dtype": dtype and str(dtype),
        "model.prompting": prompting and str(prompting),
        "model.system": system and text_or_file(system),
    }
    values = nested({key: value for key, value in options.items() if value is not None})
    values = overlay(values, cluster.values())
    values = with_endpoint(overlay(values, parse_settings(settings or [])))
    if run.is_file():
        raise ConfigError(
            f"{run}: is a file, and `answer` writes into a run; to have a model answer the "
            f"prompts of a file, use: selfinstruct best-of {run} --policy {model} --out DIR"
        )
    opened = open_run(run)
    required_engine(engine_of(values))
    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    shown = escape(model)
    with Bars(console) as progress:
        bar = progress.add_task(f"answering with {shown}", total=None)
        try:
            asking = Asking(
                make_engine=build_engine,
                model_progress=lambda what, _: progress.update(bar, description=f"model: {what}"),
                advance=lambda done, owed: progress.update(
                    bar, description=f"answering with {shown}", completed=done, total=owed
                ),
            )
            if own.is_own:
                answered = answer_own(opened, values, own, asking)
            else:
                answered = answer_run(
                    opened,
                    values,
                    make_engine=asking.make_engine,
                    model_progress=asking.model_progress,
                    advance=asking.advance,
                )
        except KeyboardInterrupt:
            progress.stop()
            stderr.print("\n[yellow]interrupted[/]; all committed answers are safe. Continue with:")
            command = shlex.join(["selfinstruct", *sys.argv[1:]])
            stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    _print_answered(run, model, answered, own)


def _print_answered(run: Path, model: str, answered: Answered, own: OwnSettings) -> None:
    """Say what was written, what was not, and what comes next."""
    if answered.skipped:
        skipped = f"{answered.skipped} open tasks skipped; --all-tasks answers them too"
        stderr.print(skipped, highlight=False)
    if not answered.owed:
        what = "closed task" if own.is_own and not own.all_tasks else "task"
        stdout.print(
            f"{model} has already answered every {what} with these settings",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    stdout.print(f"{answered.accepted} of {answered.written} answers accepted", highlight=False)
    if answered.failed:
        stderr.print(
            f"{answered.failed} tasks are still owed: a request failed; run the same command again",
            highlight=False,
        )
    whose = "prefer-teacher"
    if own.is_own:
        whose = "votes" if own.votes is not None else "rationales"
    words = ["selfinstruct", "export", str(run), "--answers", whose]
    words += ["--format", "messages", "--out", str(run / "messages.jsonl")]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
