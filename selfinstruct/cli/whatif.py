"""`selfinstruct audit whatif`: a run judged again by other thresholds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.cells import Cut, number, per_round, plain_row, thresholds_line
from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.error_rates import print_what_if_rates
from selfinstruct.cli.help import default
from selfinstruct.common.controls import json_text

if TYPE_CHECKING:
    from selfinstruct.audit.error_rates import WhatIfRates
    from selfinstruct.store import Run
    from selfinstruct.verdicts.whatif import Change, Thresholds, WhatIf

# As selfinstruct.verdicts.whatif has it; named here so that --help loads nothing.
PENDING = "pending_instances"


def whatif(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    rouge: Annotated[
        float | None,
        typer.Option("--rouge", help="ROUGE-L threshold to judge by." + default("the run's")),
    ] = None,
    min_logprob: Annotated[
        float | None,
        typer.Option(
            "--min-logprob",
            help="Minimum mean log-probability in nats per token, such as -2.5, for every kind "
            "of text." + default("the run's"),
        ),
    ] = None,
    max_logprob: Annotated[
        float | None,
        typer.Option(
            "--max-logprob",
            help="Maximum mean log-probability in nats per token, such as -0.05."
            + default("the run's"),
        ),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(
            "--quantile",
            help="Quantile of the first candidates' likelihood that becomes the threshold; about "
            "this share of candidates is rejected." + default("the run's"),
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the result as a new run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a run's candidates again with other thresholds, without changing the run.

    The result is an approximation: in a real run with these thresholds, the model would have seen
    other tasks, and so would have proposed others. With --out, instructions that were rejected
    before and pass now are `pending_instances`; `selfinstruct complete` writes their instances.

    Example:
        selfinstruct audit whatif outputs/first --rouge 0.6
    """
    from selfinstruct.store import open_run
    from selfinstruct.verdicts.whatif import Thresholds, save_what_if, what_if

    opened = open_run(run)
    thresholds = Thresholds(rouge, min_logprob, max_logprob, quantile)
    if out is not None:
        from selfinstruct.verdicts.rejudge import check_free

        check_free(out)
    with per_round(opened, "judging again", quiet=as_json) as advance:
        result = what_if(opened, thresholds, advance)
    if out is not None:
        with per_round(opened, "writing", quiet=as_json) as advance:
            save_what_if(opened, thresholds, out, lambda _: advance(0))
    rates, stale = _rates(opened, result)
    if as_json:
        data = {**_what_if_data(result, thresholds), "error_rates": [asdict(one) for one in rates]}
        print(json_text(data, indent=2))
    else:
        _print_what_if(result)
        print_what_if_rates(rates)
    if stale:
        stderr.print(f"no error rates: {stale}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        return
    if out is not None:
        _print_next(out, pending=result.after.get(PENDING, 0))


def _rates(run: Run, result: WhatIf) -> tuple[list[WhatIfRates], str | None]:
    """Return the error rates, or why the existing ratings do not give them."""
    from selfinstruct.audit.error_rates import what_if_rates
    from selfinstruct.common.errors import ConfigError

    try:
        return what_if_rates(run, result), None
    except ConfigError as error:
        return [], str(error)


def _what_if_data(result: WhatIf, thresholds: Thresholds) -> dict[str, Any]:
    """Return what --json prints: of instructions at the top, of instances in `instances`."""

    def counted(after: Mapping[str, int], changes: Sequence[Change]) -> dict[str, Any]:
        kept = ("accepted", PENDING)
        rows = [plain_row(asdict(change)) for change in changes]
        return {
            "changed": len(changes),
            "accepted": after.get("accepted", 0),
            PENDING: after.get(PENDING, 0),
            "rejected": {outcome: n for outcome, n in after.items() if outcome not in kept},
            "ids": [row["id"] for row in rows],
            "changes": rows,
        }

    return {
        **asdict(thresholds),
        **counted(result.after, result.changes),
        "instances": counted(result.instances_after, result.instance_changes),
        "likelihood": dict(result.thresholds),
    }


def _print_next(out: Path, *, pending: int) -> None:
    stdout.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)
    words = ["complete", str(out)] if pending else ["audit", "summary", str(out)]
    command = shlex.join(["selfinstruct", *words])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _print_what_if(result: WhatIf) -> None:
    from rich.table import Table
    from rich.text import Text

    for title, before, after in (
        ("instructions", result.before, result.after),
        ("instances", result.instances_before, result.instances_after),
    ):
        table = Table(title=title, title_justify="left")
        for column in ("outcome", "recorded", "judged again", "change"):
            table.add_column(column, justify="left" if column == "outcome" else "right")
        for outcome in sorted({*before, *after}, key=lambda o: (-before[o], o)):
            was, now = before[outcome], after[outcome]
            table.add_row(outcome, str(was), str(now), f"{now - was:+d}" if now != was else "")
        stdout.print(table)
    stdout.print(thresholds_line(result.thresholds), highlight=False, soft_wrap=True)
    if not result.changes and not result.instance_changes:
        stdout.print("no candidate changes")
        return
    shown = Table(title="changes, the first 20", title_justify="left")
    columns = ("id", "recorded", "judged again", "nats/token", "ROUGE-L", "neighbour")
    for column in (*columns, "text"):
        shown.add_column(column, overflow="fold")
    for one in islice(chain(result.changes, result.instance_changes), 20):
        scores = (number(one.mean_logprob), number(one.rouge_l))
        cells = (one.id, one.before, one.after, *scores, one.neighbour_id)
        shown.add_row(*(Text(plain(str(cell or ""))) for cell in cells), Cut(one.text))
    stdout.print(shown)
    for what, count in (
        ("instruction", len(result.changes)),
        ("instance", len(result.instance_changes)),
    ):
        if count:
            stdout.print(f"1 {what} changes" if count == 1 else f"{count} {what}s change")
