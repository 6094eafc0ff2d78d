"""`selfinstruct answer`: a teacher's outputs for the tasks of a run."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
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

    Run it again to continue after a stop. `export --answers` chooses which outputs are exported.

    Example:
        selfinstruct answer outputs/first --model gemma-3-270m
    """
    from rich.markup import escape

    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.config.values import engine_of, nested, overlay, parse_settings
    from selfinstruct.engines.registry import build_engine
    from selfinstruct.generate.answer import answer as answer_run
    from selfinstruct.models.endpoint import with_endpoint
    from selfinstruct.store import open_run

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
            answered = answer_run(
                opened,
                values,
                make_engine=build_engine,
                model_progress=lambda what, _: progress.update(bar, description=f"model: {what}"),
                advance=lambda done, owed: progress.update(
                    bar, description=f"answering with {shown}", completed=done, total=owed
                ),
            )
        except KeyboardInterrupt:
            progress.stop()
            stderr.print("\n[yellow]interrupted[/]; all committed answers are safe. Continue with:")
            command = shlex.join(["selfinstruct", *sys.argv[1:]])
            stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    if not answered.owed:
        stdout.print(
            f"{model} has already answered every task with these settings",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    stdout.print(f"{answered.accepted} of {answered.written} answers accepted", highlight=False)
    words = ["selfinstruct", "export", str(run), "--answers", "prefer-teacher"]
    words += ["--format", "messages", "--out", str(run / "messages.jsonl")]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
