"""What rows teach, in minutes: train on selections of rows, and score references.

    python scripts/study_pilot.py ARMS.yaml --out WORK [--only ARM...] [--minutes M] [--report-only]

ARMS.yaml says which student learns what, and which tasks it is measured on:

    model: gemma-3-270m
    tasks: seeds/eval_tasks.jsonl      any file of tasks with references
    group: application                 a key of its lines to report by (optional)
    half: first                        or second: of the tasks, by a hash of their ids (optional)
    stand_for: {mail: 20, code: 80}    how many tasks those of a group stand for (optional)
    steps: 20                          the same for each arm, about 1,000 tokens each
    at: [20]                           the steps after which references are scored
    learning_rate: 0.0001
    max_length: 512                    rows with more tokens are left out; a step is as long as that
    seeds: [0, 1, 2]
    against: seeds                     the arm that all others are compared with
    arms:
      seeds: [{from: seeds}]
      own: [{from: seeds}, {from: outputs/first}]
      long: [{from: seeds, times: 3}, {from: outputs/first, where: words(output) >= 20}]
      slow: {rows: [{from: seeds}], learning_rate: 0.00005}
      later: {first: {rows: [{from: outputs/first}], steps: 20}, rows: [{from: seeds}]}

An arm is a list of parts (scripts/pilot_rows.py says what a part may have), or has them under
`rows` beside settings of its own; its `options` are fields of TRL's SFTConfig. Rows under `first`
are learnt before the others, in steps that `steps` and `at` do not count, but the report does: arms
are compared at the same number of steps in all. The measure is the mean log-likelihood of a
reference in nats per token, the mean over tasks. Nothing is generated. Each training is kept in
WORK; what is there is not done again. Intervals are those of a paired bootstrap over tasks and
training seeds together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pilot_rows import part_rows

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.evaluate.tasks import EvalTask, read_eval_tasks
from selfinstruct.models import resolve_model
from selfinstruct.train.data.turns import TrainRow
from selfinstruct.train.recipes.sft import SftSettings

RESAMPLES = 10_000
UNTRAINED = "nothing"
HALVES = ("first", "second")


@dataclass(frozen=True)
class Arm:
    """What one student learns; no rows: it is scored untrained."""

    name: str
    parts: Sequence[Mapping[str, Any]]
    steps: int
    at: tuple[int, ...]
    learning_rate: float
    options: Mapping[str, Any] = field(default_factory=dict)
    first: Arm | None = None
    max_length: int = 1024

    @property
    def stages(self) -> list[Arm]:
        """The arm, after what it learns before."""
        return [*(self.first.stages if self.first else []), self]

    def rows(self) -> list[TrainRow]:
        return [row for part in self.parts for row in part_rows(part)]

    def settings(self, seed: int) -> SftSettings:
        options = {"max_steps": self.steps, "learning_rate": self.learning_rate, **self.options}
        return SftSettings(seed=seed, max_length=self.max_length, options=options)


@dataclass(frozen=True)
class Study:
    """A file of arms, read."""

    model: str
    tasks: list[EvalTask]
    groups: dict[str, str]
    stand_for: dict[str, float]
    seeds: tuple[int, ...]
    against: str
    arms: dict[str, Arm]


def read_study(path: Path) -> Study:
    """Read a file of arms.

    Raises:
        ConfigError: a key is unknown or missing, or a value cannot be used.
    """
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {
        *("model", "tasks", "group", "half", "steps", "at", "learning_rate", "options", "seeds"),
        *("against", "arms", "stand_for", "max_length"),
    }
    wrong = sorted(set(values) - known) + sorted({"model", "tasks", "arms"} - set(values))
    if wrong:
        raise ConfigError(f"{path}: {', '.join(wrong)}: unknown or missing; see --help")
    tasks = read_eval_tasks(Path(values["tasks"]))
    half = values.get("half")
    if half is not None:
        if half not in HALVES:
            raise ConfigError(f"{path}: half is {half!r}; give one of {HALVES}")
        tasks = [task for task in tasks if HALVES[_half(task.id)] == half]
    groups = {}
    if "group" in values:
        lines = enumerate((row for _, row in read_objects(Path(values["tasks"]), "tasks")), 1)
        groups = {str(row.get("id", n)): str(row.get(values["group"], "")) for n, row in lines}
    arms = {name: _arm(name, arm, values, path) for name, arm in values["arms"].items()}
    against = values.get("against", next(iter(arms)))
    if against not in arms:
        raise ConfigError(f"{path}: against is {against!r}, which is no arm of it")
    seeds = tuple(values.get("seeds", (0, 1, 2)))
    stand_for = {str(name): float(count) for name, count in values.get("stand_for", {}).items()}
    if stand_for and {groups.get(task.id) for task in tasks} - set(stand_for):
        raise ConfigError(f"{path}: stand_for: name every group that `group` gives")
    return Study(str(values["model"]), tasks, groups, stand_for, seeds, against, arms)


def _half(id: str) -> int:
    return hashlib.sha256(id.encode()).digest()[0] % 2


def _arm(name: str, arm: Any, shared: Mapping[str, Any], path: Path) -> Arm:
    own = {"rows": arm} if isinstance(arm, list) else dict(arm or {})
    unknown = sorted(
        set(own) - {"rows", "steps", "at", "learning_rate", "max_length", "options", "first"}
    )
    if unknown:
        raise ConfigError(f"{path}: arm {name}: {', '.join(unknown)}: unknown")
    standard = {"steps": 20, "learning_rate": 1e-4, "max_length": 1024, "options": {}}
    chosen = {**standard, **shared, **own}
    steps = int(chosen["steps"])
    at = tuple(chosen.get("at", (steps,)))
    rate = float(chosen["learning_rate"])
    first = _arm(f"{name}, first", own["first"], shared, path) if "first" in own else None
    longest = int(chosen["max_length"])
    return Arm(name, own.get("rows", []), steps, at, rate, chosen["options"], first, longest)


def measure(
    study: Study, work: Path, only: Sequence[str], console: Console, *, seconds: float = math.inf
) -> None:
    """Train and score what is not in the folder yet; all arms are checked before the first.

    No training begins after so many seconds.
    """
    began = time.monotonic()
    rows = {
        name: [stage.rows() for stage in arm.stages]
        for name, arm in study.arms.items()
        if not only or name in only
    }
    for name, own in rows.items():
        for stage, learnt in zip(study.arms[name].stages, own, strict=True):
            if stage.parts and not learnt:
                raise ConfigError(f"arm {stage.name}: no row is left; widen `where`")
    model = resolve_model(study.model, lambda *_: None)
    student = None
    work.mkdir(parents=True, exist_ok=True)
    for seed in study.seeds:
        for name, own in rows.items():
            arm = study.arms[name]
            if not arm.parts and seed != study.seeds[0]:
                continue
            key = _key(study, arm, seed, own, model.digest)
            path = work / f"{name}-{seed}.json"
            if path.exists() and json.loads(path.read_text(encoding="utf-8"))["key"] == key:
                continue
            if time.monotonic() - began > seconds:
                return
            if student is None:
                from pilot_training import Student

                student = Student(model)
            count = sum(map(len, own))
            done = {"key": key, "rows": count, **_trained(student, study, arm, seed, own)}
            atomic.write_bytes(path, json.dumps(done).encode())
            console.print(f"{name}, seed {seed}: {_told(done)}", highlight=False)


def _key(study: Study, arm: Arm, seed: int, rows: Sequence[Sequence[TrainRow]], digest: str) -> str:
    asked = [(task.id, task.instruction, task.input, task.reference) for task in study.tasks]
    learnt = [[row.messages for row in stage] for stage in rows]
    settings = [(vars(stage.settings(seed)), stage.at) for stage in arm.stages]
    return fingerprint(
        {"settings": settings, "seed": seed, "rows": learnt, "tasks": asked, "model": digest}
    )


def _trained(
    student: Any, study: Study, arm: Arm, seed: int, rows: Sequence[Sequence[TrainRow]]
) -> dict[str, Any]:
    ids = [task.id for task in study.tasks]
    if not arm.parts:
        return {"nats": {"0": dict(zip(ids, student.score(study.tasks), strict=True))}}
    from pilot_training import Stage

    stages = [
        Stage(learnt, stage.settings(seed)) for stage, learnt in zip(arm.stages, rows, strict=True)
    ]
    scored = student.train(stages, study.tasks, arm.at)
    nats = {str(step): dict(zip(ids, own, strict=True)) for step, own in scored.nats.items()}
    return {**vars(scored), "nats": nats}


def _told(done: Mapping[str, Any]) -> str:
    means = [f"{np.mean(list(own.values())):.3f} at {step}" for step, own in done["nats"].items()]
    return f"{', '.join(means)}; {done['rows']} rows, {done.get('cpu_seconds', 0):.0f} CPU seconds"


def weights(study: Study) -> np.ndarray:
    """Return the weight of each task in a mean over all: equal, but for `stand_for`."""
    if not study.stand_for:
        return np.ones(len(study.tasks))
    own = [study.groups[task.id] for task in study.tasks]
    return np.array([study.stand_for[group] / own.count(group) for group in own])


def difference(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Return the weighed mean of first − second and its 95 % interval.

    Paired bootstrap (Efron 1979): tasks and training seeds are both drawn with replacement.

    Args:
        first: values by training seed and task.
        second: the same of the other arm; the same seeds and tasks.
        weights: of the tasks.
    """
    values = first - second
    rng = np.random.default_rng(0)
    seeds, tasks = values.shape
    # Drawing seeds and tasks apart is weighing each by how often it was drawn.
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    by_task = rng.multinomial(tasks, np.full(tasks, 1 / tasks), size=RESAMPLES) * weights
    by_task /= by_task.sum(axis=1, keepdims=True)
    means = np.einsum("rt,rt->r", by_seed @ values, by_task)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.average(values.mean(axis=0), weights=weights)), float(low), float(high)


def report(study: Study, work: Path) -> list[dict[str, Any]]:
    """Return a row for each arm and step whose trainings are all there."""
    base = _values(study, work, study.against)
    weighed = weights(study)
    rows = []
    for name in study.arms:
        before = sum(stage.steps for stage in study.arms[name].stages[:-1])
        for last, (own, done) in _values(study, work, name).items():
            step = before + last
            row = {
                "arm": name,
                "step": step,
                "rows": done[0]["rows"],
                "seeds": len(done),
                "cpu_seconds": round(sum(one.get("cpu_seconds", 0) for one in done)),
                "nats": float(np.average(own.mean(axis=0), weights=weighed)),
                "tokens": round(sum(one.get("tokens", 0) for one in done) / len(done)),
                "groups": _by_group(study, own),
            }
            beside = base.get(step)
            if beside is not None and name != study.against and len(own) == len(beside[0]):
                row["difference"] = difference(own, beside[0], weighed)
                row["group_differences"] = {
                    group: difference(own[:, places], beside[0][:, places], np.ones(len(places)))
                    for group, places in _places(study).items()
                }
            rows.append(row)
    return rows


def _values(study: Study, work: Path, name: str) -> dict[int, tuple[np.ndarray, list[Any]]]:
    """Return nats by seed and task, by step, and what was kept of each training."""
    paths = [work / f"{name}-{seed}.json" for seed in study.seeds]
    done = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    steps = [int(step) for step in done[0]["nats"]] if done else []
    return {
        step: (
            np.array([[one["nats"][str(step)][task.id] for task in study.tasks] for one in done]),
            done,
        )
        for step in steps
    }


def _places(study: Study) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, task in enumerate(study.tasks):
        if task.id in study.groups:
            places.setdefault(study.groups[task.id], []).append(place)
    return places


def _by_group(study: Study, own: np.ndarray) -> dict[str, float]:
    return {group: float(own[:, at].mean()) for group, at in _places(study).items()}


def cells(rows: Sequence[Mapping[str, Any]], against: str) -> list[list[str]]:
    """Return the report as cells, the head first; groups as differences where there are any."""
    groups = list(rows[0]["groups"]) if rows else []
    head = [
        "arm",
        "step",
        "rows",
        "tokens",
        "seeds",
        "nats/token",
        f"− {against}",
        *groups,
        "CPU minutes",
    ]
    lines = [head]
    for row in rows:
        apart = row.get("group_differences", {})
        by_group = [
            interval(apart[group]) if apart else f"{row['groups'][group]:.3f}" for group in groups
        ]
        counts = [str(row[name]) for name in ("step", "rows", "tokens", "seeds")]
        minutes = f"{row['cpu_seconds'] / 60:.1f}"
        beside = interval(row.get("difference"))
        lines.append([row["arm"], *counts, f"{row['nats']:.3f}", beside, *by_group, minutes])
    return lines


def interval(values: Sequence[float] | None) -> str:
    """Return a difference and its interval, as tables show them; bold where it leaves out zero."""
    if not values:
        return "–"
    text = "{:+.3f} ({:+.3f} to {:+.3f})".format(*values).replace("-", "−")
    return f"**{text}**" if values[1] > 0 or values[2] < 0 else text


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return cells as a table in Markdown."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], help="these arms alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin none after these")
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=True)
    try:
        study = read_study(options.arms)
        if not options.report_only:
            seconds = 60 * options.minutes
            measure(study, options.out, options.only, console, seconds=seconds)
    except ConfigError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    rows = report(study, options.out)
    content = json.dumps(rows, indent=1).encode()
    atomic.write_bytes(options.out / "report.json", content)
    print(markdown(cells(rows, study.against)))


if __name__ == "__main__":
    main()
