"""`selfinstruct evaluate`: how well models follow instructions, with intervals."""

from __future__ import annotations

import math
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import log_to, plain, stderr, stdout, terminal
from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    reading_of,
)
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    ANSWERS,
    LABELS,
    DtypeOption,
    EngineOption,
    interrupt,
    renamed,
    required_engine,
    text_or_file,
)
from selfinstruct.common.controls import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfinstruct.engines.isolated import Advance
    from selfinstruct.evaluate.evaluation import Contestant, Evaluation
    from selfinstruct.labellers.duels import Duel

# The measures that have a column on a terminal; report.json has all.
_SHOWN = {
    "rouge_l": "ROUGE-L",
    "rouge_l_cut": "ROUGE-L, cut as the reference",
    "rouge_l_equal": "ROUGE-L at equal length",
    "exact_match": "exact match, %",
    "reference_logprob": "reference, nats per token",
    "length": "words",
    "never_stopping": "never stops, %",
    "last_word": "plain text: last word, %",
    "perplexity": "plain text: perplexity per word",
    "win_rate": "judge: wins − losses",
    "win_rate_balance": "judge, on balance: wins − losses",
}
_TEMPERATURE = 0.7
_PERCENT = {
    *("rouge_l", "rouge_l_cut", "rouge_l_equal", "exact_match", "never_stopping"),
    *("last_word", "win_rate", "win_rate_balance"),
}


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
            help=f"Tasks with answers to compare with: {DATA}." + default("the shipped ones"),
        ),
    ] = None,
    few_shot: Annotated[
        list[str] | None,
        typer.Option("--few-shot", metavar="NAME=N", help="Show this model N worked seed tasks."),
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
        int,
        typer.Option(
            "--samples",
            min=1,
            help="Answers to each task; 1 is greedy.",
            rich_help_panel=ANSWERS,
        ),
    ] = 1,
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
            help="Passages for last word and perplexity, or `none`." + default("the shipped ones"),
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
    from selfinstruct.evaluate.answers import Questions, answer_questions
    from selfinstruct.evaluate.evaluation import Conditions
    from selfinstruct.evaluate.evaluation import evaluate as run_evaluation
    from selfinstruct.evaluate.plain_text import read_passages, shipped_passages
    from selfinstruct.evaluate.report import write_report
    from selfinstruct.evaluate.tasks import read_eval_tasks, shipped_eval_tasks
    from selfinstruct.evaluate.verdicts import Judge, judge_duels
    from selfinstruct.inputs.read_data import AS_IT_IS
    from selfinstruct.labellers.duels import judge_dtype, read_template
    from selfinstruct.models import resolve_model

    for option, value in (("--judge-prompt", judge_prompt), ("--judge-tasks", judge_tasks)):
        if judge is None and value is not None:
            raise ConfigError(f"{option}: there is no judge; give --judge too")
    if samples == 1 and temperature is not None:
        raise ConfigError("--temperature: one answer is greedy; give --samples too")
    contestants = _contestants(models, few_shot or [], system or [])
    asked = Questions(
        read_eval_tasks(
            tasks or shipped_eval_tasks(),
            reading=reading_of(format, columns, skip_invalid) if tasks else AS_IT_IS,
        ),
        answer_tokens if max_tokens is None else max_tokens,
        samples=samples,
        temperature=(temperature or _TEMPERATURE) if samples > 1 else 0.0,
        passages=()
        if plain_text == "none"
        else read_passages(Path(plain_text) if plain_text else shipped_passages()),
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
    _print(evaluation)
    stderr.print(f"  {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _contestants(models: list[str], few_shot: list[str], system: list[str]) -> list[Contestant]:
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.evaluate.evaluation import Contestant

    shots: dict[str, int] = {}
    for text in few_shot:
        name, _, number = text.partition("=")
        if not number.isdigit():
            raise ConfigError(f"--few-shot {text}: give NAME=N, such as base=4")
        shots[name] = int(number)
    prompts: dict[str, str] = {}
    for text in system:
        name, mark, prompt = text.partition("=")
        if not mark or not prompt.strip():
            raise ConfigError(f"--system {text}: give NAME=TEXT or NAME=FILE")
        prompts[name] = text_or_file(prompt)
    contestants = []
    for text in models:
        name, mark, model = text.partition("=")
        if not mark or not name or not model or "/" in name:
            raise ConfigError(f"--model {text}: give NAME=MODEL, such as base=gemma-3-270m")
        contestants.append(Contestant(name, model, shots.pop(name, 0), prompts.pop(name, "")))
    for option, left in (("--few-shot", shots), ("--system", prompts)):
        if left:
            raise ConfigError(f"{option} {', '.join(left)}: no --model has this name")
    return contestants


def _print(evaluation: Evaluation) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{evaluation.settings['tasks']} tasks", title_justify="left")
    table.add_column("")
    for name in evaluation.means:
        table.add_column(Text(plain(name)), justify="right")
    for metric, title in _SHOWN.items():
        if any(metric in means for means in evaluation.means.values()):
            cells = (
                _shown(metric, means.get(metric, math.nan)) for means in evaluation.means.values()
            )
            table.add_row(title, *cells)
    stdout.print(table)
    if not evaluation.comparisons:
        return
    differences = Table(title="differences, with 95 % intervals", title_justify="left")
    for column in ("", "metric", "difference", "from", "to", "tasks"):
        differences.add_column(column, justify="left" if column in ("", "metric") else "right")
    for comparison in evaluation.comparisons:
        if comparison.metric in _SHOWN:
            clear = comparison.low > 0 or comparison.high < 0
            numbers = (
                _shown(comparison.metric, value)
                for value in (comparison.difference, comparison.low, comparison.high)
            )
            differences.add_row(
                Text(plain(f"{comparison.a} − {comparison.b}")),
                _SHOWN[comparison.metric],
                *numbers,
                str(comparison.n),
                style="bold" if clear else "dim",
            )
    stdout.print(differences)
    for comparison in evaluation.comparisons:
        if comparison.mcnemar is not None:
            told = f"{comparison.a} − {comparison.b}, exact match: McNemar's test p = "
            stdout.print(Text(f"{plain(told)}{comparison.mcnemar:.3f}"))
    if evaluation.wins:
        _print_wins(evaluation)


def _print_wins(evaluation: Evaluation) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"judged in pairs by {evaluation.settings['judge']}", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("wins, %", "at equal length, %", "ties", "tasks"):
        table.add_column(column, justify="right")
    for win_rate in evaluation.wins:
        on_balance = " on balance" if win_rate.decided == "balance" else ""
        table.add_row(
            Text(plain(f"{win_rate.a} against {win_rate.b}{on_balance}")),
            f"{100 * win_rate.rate:.1f} ({100 * win_rate.low:.1f}–{100 * win_rate.high:.1f})",
            f"{100 * win_rate.at_equal_length:.1f} "
            f"({100 * win_rate.equal_low:.1f}–{100 * win_rate.equal_high:.1f})",
            str(win_rate.ties),
            str(win_rate.n),
        )
    stdout.print(table)
    for rating in evaluation.ratings:
        if rating.strength is None:
            stdout.print("no Bradley–Terry ratings: one group of models never lost to the other")
            break
        shown = f"{rating.strength:+.2f}"
        if rating.low is not None and rating.high is not None:
            shown += f" ({rating.low:+.2f} to {rating.high:+.2f})"
        stdout.print(f"Bradley–Terry {shown} ", Text(plain(rating.model)), highlight=False)


def _shown(metric: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    if metric in _PERCENT:
        return f"{100 * value:.1f}"
    return f"{value:.2f}" if metric == "reference_logprob" else f"{value:.0f}"
