"""`selfinstruct audit list`: candidates with their verdicts, scores and nearest neighbours."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from selfinstruct.cli.cells import Cut, number, plain_row
from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.decide import RunFolder
from selfinstruct.cli.options import renamed

WHICH = "Which candidates"
# On a terminal of fewer columns than the first, all but ids and texts fold at the second.
_WIDE, _NARROW = 110, 10


class StageName(StrEnum):
    """Which candidates to list."""

    INSTRUCTIONS = "instructions"
    INSTANCES = "instances"


class VerdictName(StrEnum):
    """The two verdicts."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


def list_candidates(
    run: RunFolder,
    stage: Annotated[
        StageName, typer.Option("--stage", help="Which candidates.", rich_help_panel=WHICH)
    ] = StageName.INSTRUCTIONS,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason", help="Only those rejected for this reason.", rich_help_panel=WHICH
        ),
    ] = None,
    verdict: Annotated[
        VerdictName | None, typer.Option("--verdict", help="Only these.", rich_help_panel=WHICH)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--contains",
            help="Only those that contain this text, in upper or lower case.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    former: Annotated[str | None, renamed("--text")] = None,
    round: Annotated[
        int | None, typer.Option("--round", help="Only those of this round.", rich_help_panel=WHICH)
    ] = None,
    min_rouge: Annotated[
        float | None, typer.Option("--min-rouge", help="Least ROUGE-L.", rich_help_panel=WHICH)
    ] = None,
    max_rouge: Annotated[
        float | None, typer.Option("--max-rouge", help="Most ROUGE-L.", rich_help_panel=WHICH)
    ] = None,
    min_logprob: Annotated[
        float | None,
        typer.Option("--min-logprob", help="Lowest nats per token.", rich_help_panel=WHICH),
    ] = None,
    max_logprob: Annotated[
        float | None,
        typer.Option("--max-logprob", help="Highest nats per token.", rich_help_panel=WHICH),
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
            print(json.dumps(plain_row(row), ensure_ascii=False))
        return
    _print_rows(list(rows), stage, run)


def _print_rows(rows: list[dict[str, Any]], stage: StageName, run: Path) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    instances = stage is StageName.INSTANCES
    scores = ["nats/token"] if instances else ["ROUGE-L", "neighbour", "nats/token"]
    texts = ["input", "output"] if instances else ["text"]
    table = Table(box=box.HORIZONTALS, show_lines=instances)
    table.add_column("id", no_wrap=True)
    most = None if stdout.width >= _WIDE else _NARROW
    for name in ("outcome", *scores):
        table.add_column(name.replace("/", "/\n"), overflow="fold", max_width=most)
    for name in texts:
        table.add_column("instruction" if name == "text" else name)
    for row in rows:
        cells = {
            "ROUGE-L": number(row.get("rouge_l")),
            "neighbour": row.get("neighbour_id") or "",
            "nats/token": number(row["mean_logprob"]),
        }
        short = (row["id"], _outcome(row), *(cells[name] for name in scores))
        table.add_row(
            *(Text(plain(str(cell))) for cell in short), *(Cut(row[name]) for name in texts)
        )
    stdout.print(table)
    count = "1 candidate" if len(rows) == 1 else f"{len(rows)} candidates"
    whole = f"; whole texts: --json, or: selfinstruct audit show {shlex.quote(str(run))} ID"
    stderr.print(f"{count}{whole if rows else ''}", markup=False, highlight=False, soft_wrap=True)


def _outcome(row: dict[str, Any]) -> str:
    """Return what was recorded, and what a person decided after that."""
    recorded = str(row["reason"] or row["verdict"])
    return f"{recorded}, then {row['override']}" if row["override"] else recorded
