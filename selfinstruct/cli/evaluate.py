"""`selfinstruct evaluate`: how well models follow instructions, with intervals."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, terminal
from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    reading_of,
)
from selfinstruct.cli.evaluate_asked import contestants_of, pass_at_values, questions
from selfinstruct.cli.evaluate_tables import print_evaluation
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    ANSWERS,
    LABELS,
    DtypeOption,
    EngineOption,
    interrupt,
    renamed,
    required_engine,
)
from selfinstruct.common.controls import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfinstruct.engines.isolated import Advance
    from selfinstruct.labellers.duels import Duel

_TEMPERATURE = 0.7


def evaluate(
    models: Annotated[
        list[str],
        typer.Option("--model", help="NAME=MODEL; the first is the baseline. May be repeated."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for report.json and report.html.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="DATA",
            help=f"Tasks with answers to compare with: {DATA}."
            + default("the shipped ones, if nothing else is asked for"),
        ),
    ] = None,
    choices: Annotated[
        str | None,
        typer.Option(
            "--choices",
            metavar="DATA",
            help="Questions with choices, ranked by their likelihood: DATA, or `shipped` for 50 "
            "of ours." + default("none"),
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="DATA",
            help="Pairs (chosen, rejected): which answer the model finds likelier."
            + default("none"),
        ),
    ] = None,
    few_shot: Annotated[
        list[str] | None,
        typer.Option(
            "--few-shot",
            metavar="[NAME=]N",
            help="Show this model, or all of them, N worked examples first. May be repeated."
            + default("none"),
        ),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            metavar="NAME=TEXT|FILE",
            help="System prompt of this model: a text, or a file with it. May be repeated."
            + default("none"),
        ),
    ] = None,
    answer_tokens: Annotated[
        int,
        typer.Option(
            "--answer-tokens",
            min=1,
            help="Most tokens of an answer, the same for all.",
            rich_help_panel=ANSWERS,
        ),
    ] = 192,
    max_tokens: Annotated[int | None, renamed("--max-tokens", min=1)] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Answers to each task; 1 is greedy." + default("1, or the largest of --pass-at"),
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    pass_at: Annotated[
        str | None,
        typer.Option(
            "--pass-at",
            metavar="K,…",
            help="pass@k of tasks with a check, such as 1,5: whether one of k answers passes."
            + default("none"),
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            min=0.01,
            max=5,
            help="Sampling temperature of several answers." + default(f"{_TEMPERATURE}"),
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="MODEL that says which of two answers is better." + default("none"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    judge_prompt: Annotated[
        Path | None,
        typer.Option(
            "--judge-prompt",
            help="Jinja template of its question, with `task`, `first`, `second`.",
            rich_help_panel=LABELS,
        ),
    ] = None,
    judge_tasks: Annotated[
        int | None,
        typer.Option(
            "--judge-tasks",
            min=1,
            help="Judge only this many tasks, the first ones." + default("all"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    plain_text: Annotated[
        str | None,
        typer.Option(
            "--plain-text",
            metavar="FILE",
            help="Passages for last word and perplexity, or `none`."
            + default("the shipped ones, where tasks are answered"),
        ),
    ] = None,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Have models answer tasks, and report by how much they differ.

    All models get the same stop strings and token limit. Each gets its own chat template, or the
    canonical text if it has none. Differences have paired bootstrap intervals.

    Example:
        selfinstruct evaluate --model base=bundled --model sft=outputs/sft --out eval
    """
    from rich.progress import Progress

    from selfinstruct.common.errors import ConfigError
    from selfinstruct.engines.isolated import Loaded, with_engine
    from selfinstruct.evaluate.answers import answer_questions
    from selfinstruct.evaluate.evaluation import Conditions
    from selfinstruct.evaluate.evaluation import evaluate as run_evaluation
    from selfinstruct.evaluate.pass_at import has_check
    from selfinstruct.evaluate.report import write_report
    from selfinstruct.evaluate.verdicts import Judge, judge_duels
    from selfinstruct.labellers.duels import judge_dtype, read_template
    from selfinstruct.models import resolve_model

    for option, value in (("--judge-prompt", judge_prompt), ("--judge-tasks", judge_tasks)):
        if judge is None and value is not None:
            raise ConfigError(f"{option}: there is no judge; give --judge too")
    passed = pass_at_values(pass_at, samples)
    samples = samples or max(passed, default=1)
    if samples == 1 and temperature is not None:
        raise ConfigError("--temperature: one answer is greedy; give --samples too")
    contestants = contestants_of(models, few_shot or [], system or [])
    reading = reading_of(format, columns, skip_invalid)
    asked = questions(tasks, choices, pairs, plain_text, reading)
    if judge is not None and not asked.tasks:
        raise ConfigError("--judge: there are no answers to judge; give --tasks too")
    if passed and not any(map(has_check, asked.tasks)):
        raise ConfigError(
            "--pass-at: no task has a check; give --tasks with a column `check`, such as "
            '{"contains": "Paris"}, or `closed` for those with one right answer'
        )
    asked = replace(
        asked,
        max_tokens=answer_tokens if max_tokens is None else max_tokens,
        samples=samples,
        temperature=(temperature or _TEMPERATURE) if samples > 1 else 0.0,
        pass_at=passed,
    )
    template = read_template(judge_prompt)
    models_asked = [*(contestant.model for contestant in contestants), judge]
    run_apart = partial(with_engine, kind=required_engine(engine, *models_asked))
    resolve = partial(resolve_model, progress=lambda *_: None)
    judged_by = None
    if judge is not None:
        loaded = Loaded(judge, judge_dtype(str(dtype or "auto")))

        def ask_judge(duels: Mapping[str, Duel], path: Path, advance: Advance) -> None:
            work = partial(judge_duels, duels=duels, template=template, path=path)
            run_apart(loaded, work, advance)

        judged_by = Judge(resolve(judge), template, loaded.dtype, ask_judge, judge_tasks)
    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Progress(console=console, transient=True) as progress:
        names = [contestant.name for contestant in contestants] + (["judge"] if judge else [])
        bars = {name: progress.add_task(name, total=None) for name in names}
        conditions = Conditions(
            out,
            dtype=str(dtype or "auto"),
            ask=lambda loaded, own, advance: run_apart(
                loaded, partial(answer_questions, asked=own), advance
            ),
            resolve=resolve,
            advance=lambda name, done, total: progress.update(
                bars[name], completed=done, total=total
            ),
        )
        evaluation = run_evaluation(contestants, asked, conditions, judged_by)
    report = write_report(evaluation, out)
    if as_json:
        print(json_text(report, indent=2))
        return
    print_evaluation(evaluation)
    stderr.print(f"  {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
