"""`selfinstruct best-of`: the best of several answers, and what choosing is worth."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    reading_of,
)
from selfinstruct.cli.help import default
from selfinstruct.cli.labelling import (
    NAMES,
    AnswerTokensOption,
    FormerTokensOption,
    JudgeOption,
    JudgePromptOption,
    PrinciplesOption,
    RewardModelOption,
    TemperatureOption,
    labeller_name,
    listed,
    processes_of,
    resumable,
    scorers_of,
)
from selfinstruct.cli.options import (
    ANSWERS,
    ANY_MODEL,
    LABELS,
    DtypeOption,
    EngineOption,
    renamed,
    required_engine,
)
from selfinstruct.common.controls import json_text
from selfinstruct.labellers.registry import LABELLERS, labeller_of


def best_of(
    tasks: Annotated[str, typer.Argument(metavar="DATA", help=f"Tasks to answer: {DATA}.")],
    policy: Annotated[str, typer.Option("--policy", help=f"MODEL that answers: {ANY_MODEL}.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the chosen answers.")],
    k: Annotated[
        int, typer.Option("--k", min=2, help="Answers to each task.", rich_help_panel=ANSWERS)
    ] = 8,
    labeller: Annotated[
        str,
        typer.Option(
            "--labeller",
            parser=labeller_name,
            metavar="NAME",
            help=f"Labeller that chooses: {listed(one for one in LABELLERS if one.may_choose)}.",
            rich_help_panel=LABELS,
        ),
    ] = "likelihood",
    scorer: Annotated[str | None, renamed("--scorer")] = None,
    measure: Annotated[
        str,
        typer.Option(
            "--measure",
            parser=labeller_name,
            metavar="NAME",
            help=f"Another labeller, which measures the chosen answers: {NAMES}.",
            rich_help_panel=LABELS,
        ),
    ] = "reference",
    judge: JudgeOption = None,
    judge_prompt: JudgePromptOption = None,
    principles: PrinciplesOption = None,
    reward_model: RewardModelOption = None,
    temperature: TemperatureOption = 0.9,
    answer_tokens: AnswerTokensOption = 192,
    max_tokens: FormerTokensOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Maximum number of tasks to answer." + default("all")),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a stopped command.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Sample k answers to each task, and keep the one with the highest score.

    The chosen answers are rows for `train sft`. A second labeller scores the best of 1, 2, … k
    answers, so that you see what a larger k gains.

    Example:
        selfinstruct best-of outputs/first --policy bundled --k 8 --out outputs/best
    """
    from selfinstruct.inputs.own_folders import BEST
    from selfinstruct.inputs.purposes import BEST_OF
    from selfinstruct.models import resolve_model
    from selfinstruct.preferences.best_of import Choice, require_may_choose
    from selfinstruct.preferences.best_of import best_of as choose
    from selfinstruct.preferences.sample import SampleSettings, read_prompts
    from selfinstruct.preferences.workplace import Workplace

    labeller = labeller if scorer is None else labeller_name(scorer)
    require_may_choose(labeller_of(labeller))
    reading = reading_of(format, columns, skip_invalid)
    prompts = read_prompts(tasks, BEST_OF, "DATA", reading).tasks[:limit]
    kind = required_engine(engine, policy, judge)
    chooses, measures = scorers_of(
        [labeller, measure], judge, judge_prompt, reward_model, principles, seed
    )
    local = resolve_model(policy, lambda *_: None)
    choice = Choice(chooses, measures)
    longest = answer_tokens if max_tokens is None else max_tokens
    how = SampleSettings(k, temperature, longest, seed, scored=choice.scored_by_policy)
    with resumable(out, ("answers", "scores", "worth")) as advance:
        work = Workplace(out, processes_of(kind), advance, resume)
        report = choose(prompts, local, how, choice, work, str(dtype or "auto"))
    if as_json:
        print(json_text(report, indent=2))
        return
    _print(report)
    words = ["selfinstruct", "train", "sft", "--data", str(out / BEST), "--model", policy]
    words += ["--out", f"{out}-sft"]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"best of n by {report['scorer']}, measured by {report['measure']}"
    table = Table(title=title, title_justify="left")
    for column in ("n", "worth", "95 %", "gain", "95 %", "nats at most"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in report["curve"]:
        clear = point["gain_low"] > 0 or point["gain_high"] < 0
        table.add_row(
            str(point["n"]),
            f"{point['mean']:.3f}",
            f"{point['low']:.3f}–{point['high']:.3f}",
            f"{point['gain']:+.3f}",
            f"{point['gain_low']:+.3f} to {point['gain_high']:+.3f}",
            f"{point['divergence']:.2f}",
            style="bold" if clear else "",
        )
    stdout.print(table)
    stdout.print(
        f"{report['chosen']} answers chosen, one of {report['k']} to each of {report['prompts']} "
        f"tasks; measured on {report['measured']}",
        highlight=False,
    )
