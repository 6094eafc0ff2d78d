"""What a row teaches, to first order, without a training for each selection of rows.

    python scripts/study_rows.py score TASKS SOURCE... --work WORK [--group KEY] [--part 0/2]
    python scripts/study_rows.py table SOURCE... --work WORK [--by EXPRESSION...]

A student learns half of the seed tasks. Its gradient on each row, multiplied by its gradient on
the references of TASKS, says how much a small step on the row makes the references likelier (as
Xia et al. 2024, arXiv:2402.04333, choose rows; the step is Adam's, with the second moments that the
training left). The unit is what a learnt token of the other half of the seed tasks is worth: a row
of 0.5 is worth half as much a token, one below 0 does harm. SOURCE is NAME=PLACE: `seeds`, a run,
its teacher's answers (PLACE@teacher), or JSON lines.

`score` writes one line for each row, and goes on with what is missing. `table` gives means with
the 95 % interval of a bootstrap over rows, weighed by tokens; `--by` cuts each source by an
expression over its columns (scripts/pilot_rows.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pilot_rows import part_rows, selected, table

from selfinstruct.common.jsonlines import read_objects
from selfinstruct.evaluate.tasks import read_eval_tasks
from selfinstruct.inputs.seeds import shipped_seeds
from selfinstruct.models import resolve_model
from selfinstruct.train.data.rows import TrainRow, read_rows
from selfinstruct.train.recipes.sft import SftSettings

RESAMPLES = 2000
# About one pass over half of the shipped seed tasks.
STEPS = 20


def seed_half(half: int) -> list[TrainRow]:
    """Return half of the seed tasks, by a hash of their instructions."""
    rows = read_rows(shipped_seeds()).rows
    return [row for row in rows if hashlib.sha256(row.instruction.encode()).digest()[0] % 2 == half]


def source_part(place: str) -> dict[str, str]:
    """Return a source as a part of an arm."""
    name, _, answers = place.partition("@")
    return {"from": name, **({"answers": answers} if answers else {})}


def source_rows(place: str) -> list[TrainRow]:
    return seed_half(1) if place == "seeds" else part_rows(source_part(place))


class Gradients:
    """A student that has learnt half of the seed tasks, and its gradients on texts."""

    def __init__(self, model: str, work: Path) -> None:
        import torch
        from pilot_training import Stage, Student

        self.student = Student(resolve_model(model, lambda *_: None))
        kept = work / "learnt.pt"
        # One step makes the adapter; the weights that were learnt before go into it.
        steps = 1 if kept.exists() else STEPS
        options = {"max_steps": steps, "gradient_accumulation_steps": 1}
        stage = Stage(seed_half(0), SftSettings(options=options))
        trainer = self.student.trained(stage, self.student.network, self.student.adapter, [])
        self.network = trainer.model.eval()
        self.weights = [one for one in self.network.parameters() if one.requires_grad]
        if kept.exists():
            learnt = torch.load(kept)
            for weight, value in zip(self.weights, learnt["weights"], strict=True):
                weight.data.copy_(value)
            moments = learnt["moments"]
        else:
            moments = [trainer.optimizer.state[weight]["exp_avg_sq"] for weight in self.weights]
            torch.save({"weights": [w.data for w in self.weights], "moments": moments}, kept)
        # With the mean added, weights that hardly moved do not make most of a step.
        self.step = [1 / (moment.sqrt() + moment.sqrt().mean()) for moment in moments]

    def of(self, row: Any) -> tuple[list[Any], int]:
        """Return the gradient of a row's nats, summed over its labels, and their number."""
        import torch
        from pilot_training import pack_losses

        with torch.autocast("cpu", torch.bfloat16):
            losses = pack_losses(self.network, [row])
        gradients = torch.autograd.grad(losses.sum(), self.weights)
        return list(gradients), len(losses)


def references_gradients(
    model: Gradients, tasks: Sequence[Any], groups: dict[str, str], kept: Path
) -> dict[str, list[Any]]:
    """Return the step that makes the references of each group likelier, the mean over tasks."""
    import torch
    from pilot_training import reference

    if kept.exists():
        return torch.load(kept)  # type: ignore[no-any-return]
    wanted: dict[str, list[Any]] = {}
    for task in tasks:
        gradient, labels = model.of(reference(task, model.student.tokenizer))
        group = groups[task.id]
        total = wanted.setdefault(group, [0.0] * len(gradient))
        share = 1 / labels / list(groups.values()).count(group)
        for place, (one, step) in enumerate(zip(gradient, model.step, strict=True)):
            total[place] = total[place] + one * step * share
    torch.save(wanted, kept)
    return wanted


def score(options: argparse.Namespace, console: Console) -> None:
    """Write the worth of each row, not yet in seed tokens, for each group of tasks."""
    part, parts = map(int, options.part.split("/"))
    options.work.mkdir(parents=True, exist_ok=True)
    tasks = read_eval_tasks(options.tasks)
    groups = {task.id: "all" for task in tasks}
    if options.group:
        groups = {
            str(row["id"]): str(row[options.group])
            for _, row in read_objects(options.tasks, "TASKS")
        }
    model = Gradients(options.model, options.work)
    student = model.student
    wanted = references_gradients(model, tasks, groups, options.work / "wanted.pt")
    began = time.process_time()
    for source in options.sources:
        name, _, place = source.partition("=")
        path = options.work / f"{name}-{part}.jsonl"
        done = {row["id"] for _, row in read_objects(path, str(path))} if path.exists() else set()
        rows = [row for row in source_rows(place)[part::parts] if row.id not in done]
        examples = student.encoded(rows, SftSettings(diverse=False)).train if rows else []
        with path.open("a", encoding="utf-8") as file:
            for row in examples:
                gradient, labels = model.of(row)
                worth = {
                    group: sum(float((a * b).sum()) for a, b in zip(gradient, total, strict=True))
                    for group, total in wanted.items()
                }
                file.write(json.dumps({"id": row.id, "tokens": labels, "worth": worth}) + "\n")
                file.flush()
        console.print(
            f"{name}: {len(examples)} rows, {time.process_time() - began:.0f} CPU seconds"
        )


def worths(work: Path, name: str) -> dict[str, dict[str, Any]]:
    files = sorted(work.glob(f"{name}-[0-9]*.jsonl"))
    return {row["id"]: row for file in files for _, row in read_objects(file, str(file))}


def mean_worth(rows: Sequence[dict[str, Any]], group: str | None) -> tuple[float, float, float]:
    """Return the worth of a token of these rows, and its interval over rows."""
    tokens = np.array([row["tokens"] for row in rows], dtype=float)
    values = np.array(
        [
            np.mean(list(row["worth"].values())) if group is None else row["worth"][group]
            for row in rows
        ]
    )
    drawn = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    means = values[drawn].sum(axis=1) / tokens[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(values.sum() / tokens.sum()), float(low), float(high)


def show(options: argparse.Namespace) -> None:
    """Print the worth of rows in seed tokens, for each source and cut of it."""
    unit = worths(options.work, "seeds")
    groups = list(next(iter(unit.values()))["worth"])
    out = Table()
    for column in ("rows of", "rows", "tokens", "all groups alike", *groups):
        out.add_column(column)
    units = {group: mean_worth(list(unit.values()), group)[0] for group in (None, *groups)}
    for source in options.sources:
        name, _, place = source.partition("=")
        known = worths(options.work, name)
        cuts = {name: list(known)}
        if place != "seeds":
            columns = table(source_part(place))
            for by in options.by:
                cuts[f"{name}: {by}"] = selected(columns, {"where": by})
        for cut, ids in cuts.items():
            rows = [known[id] for id in ids if id in known]
            if not rows:
                continue
            shown = []
            for group in (None, *groups):
                mean, low, high = (value / units[group] for value in mean_worth(rows, group))
                shown.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
            out.add_row(cut, str(len(rows)), str(sum(row["tokens"] for row in rows)), *shown)
    Console(width=160).print(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    scoring, showing = verbs.add_parser("score"), verbs.add_parser("table")
    scoring.add_argument("tasks", type=Path)
    for verb in (scoring, showing):
        verb.add_argument("sources", nargs="+", metavar="NAME=PLACE")
        verb.add_argument("--work", type=Path, required=True)
    scoring.add_argument("--model", default="gemma-3-270m")
    scoring.add_argument("--group", help="a key of the lines of TASKS")
    scoring.add_argument("--part", default="0/1", help="every second row, for two processes")
    showing.add_argument("--by", nargs="*", default=[])
    options = parser.parse_args()
    if options.verb == "score":
        score(options, Console(stderr=True))
    else:
        show(options)


if __name__ == "__main__":
    main()
