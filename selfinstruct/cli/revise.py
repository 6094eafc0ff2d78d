"""`selfinstruct revise`: answers are criticised by principles, and rewritten."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    ANY_MODEL,
    LABELS,
    MODEL,
    BaseUrlOption,
    ConverseEngineOption,
    DtypeOption,
    PromptingOption,
    SystemOption,
    interrupt,
    text_or_file,
)


def revise(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    principles: Annotated[
        Path | None,
        typer.Option(
            "--principles",
            help="YAML file of principles, of which one is drawn for each step."
            + default("the shipped ones"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            min=1,
            help="Steps of critique and revision for each output." + default("1"),
        ),
    ] = None,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="Have the model answer each task itself first, and revise that answer; needed for "
            "tasks without an output.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"Another MODEL that criticises and rewrites: {ANY_MODEL}."
            + default("the run's own"),
            rich_help_panel=MODEL,
        ),
    ] = None,
    engine: ConverseEngineOption = None,
    base_url: BaseUrlOption = None,
    dtype: DtypeOption = None,
    prompting: PromptingOption = None,
    system: SystemOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key under `revise`, `model`, `engine` or `instances.sampling`, such as "
            "revise.may_decline=false. May be repeated.",
        ),
    ] = None,
) -> None:
    """Have a model criticise each answer by a principle and rewrite it (Constitutional AI).

    Run it again to continue after a stop, or after the run has grown. `export --answers revision`
    writes the revisions, and `export --as-pairs` pairs of draft and revision.

    Example:
        selfinstruct revise outputs/first --rounds 2
    """
    from selfinstruct import api
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import EngineError, WriteError
    from selfinstruct.config.values import nested, overlay, parse_settings

    options: dict[str, Any] = {
        "revise.rounds": rounds,
        "revise.draft": draft or None,
        "model.name": model,
        "engine.name": engine,
        "model.dtype": dtype and str(dtype),
        "model.prompting": prompting and str(prompting),
        "model.system": system and text_or_file(system),
    }
    values = nested({key: value for key, value in options.items() if value is not None})
    values = overlay(values, parse_settings(settings or []))
    signal.signal(signal.SIGTERM, interrupt)
    console = terminal()
    log_to(console)
    with Bars(console) as progress:
        bar = progress.add_task("revising", total=None)
        try:
            result = api.revise(
                run,
                principles=principles,
                base_url=base_url,
                settings=values,
                advance=lambda done, owed: progress.update(bar, completed=done, total=owed),
            )
        except (KeyboardInterrupt, EngineError, WriteError):
            progress.stop()
            stderr.print(
                "\n[yellow]stopped early[/]; all committed revisions are safe. Continue with:"
            )
            command = shlex.join(["selfinstruct", *sys.argv[1:]])
            stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    stdout.print(str(result), markup=False, highlight=False, soft_wrap=True)
    if result.accepted:
        words = [
            "selfinstruct",
            "export",
            str(run),
            "--as-pairs",
            "--out",
            str(run / "pairs.jsonl"),
        ]
        stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
