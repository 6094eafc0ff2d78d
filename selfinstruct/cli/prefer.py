"""`selfinstruct prefer`: preferences of a policy's own answers."""

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
from selfinstruct.cli.labelling import (
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
    PAIRS,
    DtypeOption,
    EngineOption,
    renamed,
    required_engine,
)
from selfinstruct.labellers.registry import LABELLERS


def prefer(
    tasks: Annotated[str, typer.Argument(metavar="DATA", help=f"Tasks to answer: {DATA}.")],
    policy: Annotated[
        str,
        typer.Option(
            "--policy", help=f"Policy MODEL, which answers and will be trained: {ANY_MODEL}."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the preferences.")],
    labeller: Annotated[
        str,
        typer.Option(
            "--labeller",
            parser=labeller_name,
            metavar="NAME",
            help=f"Labeller that says which answer is better: {listed(LABELLERS)}.",
            rich_help_panel=LABELS,
        ),
    ] = "likelihood",
    judge: JudgeOption = None,
    judge_prompt: JudgePromptOption = None,
    principles: PrinciplesOption = None,
    reward_model: RewardModelOption = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Answers to each task.", rich_help_panel=ANSWERS)
    ] = 4,
    temperature: TemperatureOption = 0.9,
    answer_tokens: AnswerTokensOption = 192,
    max_tokens: FormerTokensOption = None,
    min_margin: Annotated[
        float,
        typer.Option(
            "--min-margin",
            min=0,
            help="Minimum difference of the scores in a pair.",
            rich_help_panel=PAIRS,
        ),
    ] = 0.0,
    pairs_per_task: Annotated[
        int,
        typer.Option(
            "--pairs-per-task",
            min=1,
            help="Maximum training pairs per task; those with the largest margins are used.",
            rich_help_panel=PAIRS,
        ),
    ] = 3,
    length_balance: Annotated[
        bool,
        typer.Option(
            "--length-balance",
            help="Drop pairs until the longer answer is chosen in half of them.",
            rich_help_panel=PAIRS,
        ),
    ] = False,
    held_out_pairs: Annotated[
        int,
        typer.Option(
            "--held-out-pairs",
            min=1,
            help="Minimum number of pairs to hold out, one per prompt; their instructions give no "
            "training pairs.",
            rich_help_panel=PAIRS,
        ),
    ] = 60,
    held_out: Annotated[int | None, renamed("--held-out", min=1)] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a stopped command.")] = False,
) -> None:
    """Sample answers of a model (the policy) to tasks, label them, and make pairs for DPO.

    It writes train.parquet and held_out.parquet, in TRL's explicit preference format.

    Example:
        selfinstruct prefer outputs/first --policy outputs/sft --out outputs/pairs
    """
    from selfinstruct.inputs.purposes import PREFER
    from selfinstruct.models import resolve_model
    from selfinstruct.preferences.prefer import PreferSettings
    from selfinstruct.preferences.prefer import prefer as make_preferences
    from selfinstruct.preferences.sample import read_prompts
    from selfinstruct.preferences.workplace import Workplace

    settings = PreferSettings(
        k=k,
        temperature=temperature,
        max_tokens=answer_tokens if max_tokens is None else max_tokens,
        min_margin=min_margin,
        pairs_per_task=pairs_per_task,
        balance_lengths=length_balance,
        held_out=held_out_pairs if held_out is None else held_out,
        seed=seed,
        dtype=str(dtype or "auto"),
    )
    prompts = read_prompts(tasks, PREFER, "DATA", reading_of(format, columns, skip_invalid))
    kind = required_engine(engine, policy, judge)
    (scorer,) = scorers_of([labeller], judge, judge_prompt, reward_model, principles, seed)
    local = resolve_model(policy, lambda *_: None)
    with resumable(out, ("answers", "labels")) as advance:
        work = Workplace(out, processes_of(kind), advance, resume)
        report = make_preferences(prompts, local, settings, scorer, work)
    _print(report)
    words = ["selfinstruct", "train", "dpo", "--data", str(out), "--model", policy]
    words += ["--out", f"{out}-dpo"]
    stderr.print(f"  {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)


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
            "[yellow]in most pairs, length alone tells which answer was chosen[/]: a model "
            "trained on these pairs learns length; try --length-balance"
        )
