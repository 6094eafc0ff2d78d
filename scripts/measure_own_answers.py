"""How often a model's own answers to closed tasks are right: all of them, and those that are kept.

`python scripts/measure_own_answers.py RUN ...` reads runs whose outputs are the right answers (such
as `seeds/closed_tasks.jsonl`, imported), which `selfinstruct answer --votes` or `--rationale`
answered. docs/own-outputs.md has the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import ACCEPTED, Completion
from selfinstruct.common.statistics import wilson
from selfinstruct.dataset.chosen_answers import is_taken
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.verdicts.own_answers import Method, matches, method_of

THRESHOLDS = (0.0, 0.5, 0.75, 1.0)


def main() -> None:
    """Print a table for each way in which the runs were answered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    for path in parser.parse_args().runs:
        run = open_run(path)
        known = {row.id: row.output for n in run.rounds() for row in run.instances(n)}
        for number in ANSWERS.numbers(run):
            info = ANSWERS.info(run, number)
            method = method_of(info)
            if method is None:
                continue
            print(f"\n{path}, answers {number}: {info['model']['name']}, {method.stored()}")
            print(f"{info['tokens']['generated']} tokens, {info['seconds']:.0f} s")
            print("\n".join(_lines(run, number, method, known)))


def _lines(run: Run, number: int, method: Method, known: dict[str, str]) -> Iterator[str]:
    completions = {one.id: one for one in ANSWERS.read_completions(run, number)}
    rows = ANSWERS.read_answers(run, number)

    def right(one: Completion) -> bool:
        return matches(one, known[ids.answered_by(one.request.about)], method)

    def is_right(row: AnswerCandidate) -> bool:
        return right(completions[row.completion_id])

    if method.votes > 1:
        yield _share("one sampled answer", list(map(right, completions.values())), tasks=False)
        for least in THRESHOLDS:
            kept = [row for row in rows if is_taken(row, least) and (row.agreement or 0) > 0]
            yield _share(f"majority, agreement at least {least:g}", list(map(is_right, kept)))
        return
    first = [row for row in rows if not row.hinted]
    yield _share("first attempts", list(map(is_right, first)))
    for name, own in (("first attempts", first), ("hinted", [r for r in rows if r.hinted])):
        accepted = sum(row.verdict == ACCEPTED for row in own)
        yield f"{name}: {accepted} of {len(own)} accepted"


def _share(name: str, right: Sequence[bool], *, tasks: bool = True) -> str:
    if not right:
        return f"{name}: none"
    share = f"{name}: {sum(right)} of {len(right)} right, {sum(right) / len(right):.0%}"
    if not tasks:  # samples of one task depend on each other
        return share
    low, high = wilson(sum(right), len(right))
    return f"{share} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    main()
