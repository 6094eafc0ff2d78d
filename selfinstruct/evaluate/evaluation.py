"""Evaluate several models on the same tasks: ask, measure, judge, compare."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic, ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import NAN, LocalModel
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.evaluate.answers import Answer, Answered, Questions
from selfinstruct.evaluate.compare import Comparison, compare_all, paired
from selfinstruct.evaluate.metrics import equal_length, mean, measure
from selfinstruct.evaluate.plain_text import PASSAGE_MEASURES, PassageScore, perplexity
from selfinstruct.evaluate.verdicts import Judge, verdicts_of
from selfinstruct.evaluate.wins import Decided, Rating, WinRate, pairs_of, ratings, win_rates
from selfinstruct.inputs.shots import worked_shots
from selfinstruct.labellers.duels import Duel, Verdict
from selfinstruct.prompts.canonical import user_text

Ask = Callable[[Loaded, Questions, Advance], Answered]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model under a name; `shots` worked seed tasks are shown to it before each task."""

    name: str
    model: str
    shots: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Means by model and metric, differences with intervals, and every answer.

    `values` are by task (by passage for those of plain text), by metric, by model.
    """

    asked: Questions
    means: Mapping[str, Mapping[str, float]]
    comparisons: Sequence[Comparison]
    answers: Mapping[str, Sequence[Answer]]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    settings: Mapping[str, Any]
    wins: Sequence[WinRate] = ()
    ratings: Sequence[Rating] = ()


def evaluate(
    contestants: Sequence[Contestant],
    asked: Questions,
    out: Path,
    *,
    dtype: str,
    ask: Ask,
    resolve: Callable[[str], LocalModel],
    advance: Callable[[str, int, int], object],
    judge: Judge | None = None,
) -> Evaluation:
    """Have every model answer every task, and compare them.

    The answers of a model are kept in `out/answers` once they are all there: the same
    evaluation asked again goes on with the models that are left.

    Args:
        contestants: the models; the first is what the others are compared with first.
        asked: what all are asked; `shots` are those of each contestant.
        out: folder of the evaluation.
        dtype: of weights and activations, the same for all.
        ask: has a model asked, in a process of its own.
        resolve: finds a model's folder; all are found before the first is asked.
        advance: told (model, requests done, of how many), and of the judge its duels.
        judge: the model that judges answers in pairs; each of its verdicts is kept too.

    Raises:
        ConfigError: two of one name, or a model that there is not.
        EngineError: the engine failed; the answers of other models stay.
    """
    names = [one.name for one in contestants]
    if len(set(names)) < len(names):
        raise ConfigError(f"--model: two models have one name ({', '.join(names)}); rename one")
    found = {one.name: resolve(one.model) for one in contestants}
    pool = worked_shots()
    for one in contestants:
        if one.shots > len(pool):
            raise ConfigError(
                f"--few-shot {one.name}={one.shots}: there are {len(pool)} worked tasks; give fewer"
            )
    _make_folder(out / "answers")
    answered: dict[str, Answered] = {}
    for one in contestants:
        loaded = Loaded(one.model, dtype)
        own = Questions(**{**vars(asked), "shots": pool[: one.shots]})
        path = out / "answers" / f"{one.name}.json"
        key = fingerprint({**asdict(own), "dtype": dtype, "digest": found[one.name].digest})
        known = _read(path, key)
        if known is None:
            known = ask(loaded, own, partial(advance, one.name))
            _write(path, key, known)
        answered[one.name] = known
    values = {name: _values(asked, came) for name, came in answered.items()}
    means = {
        name: {metric: mean(one) for metric, one in own.items()} for name, own in values.items()
    }
    for name, came in answered.items():
        if came.passages:
            means[name]["perplexity"] = perplexity(came.passages, asked.passages)
    comparisons = compare_all(values)
    for a, b in pairs_of(names):
        cut = equal_length(asked.tasks, answered[a].answers, answered[b].answers)
        one_length = paired(a, b, "rouge_l_equal", *cut)
        comparisons += [one_length] if one_length.n else []
    wins: list[WinRate] = []
    strengths: list[Rating] = []
    if judge is not None:
        verdicts = _verdicts(asked, answered, judge, out, partial(advance, "judge"))
        agreeing = {key: [one.preference for one in own] for key, own in verdicts.items()}
        balance = {key: [one.balance for one in own] for key, own in verdicts.items()}
        words = {name: _words(asked, own) for name, own in answered.items()}
        wins = win_rates(Decided.AGREEING, agreeing, words)
        wins += win_rates(Decided.BALANCE, balance, words)
        judged = [
            paired(a, b, metric, given, [1 - one for one in given])
            for metric, preferences in (("win_rate", agreeing), ("win_rate_balance", balance))
            for (a, b), given in preferences.items()
        ]
        comparisons += [one for one in judged if one.n]
        strengths = ratings(names, agreeing) if len(names) > 2 else []
    settings = {
        "dtype": dtype,
        "max_tokens": asked.max_tokens,
        "samples": asked.samples,
        "temperature": asked.temperature,
        "tasks": len(asked.tasks),
        "closed": sum(task.closed for task in asked.tasks),
        "passages": len(asked.passages),
        "judge": judge.model.name if judge else None,
        "judge_digest": judge.model.digest if judge else None,
        "judge_dtype": judge.dtype if judge else None,
        "judge_template": judge.template if judge else None,
        "judged_tasks": len(asked.tasks[: judge.tasks]) if judge else 0,
        "models": {
            one.name: {
                "model": one.model,
                "digest": found[one.name].digest,
                "shots": one.shots,
                "unanswered": sum(came.error is not None for came in answered[one.name].answers),
            }
            for one in contestants
        },
    }
    answers = {name: came.answers for name, came in answered.items()}
    return Evaluation(asked, means, comparisons, answers, values, settings, wins, strengths)


def _values(asked: Questions, own: Answered) -> dict[str, list[float]]:
    values = measure(asked.tasks, own.answers)
    for metric, of in PASSAGE_MEASURES.items():
        if own.passages:
            values[metric] = [of(one) for one in own.passages]
    return values


def _words(asked: Questions, own: Answered) -> list[float]:
    """Return the words of the answers that are judged: the first of each task."""
    return [float(len(one.text.split())) for one in own.answers[:: asked.samples]]


def _verdicts(
    asked: Questions, answered: Mapping[str, Answered], judge: Judge, out: Path, advance: Advance
) -> dict[tuple[str, str], list[Verdict]]:
    """Have the first answers of each pair of models judged, by task; NaN where nobody judges."""
    pairs = pairs_of(list(answered))
    duels = [
        Duel(
            ids.duel(a, b, task.id),
            user_text(task.instruction, task.input),
            answered[a].answers[number * asked.samples].text,
            answered[b].answers[number * asked.samples].text,
        )
        for a, b in pairs
        for number, task in enumerate(asked.tasks[: judge.tasks])
    ]
    verdicts = iter(verdicts_of(judge, duels, out / "verdicts.jsonl", advance))
    judged = len(asked.tasks[: judge.tasks])
    left = [Verdict(NAN, NAN)] * (len(asked.tasks) - judged)
    return {pair: [*(next(verdicts) for _ in range(judged)), *left] for pair in pairs}


def _read(path: Path, key: str) -> Answered | None:
    """Return the kept answers, if they are to the same question."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        return Answered(
            [Answer(**_known(row)) for row in kept["answers"]],
            [PassageScore(**_known(row)) for row in kept["passages"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made ({error.strerror}); check --out") from error


def _write(path: Path, key: str, own: Answered) -> None:
    told: dict[str, Any] = {"key": key}
    for name, rows in (("answers", own.answers), ("passages", own.passages)):
        told[name] = [{k: plain(v) for k, v in asdict(row).items()} for row in rows]
    try:
        atomic.write_json(path, told)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); check --out") from error


def plain(value: Any) -> Any:
    """Return NaN, which JSON lacks, as null."""
    return None if isinstance(value, float) and math.isnan(value) else value


_SCORES = ("reference_logprob", "logprob", "last_word")


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Return a kept row with its unknown scores as NaN again."""
    return {k: NAN if v is None and k in _SCORES else v for k, v in row.items()}
