"""Measure how much of what people wrote the rules on text reject: by reason and version.

`python scripts/measure_rules.py FILE...` prints a table for each file of JSON lines. `--show
REASON` lists what the last version rejects for a reason, `--check` fails where a share is above
3 %. A row is a task in a known shape:

- `instruction` and `instances` (each with `input` and `output`), as in seed files
- `instruction`, `input` (or `context`) and `output` (or `response`)
- `question` and `answer`

Likelihood and ROUGE-L are not measured here: they depend on a model and on a pool. For
`copies_prompt` each instruction gets eight others of its file as the tasks of its prompt, and for
`holds_known` all that stand before it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.common.records import Markers
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.filters.rule import (
    InstanceFacts,
    InstructionFacts,
    Of,
    Rule,
    When,
    first_failure,
)
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import load_prompts
from selfinstruct.verdicts.parse.first import clean_instruction

VERSIONS = (2, 3, 4, 5)
SHOWN = 8
MOST = 0.03
_UNSCORED = {"scorable", "novelty", "low_likelihood", "max_logprob"}


@dataclass(frozen=True)
class Task:
    """An instruction and its (input, output) pairs."""

    instruction: str
    pairs: Sequence[tuple[str, str]]


@dataclass
class Count:
    """What one version rejects of one file: (reason, text) of each, and how many there were."""

    instructions: int = 0
    instances: int = 0
    instruction_rejects: list[tuple[str, str]] = field(default_factory=list)
    instance_rejects: list[tuple[str, str]] = field(default_factory=list)


def read_tasks(path: Path) -> Iterator[Task]:
    """Yield the tasks of a file of JSON lines."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield _task(json.loads(line))


def _task(row: dict[str, Any]) -> Task:
    instruction = clean_instruction(row.get("instruction") or row.get("question") or "")
    if "instances" in row:
        pairs = [(pair.get("input", ""), pair["output"]) for pair in row["instances"]]
    else:
        output = row.get("output") or row.get("response") or row.get("answer")
        input = row.get("input") or row.get("context") or ""
        pairs = [] if output is None else [(input, output)]
    return Task(instruction, [(input.strip(), output.strip()) for input, output in pairs])


def measure(tasks: Iterable[Task], version: int) -> Count:
    """Check every task by the rules on text of a version; an instruction counts once."""
    config = RunConfig(rules_version=version)
    rules = [rule for rule in rules_in_force(Of.INSTRUCTION, version) if _is_asked(rule)]
    on_instances = [rule for rule in rules_in_force(Of.INSTANCE, version) if rule.when is When.TEXT]
    own_lines = load_prompts().own_lines()
    index = NoveltyIndex(version=version)
    count, earlier = Count(), list[str]()
    seen: set[str] = set()
    for task in tasks:
        if task.instruction not in seen:
            seen.add(task.instruction)
            draw = random.Random(len(earlier))
            shown = tuple(draw.sample(earlier, min(SHOWN, len(earlier))))
            facts = InstructionFacts(
                task.instruction, prompt_lines=own_lines, shown=shown, held=index.held
            )
            failure = first_failure(rules, facts, config)
            count.instructions += 1
            if failure is not None:
                count.instruction_rejects.append((failure.reason, task.instruction))
            index.add(str(len(earlier)), task.instruction)
            earlier.append(task.instruction)
        for input, output in task.pairs:
            count.instances += 1
            pair = InstanceFacts(task.instruction, input, output, markers=Markers())
            failure = first_failure(on_instances, pair, config)
            if failure is not None:
                text = f"{task.instruction}\n  INPUT {input!r}\n  OUTPUT {output!r}"
                count.instance_rejects.append((failure.reason, text))
    return count


def _is_asked(rule: Rule) -> bool:
    return rule.when in (When.TEXT, When.NOVELTY) and rule.name not in _UNSCORED


def share(rejects: Sequence[Any], of: int) -> float:
    """Return a share, 0 of nothing."""
    return len(rejects) / of if of else 0.0


def table(name: str, counts: dict[int, Count]) -> str:
    """Return one file's table: shares by version, then counts by reason."""
    last = counts[VERSIONS[-1]]
    lines = [f"## {name}: {last.instructions} instructions, {last.instances} instances"]
    for what in ("instruction", "instance"):
        shares, by_reason = [], []
        for count in counts.values():
            rejects = getattr(count, f"{what}_rejects")
            shares.append(f"{share(rejects, getattr(count, what + 's')):.1%}")
            by_reason.append(Counter(reason for reason, _ in rejects))
        reasons = sorted({reason for counter in by_reason for reason in counter})
        detail = ", ".join(
            f"{reason} {' → '.join(str(counter[reason]) for counter in by_reason)}"
            for reason in reasons
        )
        lines.append(f"{what}s {' → '.join(shares)}  {detail}")
    return "\n".join(lines)


def summary(rows: Sequence[tuple[str, dict[int, Count]]]) -> str:
    """Return the Markdown table of the docs: a line for each file."""
    by = " | ".join(f"by {version}" for version in VERSIONS)
    lines = [
        f"| set | instructions | {by} | instances | {by} |",
        "|" + "---|" * (3 + 2 * len(VERSIONS)),
    ]
    for name, counts in rows:
        last = counts[VERSIONS[-1]]
        cells = [name]
        for what in ("instruction", "instance"):
            total = getattr(last, what + "s")
            cells.append(f"{total:,}")
            cells += [
                f"{share(getattr(count, what + '_rejects'), total):.1%}"
                for count in counts.values()
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--show", metavar="REASON", help="list rejects of the last; `all`: any")
    parser.add_argument("--limit", type=int, default=20, help="most rejects listed of each file")
    parser.add_argument("--check", action="store_true", help="fail where a share is above 3 %%")
    options = parser.parse_args()
    rows = []
    for path in options.files:
        tasks = list(read_tasks(path))
        counts = {version: measure(tasks, version) for version in VERSIONS}
        rows.append((path.stem, counts))
        print(table(path.stem, counts))
        if options.show:
            newest = counts[VERSIONS[-1]]
            rejects = newest.instruction_rejects + newest.instance_rejects
            chosen = [one for one in rejects if options.show in ("all", one[0])]
            for reason, text in chosen[: options.limit]:
                print(f"- {reason}: {text}")
    print("\n" + summary(rows))
    worst = max(
        max(
            share(counts[VERSIONS[-1]].instruction_rejects, counts[VERSIONS[-1]].instructions),
            share(counts[VERSIONS[-1]].instance_rejects, counts[VERSIONS[-1]].instances),
        )
        for _, counts in rows
    )
    return 1 if options.check and worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
