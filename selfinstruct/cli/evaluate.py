"""`selfinstruct evaluate`: how well models follow instructions, with intervals."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, terminal
from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    reading_of,
)
from selfinstruct.cli.evaluate_asked import (
    check_questions,
    contestants_of,
    harness_of,
    judge_of,
    pass_at_values,
    print_commands,
    questions,
    scorer_of,
)
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

_TEMPERATURE = 0.7
HARNESS = "lm-evaluation-harness"


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
            help=f"Tasks with answers to compare with, or with what is expected of an answer: "
            f"{DATA}; `harm` and `truthfulness` are shipped."
            + default("the shipped ones, unless --choices, --pairs or --lm-eval is given"),
        ),
    ] = None,
    choices: Annotated[
        str | None,
        typer.Option(
            "--choices",
            metavar="DATA",
            help="Questions with choices; the model's likelihood ranks the choices: DATA, or "
            "`shipped` for the 50 shipped questions, or `truthfulness` for the 100 about common "
            "misconceptions." + default("none"),
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="DATA",
            help="Pairs (chosen, rejected): does the model find the chosen answer more likely?"
            + default("none"),
        ),
    ] = None,
    few_shot: Annotated[
        list[str] | None,
        typer.Option(
            "--few-shot",
            metavar="[NAME=]N",
            help="Show N worked examples first: to the named model, or to all models. May be "
            "repeated." + default("none"),
        ),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            metavar="NAME=TEXT|FILE",
            help="System prompt of the named model: a text, a file with it, or a shipped one: "
            "`hhh` (helpful, honest, harmless) or `values` (weigh the effect of the answer). May "
            "be repeated." + default("none"),
        ),
    ] = None,
    answer_tokens: Annotated[
        int,
        typer.Option(
            "--answer-tokens",
            min=1,
            help="Maximum tokens per answer, the same for all models.",
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
            help="Values of k, such as 1,5, for pass@k: does one of k answers pass the task's "
            "check?" + default("none"),
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            min=0.01,
            max=5,
            help="Sampling temperature if each task gets several answers."
            + default(f"{_TEMPERATURE}"),
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
            help="Jinja template of the judge's question, with `task`, `first`, `second`.",
            rich_help_panel=LABELS,
        ),
    ] = None,
    judge_tasks: Annotated[
        int | None,
        typer.Option(
            "--judge-tasks",
            min=1,
            help="Judge only the first N tasks." + default("all"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer",
            metavar="MODEL[@LABEL]",
            help="A sequence classifier (Hugging Face, a folder or a hub name), such as one of "
            "toxicity: reports the probability of the label for each answer." + default("none"),
            rich_help_panel=LABELS,
        ),
    ] = None,
    plain_text: Annotated[
        str | None,
        typer.Option(
            "--plain-text",
            metavar="FILE",
            help="Passages of plain text on which last-word accuracy and perplexity are "
            "measured, or `none`." + default("the shipped ones, if tasks are answered"),
        ),
    ] = None,
    lm_eval: Annotated[
        str | None,
        typer.Option(
            "--lm-eval",
            metavar="TASKS",
            help="Tasks of lm-evaluation-harness, such as hellaswag,arc_easy, or YAML files of "
            "tasks. If lm-eval is not installed, prints the command to run instead."
            + default("none"),
            rich_help_panel=HARNESS,
        ),
    ] = None,
    lm_eval_chat: Annotated[
        bool,
        typer.Option(
            "--lm-eval-chat",
            help="Use the chat template for these tasks. Most published figures do not.",
            rich_help_panel=HARNESS,
        ),
    ] = False,
    lm_eval_limit: Annotated[
        int | None,
        typer.Option(
            "--lm-eval-limit",
            min=1,
            help="Maximum rows per such task." + default("all"),
            rich_help_panel=HARNESS,
        ),
    ] = None,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Compare models: have them answer tasks, and report by how much they differ.

    All models get the same stop strings and token limit. Each is prompted with its own chat
    template, or with our plain-text template if it has none. Differences have paired bootstrap
    intervals.

    Example:
        selfinstruct evaluate --model base=bundled --model sft=outputs/sft --out eval
    """
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.engines.isolated import with_engine
    from selfinstruct.evaluate.answers import answer_questions
    from selfinstruct.evaluate.evaluation import Conditions
    from selfinstruct.evaluate.evaluation import evaluate as run_evaluation
    from selfinstruct.evaluate.harness import harness_tasks, is_installed
    from selfinstruct.evaluate.report import write_report
    from selfinstruct.labellers.duels import read_template
    from selfinstruct.models import resolve_model

    named = {"--tasks": tasks, "--choices": choices, "--pairs": pairs}
    for option, value, other, needed in (
        ("--judge-prompt", judge_prompt, "--judge", judge),
        ("--judge-tasks", judge_tasks, "--judge", judge),
        ("--lm-eval-chat", lm_eval_chat or None, "--lm-eval", lm_eval),
        ("--lm-eval-limit", lm_eval_limit, "--lm-eval", lm_eval),
    ):
        if needed is None and value is not None:
            raise ConfigError(f"{option}: applies only to {other}; give {other} too")
    passed = pass_at_values(pass_at, samples)
    samples = samples or max(passed, default=1)
    if samples == 1 and temperature is not None:
        raise ConfigError("--temperature: one answer is greedy; give --samples too")
    contestants = contestants_of(models, few_shot or [], system or [])
    handed = harness_tasks(lm_eval, chat=lm_eval_chat, limit=lm_eval_limit) if lm_eval else None
    asked = replace(
        questions(
            named, plain_text, reading_of(format, columns, skip_invalid), shipped=handed is None
        ),
        max_tokens=answer_tokens if max_tokens is None else max_tokens,
        samples=samples,
        temperature=(temperature or _TEMPERATURE) if samples > 1 else 0.0,
        pass_at=passed,
    )
    check_questions(asked, judged=judge is not None, scored=scorer is not None)
    scored_by = None if scorer is None else scorer_of(scorer)
    template = read_template(judge_prompt)
    resolve = partial(resolve_model, progress=lambda *_: None)
    weights = str(dtype or "auto")
    if handed is not None and not is_installed():
        print_commands(contestants, handed, out, resolve, weights)
    models_asked = [*(contestant.model for contestant in contestants), judge]
    apart = partial(with_engine, kind=required_engine(engine, *models_asked))
    judged_by = None if judge is None else judge_of(judge, judge_tasks, template, weights, apart)
    harness = None if handed is None else harness_of(handed, apart)
    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Bars(console) as progress:
        names = [contestant.name for contestant in contestants]
        names += [name for name, given in (("judge", judge), ("scorer", scorer)) if given]
        bars = {name: progress.add_task(name, total=None) for name in names}
        conditions = Conditions(
            out,
            dtype=weights,
            ask=lambda loaded, own, advance: apart(
                loaded, partial(answer_questions, asked=own), advance
            ),
            resolve=resolve,
            advance=lambda name, done, total: progress.update(
                bars[name], completed=done, total=total
            ),
        )
        evaluation = run_evaluation(contestants, asked, conditions, judged_by, harness, scored_by)
    report = write_report(evaluation, out)
    if as_json:
        print(json_text(report, indent=2))
        return
    print_evaluation(evaluation)
    stderr.print(f"  {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
