"""How good are the tasks that a model writes by default? The study behind docs/engine.md.

    python scripts/study_tasks.py sheet NAME=RUN... --each 50 --out sheet.jsonl   tasks to rate
    python scripts/study_tasks.py table NAME=RUN... [--ratings FILE...]           the figures

A sheet has instruction, input and output of accepted tasks of all runs, mixed, under names that
tell nothing. Readers add a rating from A to D to each line:

    A  a clear, useful task, and a right and complete answer
    B  a good task whose answer has a small flaw
    C  a task with a real flaw: vague, a wrong answer, an answer that ignores the input
    D  no task, or no answer to it

`--ratings` takes such sheets with a key "rating", one file for each reader.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from selfinstruct.common.records import ACCEPTED, InstructionCandidate
from selfinstruct.common.statistics import wilson
from selfinstruct.filters.outcomes import OVER_TARGET
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.counts import written_tokens

GOOD = frozenset("AB")


@dataclass(frozen=True)
class Figures:
    """What a run gave; tokens are those that the model wrote."""

    candidates: int
    good_enough: int
    tasks: int
    copies: int
    holding: int
    instances: int
    kept: int
    tokens: int
    by_reason: dict[str, int]


def words(text: str) -> str:
    """Return a text as words between spaces, for comparing: case and marks do not count."""
    return " " + " ".join(re.findall(r"\w+", text.casefold())) + " "


def figures(run: Run) -> Figures:
    """Count the candidates, copies, instances and tokens of a run."""
    texts = {seed.pool_id: seed.instruction for seed in stored_inputs(run).seeds}
    rows: list[InstructionCandidate] = []
    instances = kept = tokens = 0
    for number in run.rounds():
        rows += run.instructions(number)
        own = run.instances(number)
        instances += len(own)
        kept += sum(row.verdict == ACCEPTED for row in own)
        tokens += sum(written_tokens(completion) for completion in run.completions(number))
    texts |= {row.id: row.text for row in rows}
    copies = holding = tasks = surplus = 0
    by_reason: dict[str, int] = {}
    for row in rows:
        shown = [words(texts[id]) for id in row.parents if id in texts]
        own_words = words(row.text)
        copies += own_words in shown
        tasks += row.verdict == ACCEPTED
        surplus += row.reason == OVER_TARGET.reason
        # A text of three words or fewer may stand in another by chance.
        held = [text for text in shown if len(text.split()) > 3 and text in own_words]
        holding += row.verdict == ACCEPTED and bool(held)
        outcome = str(row.reason or row.verdict)
        by_reason[outcome] = by_reason.get(outcome, 0) + 1
    return Figures(
        len(rows), tasks + surplus, tasks, copies, holding, instances, kept, tokens, by_reason
    )


def blind(name: str, id: str) -> str:
    """Return a name for a task that tells neither its run nor its place."""
    return hashlib.sha256(f"{name}/{id}".encode()).hexdigest()[:10]


def accepted(name: str, run: Run) -> Iterator[dict[str, str]]:
    """Yield the first accepted instance of each accepted task, blind."""
    for number in run.rounds():
        by_task: dict[str, list[tuple[str, str]]] = {}
        for row in run.instances(number):
            if row.verdict == ACCEPTED:
                by_task.setdefault(row.instruction_id, []).append((row.input, row.output))
        for task in run.instructions(number):
            if task.verdict == ACCEPTED and task.id in by_task:
                input, output = by_task[task.id][0]
                texts = {"instruction": task.text, "input": input, "output": output}
                yield {"id": blind(name, task.id), **texts}


def write_sheet(runs: dict[str, Run], each: int, out: Path) -> None:
    """Write so many tasks of each run, drawn and mixed by the hash of their names."""
    drawn = []
    for name, run in runs.items():
        drawn += sorted(accepted(name, run), key=lambda task: task["id"])[:each]
    drawn.sort(key=lambda task: task["id"])
    out.write_text("".join(json.dumps(task, ensure_ascii=False) + "\n" for task in drawn), "utf-8")


def read_ratings(files: Sequence[Path]) -> list[dict[str, str]]:
    """Return the rating of each task by its blind name, for each reader."""
    readers = []
    for file in files:
        lines = map(json.loads, file.read_text("utf-8").splitlines())
        readers.append({line["id"]: str(line["rating"]).strip().upper() for line in lines})
    return readers


def table(runs: dict[str, Run], readers: list[dict[str, str]]) -> Table:
    """Return the figures of the runs side by side."""
    table = Table()
    for column in (
        *("run", "candidates", "yield", "copies", "accepted that hold a shown task", "tasks"),
        *("instances kept", "tokens a task", "rated A B C D", "A or B"),
        *("A/B per 1,000 candidates", "A/B per million tokens"),
    ):
        table.add_column(column, justify="left" if column == "run" else "right")
    for name, run in runs.items():
        row = figures(run)
        ids = {task["id"] for task in accepted(name, run)}
        given = [rating for reader in readers for id, rating in reader.items() if id in ids]
        good = sum(rating in GOOD for rating in given)
        share = good / len(given) if given else float("nan")
        low, high = wilson(good, len(given))
        counts = " ".join(str(given.count(grade)) for grade in "ABCD")
        table.add_row(
            name,
            f"{row.candidates:,}",
            f"{row.good_enough / row.candidates:.1%}",
            f"{row.copies} ({row.copies / row.candidates:.1%})",
            str(row.holding),
            str(row.tasks),
            f"{row.kept} of {row.instances} ({row.kept / max(row.instances, 1):.0%})",
            f"{row.tokens / max(row.tasks, 1):,.0f}",
            counts if given else "",
            f"{share:.0%} ({low:.0%} to {high:.0%})" if given else "",
            f"{1000 * share * row.good_enough / row.candidates:.0f}" if given else "",
            f"{1e6 * share * row.tasks / row.tokens:,.0f}" if given else "",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sheet", "table"):
        command = commands.add_parser(name)
        command.add_argument("runs", nargs="+", metavar="NAME=RUN")
    commands.choices["sheet"].add_argument("--each", type=int, default=50)
    commands.choices["sheet"].add_argument("--out", type=Path, required=True)
    commands.choices["table"].add_argument("--ratings", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    named = dict(spec.split("=", 1) for spec in asked.runs)
    runs = {name: open_run(Path(path)) for name, path in named.items()}
    if asked.command == "sheet":
        write_sheet(runs, asked.each, asked.out)
        return 0
    Console(width=200).print(table(runs, read_ratings(asked.ratings)))
    for name, run in runs.items():
        reasons = sorted(figures(run).by_reason.items(), key=lambda item: -item[1])
        print(f"{name}: " + ", ".join(f"{outcome} {count}" for outcome, count in reasons))
    return 0


if __name__ == "__main__":
    sys.exit(main())
