"""`selfinstruct prefer`: preferences of a policy's own answers."""

from __future__ import annotations

import shlex
import signal
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.options import DtypeOption, interrupt


class LabellerName(StrEnum):
    """The labellers of `preferences.prefer`, without importing it."""

    LIKELIHOOD = "likelihood"
    JUDGE = "judge"
    REFERENCE = "reference"


def prefer(
    run: Annotated[Path, typer.Argument(help="The run whose accepted tasks are asked.")],
    policy: Annotated[str, typer.Option("--policy", help="MODEL that answers; to be trained.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the preferences.")],
    labeller: Annotated[
        LabellerName,
        typer.Option("--labeller", help="What says which answer is better: docs/preferences.md."),
    ] = LabellerName.LIKELIHOOD,
    judge: Annotated[
        str | None, typer.Option("--judge", help="MODEL that judges (labeller `judge`).")
    ] = None,
    judge_prompt: Annotated[
        Path | None,
        typer.Option("--judge-prompt", help="What it is asked: Jinja; `task`, `first`, `second`."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Answers to each task.")] = 4,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.01, max=5, help="They are sampled at.")
    ] = 0.9,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 192,
    min_margin: Annotated[
        float, typer.Option("--min-margin", min=0, help="Least difference of scores in a pair.")
    ] = 0.0,
    every_pair: Annotated[
        bool, typer.Option("--every-pair", help="All pairs of a task, not its widest alone.")
    ] = False,
    length_balance: Annotated[
        bool,
        typer.Option("--length-balance", help="Drop pairs until longer is chosen half the time."),
    ] = False,
    held_out: Annotated[
        int, typer.Option("--held-out", min=1, help="Least pairs held out, by whole tasks.")
    ] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Of every draw.")] = 0,
    dtype: DtypeOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun.")] = False,
) -> None:
    """Sample a policy's answers to the tasks of a run, label them, and pair them for DPO.

    Pairs are in TRL's explicit preference format: train.parquet and held_out.parquet.
    """
    from rich.progress import Progress

    from selfinstruct.engines.machine import require_vllm
    from selfinstruct.errors import SelfInstructError
    from selfinstruct.isolated import with_engine
    from selfinstruct.judge import read_template
    from selfinstruct.models import resolve_model
    from selfinstruct.preferences.prefer import Labeller, PreferSettings
    from selfinstruct.preferences.prefer import prefer as make_preferences
    from selfinstruct.store import open_run

    settings = PreferSettings(
        labeller=Labeller(str(labeller)),
        k=k,
        temperature=temperature,
        max_tokens=max_tokens,
        min_margin=min_margin,
        every_pair=every_pair,
        balance_lengths=length_balance,
        held_out=held_out,
        seed=seed,
        dtype=str(dtype or "auto"),
    )
    template = read_template(judge_prompt)
    resolve = partial(resolve_model, progress=lambda *_: None)
    opened = open_run(run)
    local, judged_by = resolve(policy), resolve(judge) if judge else None
    require_vllm()
    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Progress(console=console, transient=True) as progress:
        bars = {name: progress.add_task(name, total=None, visible=False) for name in _STAGES}
        try:
            report = make_preferences(
                opened,
                local,
                out,
                settings,
                apart=with_engine,
                advance=lambda stage, done, wanted: progress.update(
                    bars[stage], completed=done, total=wanted, visible=True
                ),
                judged_by=judged_by,
                judge_template=template,
                resume=resume,
            )
        except (KeyboardInterrupt, SelfInstructError):
            progress.stop()
            if (out / "answers").is_dir():
                arguments = [one for one in sys.argv[1:] if one != "--resume"]
                command = shlex.join(["selfinstruct", *arguments, "--resume"])
                stderr.print("\nwhat was committed is safe. Go on with:")
                stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
    _print(report)


_STAGES = ("answers", "votes")


def _print(report: dict[str, Any]) -> None:
    pairs, lengths = report["pairs"], report["lengths"]
    stdout.print(
        f"{pairs['train']} pairs to train on and {pairs['held_out']} held out, of "
        f"{report['answers']} answers to {report['prompts']} tasks",
        highlight=False,
    )
    dropped = ", ".join(f"{count} {reason}" for reason, count in report["dropped"].items())
    stdout.print(f"dropped: {dropped or 'nothing'}", highlight=False)
    stdout.print(
        f"the longer answer is chosen in {100 * lengths['longer_chosen']:.0f} % "
        f"({100 * lengths['low']:.0f} to {100 * lengths['high']:.0f}); chosen "
        f"{lengths['chosen_words']:.0f} words, rejected {lengths['rejected_words']:.0f}",
        highlight=False,
    )
    if lengths["biased"]:
        stderr.print(
            "[yellow]length alone tells most of the chosen answers from the rejected ones[/]: a "
            "model trained on these pairs learns length; try --length-balance"
        )
