"""`selfinstruct converse`: self-chats that the tasks of a run open."""

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
    MODEL,
    BaseUrlOption,
    ConverseEngineOption,
    DtypeOption,
    PromptingOption,
    SystemOption,
    interrupt,
    text_or_file,
)


def converse(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    turns: Annotated[
        int | None,
        typer.Option(
            "--turns",
            min=2,
            help="Maximum exchanges per conversation, the task itself included." + default("3"),
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"Another MODEL that plays both sides: {ANY_MODEL}." + default("the run's own"),
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
            help="Any key under `converse`, `model`, `engine` or `instances.sampling`, such as "
            "converse.max_shared=0.8. May be repeated.",
        ),
    ] = None,
) -> None:
    """Continue each accepted task as a conversation of the model with itself.

    Run it again to continue after a stop, or after the run has grown. `export` writes whole
    conversations in the formats that hold them.

    Example:
        selfinstruct converse outputs/first --turns 3
    """
    from selfinstruct import api
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import EngineError, WriteError
    from selfinstruct.config.values import nested, overlay, parse_settings

    options: dict[str, Any] = {
        "converse.turns": turns,
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
        bar = progress.add_task("conversing", total=None)
        try:
            result = api.converse(
                run,
                base_url=base_url,
                settings=values,
                advance=lambda done, owed: progress.update(bar, completed=done, total=owed),
            )
        except (KeyboardInterrupt, EngineError, WriteError):
            progress.stop()
            stderr.print(
                "\n[yellow]stopped early[/]; all committed conversations are safe. Continue with:"
            )
            command = shlex.join(["selfinstruct", *sys.argv[1:]])
            stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    stdout.print(str(result), highlight=False, soft_wrap=True)
    if result.written:
        words = ["selfinstruct", "export", str(run), "--format", "messages"]
        words += ["--out", str(run / "messages.jsonl")]
        stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
