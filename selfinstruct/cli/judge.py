"""`selfinstruct audit judge`: a model judges the accepted tasks of a run by a rubric."""

from __future__ import annotations

import shlex
import signal
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.decide import RunFolder
from selfinstruct.cli.options import (
    ANY_MODEL,
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


def judge(
    run: RunFolder,
    model: Annotated[str, typer.Option("--judge", help=f"MODEL that judges: {ANY_MODEL}.")],
    rubric: Annotated[
        str,
        typer.Option(
            "--rubric",
            help="What the judge is asked: paper (three yes/no questions; the score is the share "
            "of yes), usefulness (1 to 5), or a file.",
        ),
    ] = "paper",
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
            help="Any key under `model`, `engine` or `instances.sampling`. May be repeated.",
        ),
    ] = None,
) -> None:
    """Have a model judge every accepted task of a run; keep its scores and reasons.

    No verdict changes. `audit whatif --min-judge-score` shows what a threshold would reject, and
    `export --min-judge-score` applies one. Run it again to continue after a stop.

    Example:
        selfinstruct audit judge outputs/first --judge bundled --rubric paper
    """
    from selfinstruct.cli.bars import Bars
    from selfinstruct.config.values import engine_of, nested, overlay, parse_settings
    from selfinstruct.engines.registry import build_engine
    from selfinstruct.generate.answer_way import Asking
    from selfinstruct.generate.judge import judge as judge_run
    from selfinstruct.models.endpoint import with_endpoint
    from selfinstruct.prompts.judging import load_rubric
    from selfinstruct.store import open_run

    asked = load_rubric(rubric)
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
    opened = open_run(run)
    required_engine(engine_of(values))
    signal.signal(signal.SIGTERM, interrupt)
    console = terminal()
    log_to(console)
    with Bars(console) as progress:
        bar = progress.add_task("judging", total=None)
        asking = Asking(
            make_engine=build_engine,
            model_progress=lambda what, _: progress.update(bar, description=f"model: {what}"),
            advance=lambda done, owed: progress.update(
                bar, description="judging", completed=done, total=owed
            ),
        )
        result = judge_run(opened, values, asked, asking)
    if not result.owed:
        stdout.print(f"{model} has already judged every task by {asked.name}", markup=False)
        return
    unread = f", {result.unread} without a score" if result.unread else ""
    stdout.print(f"{result.written} of {result.owed} tasks judged{unread}", highlight=False)
    words = ["selfinstruct", "audit", "whatif", str(run), "--min-judge-score", "1"]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
