"""Compare the styles of proposal on one model: yield, copies, rejects, tokens, time, words.

One run for each style, with the same seeds, target and rounds of one size; no round is proposed
ahead, so that no tokens are written that count nowhere. A run that exists is continued.

    python scripts/compare_styles.py --model bundled --target 30 --out outputs/styles

`--read N` prints N tasks of each run instead, for a reader to rate.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from selfinstruct import api
from selfinstruct.common.records import ACCEPTED, InstructionCandidate
from selfinstruct.config.styles import STYLES
from selfinstruct.filters.copies import words_of
from selfinstruct.store import Run, open_run

# A task of the prompt or the pool again, as it is or within a longer text.
COPIES = ("copies_prompt", "unchanged", "holds_known")


def candidates(run: Run) -> list[InstructionCandidate]:
    return [row for number in run.rounds() for row in run.instructions(number)]


def is_copy(row: InstructionCandidate) -> bool:
    """Whether a candidate is a known task: by its reason, or word for word a seed."""
    same = row.rouge_l >= 1 and str(row.neighbour_id).startswith("seed:")
    return row.reason in COPIES or same


def line(style: str, run: Run) -> str:
    rows = candidates(run)
    tasks = [row for row in rows if row.verdict == ACCEPTED]
    infos = [run.info(number) for number in run.rounds()]
    tokens = sum(info["tokens"]["generated"] for info in infos)
    good = sum(row.verdict == ACCEPTED or row.reason == "over_target" for row in rows)
    rejected = Counter(row.reason for row in rows if row.reason not in (None, "over_target"))
    top = ", ".join(f"`{reason}` {count}" for reason, count in rejected.most_common(3))
    words = {word for row in tasks for word in words_of(row.text)}
    cells = (
        f"`{style}`",
        f"{len(tasks)}",
        f"{good} of {len(rows)} ({good / max(1, len(rows)):.0%})",
        f"{sum(map(is_copy, rows)) / max(1, len(rows)):.0%}",
        top,
        f"{tokens / max(1, len(tasks)):.0f}",
        f"{sum(info['seconds'] for info in infos) / 60:.1f}",
        f"{len(words) / max(1, len(tasks)):.1f}",
    )
    return f"| {' | '.join(cells)} |"


def print_tasks(run: Run, count: int) -> None:
    rows = [row for row in candidates(run) if row.verdict == ACCEPTED][:count]
    outputs = {
        row.instruction_id: row
        for number in run.rounds()
        for row in reversed(run.instances(number))
        if row.verdict == ACCEPTED
    }
    for row in rows:
        task = outputs[row.id]
        print(f"\n## {row.id} {row.operation or ''}\n{row.text}")
        print(f"INPUT: {task.input}\nOUTPUT: {task.output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--target", type=int, default=30)
    parser.add_argument("--max-rounds", type=int, default=8)
    parser.add_argument("--per-round", type=int, default=16)
    parser.add_argument("--styles", nargs="+", default=list(STYLES), choices=list(STYLES))
    parser.add_argument("--out", type=Path, default=Path("outputs/styles"))
    parser.add_argument("--read", type=int, metavar="N")
    given = parser.parse_args()
    if given.read:
        for style in given.styles:
            print(f"\n# {style}")
            print_tasks(open_run(given.out / style), given.read)
        return
    lines = []
    for style in given.styles:
        run = api.generate(
            given.out / style,
            model=given.model,
            style=style,
            target=given.target,
            max_rounds=given.max_rounds,
            resume=True,
            settings={"propose.per_round": given.per_round, "overlap": False},
        )
        lines.append(line(style, open_run(run.path)))
        print(lines[-1], flush=True)
    print(
        "\n| style | tasks | passed | copies | most frequent reasons | tokens a task | minutes "
        "| distinct words a task |\n|---|---:|---:|---:|---|---:|---:|---:|"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
