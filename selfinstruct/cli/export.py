"""`selfinstruct export`: a run's tasks as a training file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.help import default
from selfinstruct.cli.options import text_or_file
from selfinstruct.common.texts import amount
from selfinstruct.dataset.formats import Format, Whole
from selfinstruct.dataset.trainers import TRAINERS, how_to_use, trainer_of


class AnswersName(StrEnum):
    """The answers of selfinstruct.dataset.rows, named here so that --help loads nothing."""

    OWN = "own"
    TEACHER = "teacher"
    PREFER_TEACHER = "prefer-teacher"
    VOTES = "votes"
    RATIONALES = "rationales"
    REVISION = "revision"
    PREFER_REVISION = "prefer-revision"


WHOSE = (
    "own (the run's), teacher (from `answer`), prefer-teacher (the teacher's if there is one), "
    "votes (from `answer --votes`), rationales (from `answer --rationale`), "
    "revision (from `revise`), or prefer-revision (the revision if there is one)"
)
# Which tasks of the run, and what is written with them.
WHICH = "What is written"
# Whose outputs, and which of them.
WHOSE_OUTPUTS = "Whose outputs"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[
        Path, typer.Option("--out", help="File to write; an earlier export is replaced.")
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"Format of the file; not needed with --for: {', '.join(Format)}.",
        ),
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TRAINER",
            help="Trainer that will read the file: "
            f"{', '.join(trainer.name for trainer in TRAINERS)}. Chooses the format, and writes "
            "the trainer's configuration beside the file.",
        ),
    ] = None,
    answers: Annotated[
        AnswersName,
        typer.Option(
            "--answers",
            metavar="WHOSE",
            help=f"Whose outputs to export: {WHOSE}.",
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = AnswersName.OWN,
    reasoning: Annotated[
        bool,
        typer.Option("--reasoning", help="Keep the model's reasoning before its answers."),
    ] = False,
    conversations: Annotated[
        bool | None,
        typer.Option(
            "--conversations/--no-conversations",
            help="Write whole conversations (`converse`) instead of the tasks that open them."
            + default("on for messages and sharegpt"),
        ),
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option(
            "--reason",
            metavar="REASON",
            help="Only restored tasks that were rejected for this reason. May be repeated.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored", help="Only tasks that a person restored.", rich_help_panel=WHICH
        ),
    ] = False,
    min_logprob: Annotated[
        float | None,
        typer.Option(
            "--min-logprob",
            help="Minimum log-probability of outputs, in nats per token.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    max_rouge: Annotated[
        float | None,
        typer.Option(
            "--max-rouge",
            min=0,
            max=1,
            help="Maximum ROUGE-L with the nearest neighbour.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            "--min-agreement",
            min=0,
            max=1,
            metavar="SHARE",
            help="Minimum agreement of answers by votes, instead of the one that they were "
            "judged by.",
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = None,
    min_judge_score: Annotated[
        float | None,
        typer.Option(
            "--min-judge-score",
            metavar="SCORE",
            help="Minimum score of `audit judge`; tasks without a score are left out.",
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            "--rubric",
            help="With --min-judge-score: name of the rubric." + default("the last one used"),
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = None,
    no_rationale: Annotated[
        bool,
        typer.Option(
            "--no-rationale",
            help="Write only the final answer of answers with a rationale.",
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = False,
    min_words: Annotated[
        int | None,
        typer.Option(
            "--min-words", min=1, help="Minimum words of an output.", rich_help_panel=WHICH
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            help="System prompt of every row: a text, or a file with it.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    plain_controls: Annotated[
        bool,
        typer.Option(
            "--plain-controls",
            help="Remove control characters, direction marks and zero-width marks.",
            rich_help_panel=WHICH,
        ),
    ] = False,
    pairs: Annotated[
        bool,
        typer.Option(
            "--as-pairs",
            help="Write preference pairs instead of tasks: each revision (`revise`) as chosen, its "
            "draft as rejected.",
            rich_help_panel=WHOSE_OUTPUTS,
        ),
    ] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Write a dataset card, README.md, beside the file.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="REPO", help="Upload file and card to the hub, as REPO."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push: make a new repository private.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace existing files that `export` did not write: the data, and README.md.",
        ),
    ] = False,
    ignore_damaged_decisions: Annotated[
        bool,
        typer.Option(
            "--ignore-damaged-decisions",
            help="Export even if some of people's decisions are lost or damaged.",
            rich_help_panel=WHICH,
        ),
    ] = False,
) -> None:
    """Write the accepted tasks of a run as JSON lines or Parquet.

    Example:
        selfinstruct export outputs/first --format messages --out tasks.jsonl
    """
    from selfinstruct import api

    done = api.export(
        run,
        out,
        format=format and str(format),
        trainer=trainer,
        reasons=reasons or (),
        restored=restored,
        min_logprob=min_logprob,
        max_rouge=max_rouge,
        min_words=min_words,
        min_agreement=min_agreement,
        without_rationale=no_rationale,
        min_judge_score=min_judge_score,
        rubric=rubric,
        system=system and text_or_file(system),
        answers=str(answers),
        reasoning=reasoning,
        conversations=conversations,
        card=card,
        push=push,
        private=private,
        force=force,
        ignore_damaged_decisions=ignore_damaged_decisions,
        plain_controls=plain_controls,
        pairs=pairs,
    )
    kind = "parquet" if format is Format.PARQUET else "json"
    if done.replaced is not None:
        _say(f"replaced {done.path}: {done.replaced}")
    if answers in (AnswersName.PREFER_TEACHER, AnswersName.PREFER_REVISION):
        own = done.rows - done.teachers
        whose = "the teacher's" if answers is AnswersName.PREFER_TEACHER else "revisions"
        _say(f"{done.teachers} outputs are {whose}, {own} are the run's own")
    _say(f"{amount(done.rows, 'row')} in {done.path}; read them with:")
    _say(f'  datasets.load_dataset("{kind}", data_files="{done.path}")')
    if done.conversations:
        _say(f"{done.conversations} of the rows are conversations")
    if done.shortened:
        able = " or ".join(one for one in Format if one.conversations is Whole.ALWAYS)
        why, whole = "a row of this format cannot hold more", f"--format {able} does"
        written = format if format is not None else trainer_of(trainer or "").format
        if written.conversations is Whole.ASKED:
            why = "whole ones change the columns of this format"
            whole = "--conversations writes them"
        _say(
            f"{done.shortened} conversations are left at their first exchange, since {why}; {whole}"
        )
    if done.config is not None and trainer is not None:
        _say(f"for {trainer}: {how_to_use(trainer_of(trainer), done.path, done.config)}")
    if done.card is not None:
        _say(f"card in {done.card}")
    if done.url is not None:
        stdout.print(done.url, markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)
