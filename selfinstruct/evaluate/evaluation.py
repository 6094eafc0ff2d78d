"""Evaluate several models on the same tasks: ask, measure, compare, report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.config import fingerprint
from selfinstruct.errors import ConfigError
from selfinstruct.evaluate.answers import Answer, Shot
from selfinstruct.evaluate.compare import Comparison, compare_all
from selfinstruct.evaluate.isolated import Job
from selfinstruct.evaluate.measures import mean, measure
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.prompts.canonical import user_text
from selfinstruct.records import NAN, LocalModel
from selfinstruct.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.store import atomic

Ask = Callable[[Job, Callable[[int, int], object]], list[Answer]]

# Worked tasks longer than this cost more context than they teach.
_LONGEST_SHOT = 60  # words


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model under a name; `shots` worked seed tasks are shown to it before each task."""

    name: str
    model: str
    shots: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Means by model and metric, differences with intervals, and every answer."""

    tasks: Sequence[EvalTask]
    means: Mapping[str, Mapping[str, float]]
    comparisons: Sequence[Comparison]
    answers: Mapping[str, Sequence[Answer]]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    settings: Mapping[str, Any]


def evaluate(
    contestants: Sequence[Contestant],
    tasks: Sequence[EvalTask],
    out: Path,
    *,
    dtype: str,
    max_tokens: int,
    ask: Ask,
    resolve: Callable[[str], LocalModel],
    advance: Callable[[str, int, int], object],
) -> Evaluation:
    """Have every model answer every task, and compare them.

    The answers of a model are kept in `out/answers` once they are all there: the same
    evaluation asked again goes on with the models that are left.

    Args:
        contestants: the models; the first is what the others are compared with first.
        tasks: what to answer.
        out: folder of the evaluation.
        dtype: of weights and activations, the same for all.
        max_tokens: longest answer, the same for all.
        ask: answers a job, in a process of its own.
        resolve: finds a model's folder; all are found before the first is asked.
        advance: told (model, requests done, of how many).

    Raises:
        ConfigError: two of one name, or a model that there is not.
        EngineError: the engine failed; the answers of other models stay.
    """
    names = [one.name for one in contestants]
    if len(set(names)) < len(names):
        raise ConfigError(f"--model: two models have one name ({', '.join(names)}); rename one")
    found = {one.name: resolve(one.model) for one in contestants}
    pool = _shots()
    answers: dict[str, list[Answer]] = {}
    for one in contestants:
        job = Job(one.model, dtype, tasks, pool[: one.shots], max_tokens)
        path = out / "answers" / f"{one.name}.json"
        key = fingerprint({**asdict(job), "digest": found[one.name].digest})
        known = _read(path, key)
        if known is None:
            known = ask(job, lambda done, wanted, name=one.name: advance(name, done, wanted))  # type: ignore[misc]
            _write(path, key, known)
        answers[one.name] = known
    values = {name: measure(tasks, own) for name, own in answers.items()}
    means = {
        name: {metric: mean(one) for metric, one in own.items()} for name, own in values.items()
    }
    settings = {
        "dtype": dtype,
        "max_tokens": max_tokens,
        "tasks": len(tasks),
        "closed": sum(task.closed for task in tasks),
        "models": {
            one.name: {
                "model": one.model,
                "digest": found[one.name].digest,
                "shots": one.shots,
            }
            for one in contestants
        },
    }
    return Evaluation(tasks, means, compare_all(values), answers, values, settings)


def _shots() -> list[Shot]:
    """Return short worked seed tasks, those with an input and those without in turn."""
    path = shipped_seeds()
    worked = [
        (bool(one.input), Shot(user_text(seed.instruction, one.input), one.output))
        for seed in parse_seeds(read_seed_bytes(path), path)
        for one in seed.instances[:1]
        if len(f"{seed.instruction} {one.input} {one.output}".split()) <= _LONGEST_SHOT
    ]
    given = [shot for has_input, shot in worked if has_input]
    alone = [shot for has_input, shot in worked if not has_input]
    return [shot for pair in zip(alone, given, strict=False) for shot in pair]


def _read(path: Path, key: str) -> list[Answer] | None:
    """Return the kept answers, if they are to the same question."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        return [
            Answer(**{**row, "reference_logprob": _number(row["reference_logprob"])})
            for row in kept["answers"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, key: str, answers: Sequence[Answer]) -> None:
    rows = [{**asdict(one), "reference_logprob": plain(one.reference_logprob)} for one in answers]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(path, {"key": key, "answers": rows})
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); check --out") from error


def plain(value: float) -> float | None:
    """Return NaN, which JSON lacks, as null."""
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return NAN if value is None else value
