"""`selfinstruct complete`: the instances that instructions of a run lack."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.options import RunEngineOption, interrupt, required_engine


def complete(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    engine: RunEngineOption = None,
) -> None:
    """Write the inputs and outputs of instructions that have none yet (`pending_instances`).

    An instruction is in this state if it passed when a run was judged again (`audit whatif --out`,
    `merge`), if a person restored it (`audit restore`), or if the engine failed on its instances
    (`engine_error`). The command uses the run's own model, prompts, rules and engine; you can name
    another engine. Run it again to continue after a stop.

    Example:
        selfinstruct complete outputs/first
    """
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import EngineError, WriteError
    from selfinstruct.engines.registry import build_engine
    from selfinstruct.generate.complete import complete as complete_run
    from selfinstruct.generate.complete import pending
    from selfinstruct.inputs.run_inputs import stored_config
    from selfinstruct.store import open_run, run_lock
    from selfinstruct.store.commits import count_commits, has_uncounted

    opened = open_run(run)
    if not pending(opened):
        if has_uncounted(opened):
            with run_lock(opened.path):
                count_commits(opened)
        stdout.print("no instruction waits for its instances", highlight=False)
        return
    required_engine(engine or stored_config(opened).engine.name)
    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Bars(console) as progress:
        bar = progress.add_task("writing instances", total=None)
        try:
            result = complete_run(
                opened,
                make_engine=build_engine,
                engine=engine,
                model_progress=lambda what, _: progress.update(bar, description=f"model: {what}"),
                advance=lambda done, total: progress.update(
                    bar, description="writing instances", completed=done, total=total
                ),
            )
        except (KeyboardInterrupt, EngineError, WriteError):
            progress.stop()
            stderr.print("\n[yellow]stopped early[/]; what was committed is safe. Continue with:")
            command = shlex.join(["selfinstruct", *sys.argv[1:]])
            stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    notes = [f"{result.tasks} of {result.owed} instructions are tasks now"]
    if invalid := result.owed - result.tasks - result.failed:
        others = "the others" if not result.failed else str(invalid)
        notes.append(f"{others} have no valid instance")
    if result.failed:
        notes.append(f"{result.failed} still wait: the engine failed on them; run this again")
    stdout.print("; ".join(notes), highlight=False, soft_wrap=True)
    words = ["selfinstruct", "export", str(run), "--format", "messages"]
    words += ["--out", str(run / "messages.jsonl")]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
