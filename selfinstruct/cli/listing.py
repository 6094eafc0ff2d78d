"""`selfinstruct audit list`: candidates with their verdicts, scores and nearest neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from operator import itemgetter
from typing import Annotated, Any

import typer

from selfinstruct.cli.cells import number, plain_row
from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.decide import RunFolder


class StageName(StrEnum):
    """Which candidates to list."""

    INSTRUCTIONS = "instructions"
    INSTANCES = "instances"
    CONVERSATIONS = "conversations"
    TURNS = "turns"


class VerdictName(StrEnum):
    """The two verdicts."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


def list_candidates(
    run: RunFolder,
    stage: Annotated[
        StageName, typer.Option("--stage", help="Which candidates.")
    ] = StageName.INSTRUCTIONS,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only those rejected for this reason.")
    ] = None,
    verdict: Annotated[VerdictName | None, typer.Option("--verdict", help="Only these.")] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Only those that contain this text, in upper or lower case."),
    ] = None,
    round: Annotated[int | None, typer.Option("--round", help="Only those of this round.")] = None,
    min_rouge: Annotated[float | None, typer.Option("--min-rouge", help="Least ROUGE-L.")] = None,
    max_rouge: Annotated[float | None, typer.Option("--max-rouge", help="Most ROUGE-L.")] = None,
    min_logprob: Annotated[
        float | None, typer.Option("--min-logprob", help="Lowest nats per token.")
    ] = None,
    max_logprob: Annotated[
        float | None, typer.Option("--max-logprob", help="Highest nats per token.")
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="Column to sort by, such as rouge_l or mean_logprob.")
    ] = "judged",
    descending: Annotated[bool, typer.Option("--descending", help="The largest first.")] = False,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Number to skip.")] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Most candidates to list.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """List candidates with their verdicts, scores and nearest neighbours."""
    from selfinstruct import api

    rows = api.open_run(run).candidates(
        str(stage),
        verdict=verdict and str(verdict),
        reason=reason,
        round=round,
        text=text,
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
            print(json.dumps(plain_row(row), ensure_ascii=False))
        return
    _print_rows(list(rows), stage)


def _print_rows(rows: list[dict[str, Any]], stage: StageName) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=stage is not StageName.INSTRUCTIONS)
    columns = _COLUMNS[stage]
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(str(cell(row)))) for cell in columns.values()))
    stdout.print(table)
    stderr.print("1 candidate" if len(rows) == 1 else f"{len(rows)} candidates", highlight=False)


def _outcome(row: dict[str, Any]) -> str:
    """Return what was recorded, and what a person decided after that."""
    recorded = str(row["reason"] or row["verdict"])
    return f"{recorded}, then {row['override']}" if row["override"] else recorded


def _score(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: number(row[column])


def _said(row: dict[str, Any]) -> str:
    return "\n".join(f"{turn['role']}: {turn['text']}" for turn in row["turns"])


# What is shown of a row: its columns, and how each is made.
_COLUMNS: dict[StageName, dict[str, Callable[[dict[str, Any]], Any]]] = {
    StageName.INSTRUCTIONS: {
        "id": itemgetter("id"),
        "outcome": _outcome,
        "ROUGE-L": _score("rouge_l"),
        "neighbour": lambda row: row["neighbour_id"] or "",
        "nats/token": _score("mean_logprob"),
        "instruction": itemgetter("text"),
    },
    StageName.INSTANCES: {
        "id": itemgetter("id"),
        "outcome": _outcome,
        "nats/token": _score("mean_logprob"),
        "input": itemgetter("input"),
        "output": itemgetter("output"),
    },
    StageName.CONVERSATIONS: {
        "id": itemgetter("id"),
        "outcome": _outcome,
        "exchanges": itemgetter("exchanges"),
        "ended": itemgetter("ended"),
        "turns": _said,
    },
    StageName.TURNS: {
        "id": itemgetter("id"),
        "outcome": _outcome,
        "nats/token": _score("mean_logprob"),
        "shared": _score("shared"),
        "text": itemgetter("text"),
    },
}
