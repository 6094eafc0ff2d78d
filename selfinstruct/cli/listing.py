"""`selfinstruct audit list`: candidates with their verdicts, scores and nearest neighbours."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.cells import Cut, number, plain_row
from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.decide import RunFolder
from selfinstruct.cli.options import renamed
from selfinstruct.common.controls import json_text

WHICH = "Which candidates"
# On a terminal of fewer columns than the first, all but ids and texts fold at the second.
_WIDE, _NARROW = 110, 10


class StageName(StrEnum):
    """Which candidates to list."""

    INSTRUCTIONS = "instructions"
    INSTANCES = "instances"
    CONVERSATIONS = "conversations"
    TURNS = "turns"
    ANSWERS = "answers"
    REVISIONS = "revisions"


class VerdictName(StrEnum):
    """The two verdicts."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


def list_candidates(
    run: RunFolder,
    stage: Annotated[
        StageName,
        typer.Option(
            "--stage",
            help="Kind of candidate: instructions, instances, conversations, turns, answers or "
            "revisions.",
            rich_help_panel=WHICH,
        ),
    ] = StageName.INSTRUCTIONS,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason", help="Only those rejected for this reason.", rich_help_panel=WHICH
        ),
    ] = None,
    verdict: Annotated[
        VerdictName | None,
        typer.Option(
            "--verdict",
            help="Only candidates with this verdict: accepted or rejected.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--contains",
            help="Only those that contain this text; case is ignored.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    former: Annotated[str | None, renamed("--text")] = None,
    round: Annotated[
        int | None, typer.Option("--round", help="Only those of this round.", rich_help_panel=WHICH)
    ] = None,
    min_rouge: Annotated[
        float | None, typer.Option("--min-rouge", help="Minimum ROUGE-L.", rich_help_panel=WHICH)
    ] = None,
    max_rouge: Annotated[
        float | None, typer.Option("--max-rouge", help="Maximum ROUGE-L.", rich_help_panel=WHICH)
    ] = None,
    min_logprob: Annotated[
        float | None,
        typer.Option(
            "--min-logprob", help="Minimum log-probability, nats per token.", rich_help_panel=WHICH
        ),
    ] = None,
    max_logprob: Annotated[
        float | None,
        typer.Option(
            "--max-logprob", help="Maximum log-probability, nats per token.", rich_help_panel=WHICH
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="Column to sort by, such as rouge_l or mean_logprob.")
    ] = "judged",
    descending: Annotated[
        bool, typer.Option("--descending", help="Sort from the largest down.")
    ] = False,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Number to skip.")] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of candidates to list.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """List candidates with their verdicts, scores and nearest neighbours.

    Example:
        selfinstruct audit list outputs/first --reason not_novel --limit 20
    """
    from selfinstruct import api

    rows = api.open_run(run).candidates(
        str(stage),
        verdict=verdict and str(verdict),
        reason=reason,
        round=round,
        text=former if text is None else text,
        min_rouge=min_rouge,
        max_rouge=max_rouge,
        min_logprob=min_logprob,
        max_logprob=max_logprob,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
    )
    if as_json:
        for row in rows:
            print(json_text(plain_row(row)))
        return
    _print_rows(list(rows), stage, run)


def _print_rows(rows: list[dict[str, Any]], stage: StageName, run: Path) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shape = _SHAPES[stage]
    table = Table(box=box.HORIZONTALS, show_lines=stage is not StageName.INSTRUCTIONS)
    table.add_column("id", no_wrap=True)
    most = None if stdout.width >= _WIDE else _NARROW
    for name in ("outcome", *shape.short):
        table.add_column(name.replace("/", "/\n"), overflow="fold", max_width=most)
    for name in shape.texts:
        table.add_column(name)
    for row in rows:
        short = (row["id"], _outcome(row), *(cell(row) for cell in shape.short.values()))
        table.add_row(
            *(Text(plain(str(cell))) for cell in short),
            *(Cut(text(row)) for text in shape.texts.values()),
        )
    stdout.print(table)
    count = "1 candidate" if len(rows) == 1 else f"{len(rows)} candidates"
    whole = f"; whole texts: --json, or: selfinstruct audit show {shlex.quote(str(run))} ID"
    stderr.print(f"{count}{whole if rows else ''}", markup=False, highlight=False, soft_wrap=True)


def _outcome(row: dict[str, Any]) -> str:
    """Return what was recorded, and what a person decided after that."""
    recorded = str(row["reason"] or row["verdict"])
    return f"{recorded}, then {row['override']}" if row["override"] else recorded


def _score(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: number(row[column])


def _said(row: dict[str, Any]) -> str:
    return "\n".join(f"{turn['role']}: {turn['text']}" for turn in row["turns"])


@dataclass(frozen=True)
class _Shape:
    """What is shown of a row beside its id and outcome: how each cell and each text is made."""

    short: Mapping[str, Callable[[dict[str, Any]], Any]]
    texts: Mapping[str, Callable[[dict[str, Any]], str]]


_SHAPES = {
    StageName.INSTRUCTIONS: _Shape(
        {
            "ROUGE-L": _score("rouge_l"),
            "neighbour": lambda row: row["neighbour_id"] or "",
            "nats/token": _score("mean_logprob"),
        },
        {"instruction": itemgetter("text")},
    ),
    StageName.INSTANCES: _Shape(
        {"nats/token": _score("mean_logprob")},
        {"input": itemgetter("input"), "output": itemgetter("output")},
    ),
    StageName.CONVERSATIONS: _Shape(
        {"exchanges": itemgetter("exchanges"), "ended": itemgetter("ended")}, {"turns": _said}
    ),
    StageName.TURNS: _Shape(
        {"nats/token": _score("mean_logprob"), "shared": _score("shared")},
        {"text": itemgetter("text")},
    ),
    StageName.ANSWERS: _Shape(
        {
            "agreement": _score("agreement"),
            "final answer": lambda row: row["final_answer"] or "",
            "hinted": lambda row: "yes" if row["hinted"] else "",
        },
        {"input": itemgetter("input"), "output": itemgetter("output")},
    ),
    StageName.REVISIONS: _Shape(
        {"principle": lambda row: row["principle"] or "(draft)"},
        {"before": lambda row: row["draft"] or "", "text": itemgetter("text")},
    ),
}
