"""`selfinstruct audit`: what a run holds, what was rejected and why."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.console import plain, stderr, stdout

if TYPE_CHECKING:
    from selfinstruct.audit.queries import Summary
    from selfinstruct.audit.whatif import Change, Thresholds, WhatIf
    from selfinstruct.store import Run

# As selfinstruct.audit.whatif has it; named here so that --help loads nothing.
PENDING = "pending_instances"
# A running process gives a sign every few seconds, but not while a long prompt is read.
_STALE_SECONDS = 600

app = typer.Typer(help="Look at every candidate of a run and its verdict.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class StageName(StrEnum):
    """Which candidates to list."""

    INSTRUCTIONS = "instructions"
    INSTANCES = "instances"


class VerdictName(StrEnum):
    """The two verdicts."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@app.command("summary")
def summary(run: RunFolder, as_json: AsJson = False) -> None:
    """Count the candidates of a run by verdict and reason."""
    from selfinstruct.audit.queries import summarise
    from selfinstruct.store import open_run

    found = summarise(open_run(run))
    if as_json:
        data = {**asdict(found), "candidates": found.candidates}
        print(json.dumps(data, indent=2))
        return
    _print_summary(found)


@app.command("list")
def list_candidates(
    run: RunFolder,
    stage: Annotated[
        StageName, typer.Option("--stage", help="Which candidates.")
    ] = StageName.INSTRUCTIONS,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only those rejected for this reason.")
    ] = None,
    verdict: Annotated[VerdictName | None, typer.Option("--verdict", help="Only these.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List candidates with their verdicts, scores and nearest neighbours."""
    from selfinstruct.audit.queries import list_candidates as query
    from selfinstruct.errors import ConfigError
    from selfinstruct.records import Reason
    from selfinstruct.store import open_run

    if reason is not None and reason not in set(Reason):
        raise ConfigError(f"--reason {reason}: there is none; there are: {', '.join(Reason)}")
    rows = query(
        open_run(run),
        str(stage),
        verdict=verdict and str(verdict),
        reason=reason,
        limit=limit,
    )
    if as_json:
        for row in rows:
            print(json.dumps(_plain(row), ensure_ascii=False))
        return
    _print_rows(list(rows), stage)


@app.command("replay")
def replay(run: RunFolder, as_json: AsJson = False) -> None:
    """Judge the recorded completions again; exit code 4 if any verdict differs."""
    from selfinstruct.audit.replay import replay as replay_run
    from selfinstruct.store import open_run

    opened = open_run(run)
    opened.verify()
    with _per_round(opened, "replaying", quiet=as_json) as advance:
        differences = replay_run(opened, advance)
    if as_json:
        listed = [_plain(asdict(difference)) for difference in differences]
        print(json.dumps({"rounds": len(opened.rounds()), "differences": listed}, indent=2))
    else:
        for difference in differences[:50]:
            stdout.print(
                f"{difference.id}: {difference.field}: recorded {difference.recorded!r}, "
                f"replayed {difference.replayed!r}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        stdout.print(f"{len(opened.rounds())} rounds replayed, {len(differences)} differences")
    if differences:
        raise typer.Exit(4)


@app.command("whatif")
def whatif(
    run: RunFolder,
    rouge: Annotated[
        float | None, typer.Option("--rouge", help="ROUGE-L threshold to judge by instead.")
    ] = None,
    min_logprob: Annotated[
        float | None,
        typer.Option("--min-logprob", help="Least nats per token, such as -2.5, of every kind."),
    ] = None,
    max_logprob: Annotated[
        float | None, typer.Option("--max-logprob", help="Most nats per token, such as -0.05.")
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option("--quantile", help="Share of the first candidates to find too improbable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write what comes of it as a run of its own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the candidates of a run again by other thresholds; the run stays as it is.

    The proposals are those of the run: with other thresholds the loop would have gone on from
    another pool and proposed other tasks. With --out, instructions that pass only now are
    `pending_instances`, and `selfinstruct complete` writes their instances.
    """
    from selfinstruct.audit.whatif import Thresholds, save_what_if, what_if
    from selfinstruct.store import open_run

    opened = open_run(run)
    wanted = Thresholds(rouge, min_logprob, max_logprob, quantile)
    if out is not None:
        from selfinstruct.rejudge import check_free

        check_free(out)
    with _per_round(opened, "judging again", quiet=as_json) as advance:
        found = what_if(opened, wanted, advance)
    if out is not None:
        with _per_round(opened, "writing", quiet=as_json) as advance:
            save_what_if(opened, wanted, out, lambda _: advance(0))
    if as_json:
        print(json.dumps(_what_if_data(found, wanted), indent=2, ensure_ascii=False))
        return
    _print_what_if(found)
    if out is not None:
        _print_next(out, pending=found.after.get(PENDING, 0))


@contextmanager
def _per_round(run: Run, what: str, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar that is moved on by one for each round."""
    from rich.progress import track

    steps = iter(track(run.rounds(), what, console=stderr, transient=True, disable=quiet))
    next(steps, None)
    yield lambda _: next(steps, None)
    for _ in steps:
        pass


def _what_if_data(found: WhatIf, wanted: Thresholds) -> dict[str, Any]:
    """Return what --json prints: of instructions at the top, of instances in `instances`."""

    def counted(after: Mapping[str, int], changes: Sequence[Change]) -> dict[str, Any]:
        kept = ("accepted", PENDING)
        return {
            "changed": len(changes),
            "accepted": after.get("accepted", 0),
            PENDING: after.get(PENDING, 0),
            "rejected": {outcome: n for outcome, n in after.items() if outcome not in kept},
            "ids": [change.id for change in changes],
            "changes": [_plain(asdict(change)) for change in changes],
        }

    return {
        **asdict(wanted),
        **counted(found.after, found.changes),
        "instances": counted(found.instances_after, found.instance_changes),
        "likelihood": dict(found.thresholds),
    }


def _print_next(out: Path, *, pending: int) -> None:
    stdout.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)
    words = ["complete", str(out)] if pending else ["audit", "summary", str(out)]
    command = shlex.join(["selfinstruct", *words])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _print_what_if(found: WhatIf) -> None:
    from rich.table import Table
    from rich.text import Text

    for title, before, after in (
        ("instructions", found.before, found.after),
        ("instances", found.instances_before, found.instances_after),
    ):
        table = Table(title=title, title_justify="left")
        for column in ("outcome", "recorded", "judged again", "change"):
            table.add_column(column, justify="left" if column == "outcome" else "right")
        for outcome in sorted({*before, *after}, key=lambda o: (-before[o], o)):
            was, now = before[outcome], after[outcome]
            table.add_row(outcome, str(was), str(now), f"{now - was:+d}" if now != was else "")
        stdout.print(table)
    stdout.print(_thresholds_line(found.thresholds), highlight=False, soft_wrap=True)
    if not found.changes:
        stdout.print("no candidate changes")
        return
    shown = Table(title="changes, the first 20", title_justify="left")
    columns = ("id", "recorded", "judged again", "nats/token", "ROUGE-L", "neighbour")
    for column in (*columns, "instruction"):
        shown.add_column(column, overflow="fold")
    for one in found.changes[:20]:
        scores = (_number(one.mean_logprob), _number(one.rouge_l))
        cells = (one.id, one.before, one.after, *scores, one.neighbour_id, one.text)
        shown.add_row(*(Text(plain(str(cell or ""))) for cell in cells))
    stdout.print(shown)
    count = len(found.changes)
    stdout.print("1 candidate changes" if count == 1 else f"{count} candidates change")


def _thresholds_line(thresholds: Mapping[str, float | None]) -> str:
    """Return the least nats per token of each kind, as far as they are known."""
    known = [f"{kind} {value:.2f}" for kind, value in thresholds.items() if value is not None]
    return f"likelihood: least nats per token: {', '.join(known)}" if known else "likelihood: off"


def _print_summary(found: Summary) -> None:
    from rich.markup import escape
    from rich.table import Table

    # Names and reasons come from outside: escaped, they cannot be taken for markup.
    stdout.print(f"[bold]{escape(found.name)}[/]: {escape(_state(found.status))}", highlight=False)
    stdout.print(
        f"{found.tasks} of {found.target} tasks from {found.candidates} candidates in "
        f"{found.rounds} rounds, written by {escape(found.model)}",
        highlight=False,
        soft_wrap=True,
    )
    speed = found.tokens["generated"] / found.seconds if found.seconds else 0
    stdout.print(
        f"{found.tokens['generated']:,} tokens in {found.seconds:.0f} s ({speed:.0f} a second), "
        f"engine idle {found.engine_idle_share:.1%}, novelty filter {found.novelty_share:.2%}",
        highlight=False,
    )
    stdout.print(_thresholds_line(found.likelihood), highlight=False, soft_wrap=True)
    if found.yields:
        stdout.print(f"yield by round: {_sparkline(found.yields)}", highlight=False)
    tables: Mapping[str, Mapping[str, int]] = {
        "instructions": found.instructions,
        "instances": found.instances,
        "answers of other models": found.answers,
    }
    for title, counts in tables.items():
        if not counts and title.startswith("answers"):
            continue
        table = Table(title=title, title_justify="left", show_footer=True)
        total = sum(counts.values())
        table.add_column("outcome", footer="all")
        table.add_column("count", justify="right", footer=str(total))
        table.add_column("share", justify="right")
        for outcome, count in counts.items():
            style = "green" if outcome == "accepted" else ""
            table.add_row(outcome, str(count), f"{count / total:.1%}", style=style)
        stdout.print(table)


def _state(status: Mapping[str, Any]) -> str:
    """Return the state and its reason; of a running one, how long ago it last gave a sign."""
    if status["state"] == "running" and isinstance(status.get("heartbeat"), int | float):
        age = max(0.0, time.time() - status["heartbeat"])
        if age < _STALE_SECONDS:
            return f"running (last sign {age:.0f} s ago)"
        return f"cut off while running (last sign {age / 60:.0f} min ago); go on with --resume"
    why = f" ({status['reason']})" if status.get("reason") else ""
    return f"{status['state']}{why}"


def _sparkline(shares: list[float]) -> str:
    """Return one bar a round, the full height for the largest, and the last as a number."""
    bars = "▁▂▃▄▅▆▇█"
    top = max(shares) or 1.0
    line = "".join(bars[min(7, int(share / top * 7.99))] for share in shares[-60:])
    return f"{line} {shares[0]:.0%} → {shares[-1]:.0%}"


def _print_rows(rows: list[dict[str, Any]], stage: StageName) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=stage is StageName.INSTANCES)
    if stage is StageName.INSTRUCTIONS:
        for name in ("id", "outcome", "ROUGE-L", "neighbour", "nats/token", "instruction"):
            table.add_column(name, overflow="fold")
        for row in rows:
            cells = (
                row["id"],
                row["reason"] or row["verdict"],
                _number(row["rouge_l"]),
                row["neighbour_id"] or "",
                _number(row["mean_logprob"]),
                row["text"],
            )
            table.add_row(*(Text(plain(str(cell))) for cell in cells))
    else:
        for name in ("id", "outcome", "nats/token", "input", "output"):
            table.add_column(name, overflow="fold")
        for row in rows:
            outcome = row["reason"] or row["verdict"]
            score = _number(row["mean_logprob"])
            shown = (row["id"], outcome, score, row["input"], row["output"])
            table.add_row(*(Text(plain(str(cell))) for cell in shown))
    stdout.print(table)
    stderr.print("1 candidate" if len(rows) == 1 else f"{len(rows)} candidates", highlight=False)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Turn NaN, which JSON lacks, into null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }
