"""`selfinstruct audit`: what a run holds, what was rejected and why."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from selfinstruct.cli import decide, label, listing, show
from selfinstruct.cli.cells import per_round, plain_row, thresholds_line
from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.decide import AsJson, RunFolder
from selfinstruct.cli.error_rates import print_measured
from selfinstruct.cli.help import add, ending
from selfinstruct.cli.judge import judge
from selfinstruct.cli.repair import repair
from selfinstruct.cli.whatif import whatif
from selfinstruct.common.texts import amount, shown

if TYPE_CHECKING:
    from selfinstruct.audit.queries import Summary

# A running process updates its status every few seconds, but not while it reads a long prompt.
_STALE_SECONDS = 600

app = typer.Typer(
    help="Look at every candidate of a run and its verdict.",
    epilog=ending("selfinstruct audit summary outputs/first"),
    no_args_is_help=True,
)


def summary(run: RunFolder, as_json: AsJson = False) -> None:
    """Count the candidates of a run by verdict and reason; estimate error rates from ratings.

    Example:
        selfinstruct audit summary outputs/first
    """
    from selfinstruct.audit.error_rates import measure
    from selfinstruct.audit.queries import summarise
    from selfinstruct.store import open_run

    opened = open_run(run)
    totals, measured = summarise(opened), measure(opened)
    if as_json:
        rates = asdict(measured) if measured else None
        data = {**asdict(totals), "candidates": totals.candidates, "error_rates": rates}
        print(json.dumps(data, indent=2))
        return
    _print_summary(totals)
    if measured is not None:
        print_measured(measured)


def replay(run: RunFolder, as_json: AsJson = False) -> None:
    """Judge the recorded completions again; exit code 4 if any verdict differs.

    Example:
        selfinstruct audit replay outputs/first
    """
    from selfinstruct.store import open_run
    from selfinstruct.verdicts.replay import replay as replay_run

    opened = open_run(run)
    opened.verify()
    with per_round(opened, "replaying", quiet=as_json) as advance:
        differences = replay_run(opened, advance)
    if as_json:
        listed = [plain_row(asdict(difference)) for difference in differences]
        print(json.dumps({"rounds": len(opened.rounds()), "differences": listed}, indent=2))
    else:
        for difference in differences[:50]:
            stdout.print(
                f"{difference.id}: {difference.field}: recorded {shown(difference.recorded)}, "
                f"replayed {shown(difference.replayed)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        replayed = amount(len(opened.rounds()), "round")
        stdout.print(f"{replayed} replayed, {amount(len(differences), 'difference')}")
    if differences:
        raise typer.Exit(4)


def _print_summary(totals: Summary) -> None:
    from rich.markup import escape
    from rich.table import Table

    # Names and reasons come from outside: escape them, so that rich reads no markup in them.
    stdout.print(
        f"[bold]{escape(totals.name)}[/]: {escape(_state(totals.status))}",
        highlight=False,
    )
    toward = f"{totals.recorded_tasks} of {totals.target}"
    is_changed = totals.tasks != totals.recorded_tasks
    tasks = f"{totals.tasks} tasks (the rounds gave {toward})" if is_changed else f"{toward} tasks"
    stdout.print(
        f"{tasks} from {amount(totals.candidates, 'candidate')} in "
        f"{amount(totals.rounds, 'round')}, written by "
        f"{escape(totals.model)}",
        highlight=False,
        soft_wrap=True,
    )
    speed = totals.tokens["generated"] / totals.seconds if totals.seconds else 0
    stdout.print(
        f"{totals.tokens['generated']:,} tokens in {totals.seconds:.0f} s ({speed:.0f} a second), "
        f"engine idle {totals.engine_idle_share:.1%}, novelty filter {totals.novelty_share:.2%}",
        highlight=False,
    )
    stdout.print(thresholds_line(totals.likelihood), highlight=False, soft_wrap=True)
    if totals.yields:
        stdout.print(f"yield by round: {_sparkline(totals.yields)}", highlight=False)
    if totals.overrides:
        decided = ", ".join(f"{count} {action}" for action, count in totals.overrides.items())
        waits = f"; {totals.waiting} of them wait for instances" if totals.waiting else ""
        stdout.print(f"decided by people: {decided}{waits}", highlight=False, soft_wrap=True)
    if totals.failed_requests:
        failed = ", ".join(f"{n} {stage}" for stage, n in totals.failed_requests.items())
        stdout.print(f"requests that failed for good: {failed}", highlight=False, soft_wrap=True)
    for problem in totals.damaged:
        stderr.print(problem, markup=False, highlight=False, soft_wrap=True)
    tables: Mapping[str, Mapping[str, int]] = {
        "instructions": totals.instructions,
        "instances": totals.instances,
        "answers of other models": totals.answers,
        "conversations": totals.conversations,
        "turns of conversations": totals.turns,
        "revisions": totals.revisions,
    }
    for title, counts in tables.items():
        if not counts and title not in ("instructions", "instances"):
            continue
        table = Table(title=title, title_justify="left", show_footer=True)
        total = sum(counts.values())
        table.add_column("outcome", footer="all")
        table.add_column("count", justify="right", footer=str(total))
        table.add_column("share", justify="right")
        standing = totals.standing if totals.overrides and title == "instructions" else {}
        if standing:
            table.add_column("decisions applied", justify="right", footer=str(total))
        for outcome in dict.fromkeys([*counts, *standing]):
            count = counts.get(outcome, 0)
            cells = [outcome, str(count), f"{count / total:.1%}"]
            cells += [str(standing.get(outcome, 0))] if standing else []
            table.add_row(*cells, style="green" if outcome == "accepted" else "")
        stdout.print(table)


def _state(status: Mapping[str, Any]) -> str:
    """Return the state and its reason; for a running one, the age of its status."""
    if status["state"] == "running" and isinstance(status.get("heartbeat"), int | float):
        age = max(0.0, time.time() - status["heartbeat"])
        if age < _STALE_SECONDS:
            return f"running (last update {age:.0f} s ago)"
        return f"cut off while running (last update {age / 60:.0f} min ago); continue with --resume"
    why = f" ({status['reason']})" if status.get("reason") else ""
    return f"{status['state']}{why}"


def _sparkline(shares: list[float]) -> str:
    """Return one bar per round, full height for the largest, and the first and last share."""
    bars = "▁▂▃▄▅▆▇█"
    top = max(shares) or 1.0
    line = "".join(bars[min(7, int(share / top * 7.99))] for share in shares[-60:])
    return f"{line} {shares[0]:.0%} → {shares[-1]:.0%}"


# In the order in which --help lists them.
add(app, "summary", summary)
add(app, "list", listing.list_candidates)
add(app, "show", show.show)
add(app, "verify", show.verify)
add(app, "repair", repair)
add(app, "replay", replay)
add(app, "whatif", whatif)
add(app, "judge", judge)
add(app, "sample", label.sample)
add(app, "label", label.label)
add(app, "restore", decide.restore)
add(app, "drop", decide.drop)
add(app, "edit", decide.edit)
add(app, "undo", decide.undo)
