"""Evaluate several models on the same tasks: ask, measure, judge, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import NAN, LocalModel
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.evaluate.answers import Answer, ModelAnswers, Questions
from selfinstruct.evaluate.compare import Comparison, compare_all, paired
from selfinstruct.evaluate.exact import SETTING, version_of
from selfinstruct.evaluate.harness import (
    FOLDER,
    Harness,
    HarnessQuestion,
    HarnessResults,
    harness_results,
)
from selfinstruct.evaluate.kept import keep, make_folder, read_kept
from selfinstruct.evaluate.measured import intervals_of, means_of, values_of
from selfinstruct.evaluate.metrics import equal_length
from selfinstruct.evaluate.rankings import RankedScore
from selfinstruct.evaluate.scorer import SCORES, TextScorer, scorer_values, scores_of
from selfinstruct.evaluate.settings import (
    settings_of,
    settings_of_harness,
    settings_of_models,
    settings_of_scorer,
)
from selfinstruct.evaluate.verdicts import Judge, verdicts_of
from selfinstruct.evaluate.wins import Decided, Rating, WinRate, pairs_of, ratings, win_rates
from selfinstruct.filters.length import count_words
from selfinstruct.inputs.shots import worked_shots
from selfinstruct.labellers import refusals
from selfinstruct.labellers.duels import Duel, Verdict
from selfinstruct.prompts.canonical import user_text

Ask = Callable[[Loaded, Questions, Advance], ModelAnswers]
Verdicts = Mapping[tuple[str, str], Sequence[Verdict]]
"""A judge's verdicts by pair of models, in the order of the tasks."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model under a name; `shots` worked seed tasks are shown to it before each task.

    `system` is its system prompt; empty for none.
    """

    name: str
    model: str
    shots: int = 0
    system: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Means by model and metric, differences with intervals, and every answer.

    `values` are by task (by passage, question or pair for those of them), by metric, by model.
    `intervals` are the 95 % intervals of shares, by metric, by model; `ranked` the scores of
    questions with choices and then of pairs, by model; `scores` those of answers by a classifier.
    """

    asked: Questions
    means: Mapping[str, Mapping[str, float]]
    comparisons: Sequence[Comparison]
    answers: Mapping[str, Sequence[Answer]]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    settings: Mapping[str, Any]
    wins: Sequence[WinRate] = ()
    ratings: Sequence[Rating] = ()
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    ranked: Mapping[str, Sequence[RankedScore]] = field(default_factory=dict)
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conditions:
    """How models are asked, the same for all of them.

    out: folder of the evaluation.
    dtype: of weights and activations.
    ask: has a model asked, in a process of its own.
    resolve: finds a model's folder.
    advance: told (model, requests done, of how many), and of the judge its duels.
    """

    out: Path
    dtype: str
    ask: Ask
    resolve: Callable[[str], LocalModel]
    advance: Callable[[str, int, int], object]


@dataclass(frozen=True)
class _Judged:
    """What a judge's verdicts say of the models."""

    comparisons: Sequence[Comparison] = ()
    wins: Sequence[WinRate] = ()
    ratings: Sequence[Rating] = ()


def evaluate(
    contestants: Sequence[Contestant],
    asked: Questions,
    conditions: Conditions,
    judge: Judge | None = None,
    harness: Harness | None = None,
    scorer: TextScorer | None = None,
) -> Evaluation:
    """Have every model answer every task, and compare them.

    The answers of a model are kept in `answers/` of the folder once they are all there: the same
    evaluation asked again goes on with the models that are left.

    Args:
        contestants: the models; the first is what the others are compared with first.
        asked: what all are asked; `shots` are those of each contestant.
        conditions: how they are asked. All models are found before the first is asked.
        judge: the model that judges answers in pairs; each of its verdicts is kept too.
        harness: tasks of lm-evaluation-harness, whose results are kept in `lm-eval/`.
        scorer: a classifier of answers, whose scores are kept in `scores.jsonl`.

    Raises:
        ConfigError: two of one name, or a model that there is not.
        EngineError: the engine failed; the answers of other models stay.
    """
    models = _resolved(contestants, conditions)
    answered = {contestant.name: ModelAnswers([], []) for contestant in contestants}
    if asked.anything:
        answered = _answered(contestants, asked, models, conditions)
    version = version_of(conditions.out)
    detector = version_of(conditions.out, refusals.SETTING, refusals.VERSIONS)
    values = {name: values_of(asked, own, version, detector) for name, own in answered.items()}
    scores = _scores(scorer, answered, conditions)
    for name, of_answers in scores.items():
        values[name] |= scorer_values(asked.tasks, of_answers)
    means = {name: means_of(asked, own, values[name]) for name, own in answered.items()}
    found = _of_harness(contestants, harness, models, conditions) if harness else {}
    for name, own in found.items():
        values[name] |= {metric: list(of_rows) for metric, of_rows in own.values.items()}
        means[name] |= own.means
    judged = _Judged()
    if judge is not None:
        advance = partial(conditions.advance, "judge")
        verdicts = _verdicts(asked, answered, judge, conditions.out, advance)
        judged = _judged(asked, answered, verdicts)
    return Evaluation(
        asked,
        means,
        [*compare_all(values), *_at_equal_length(asked, answered), *judged.comparisons],
        {name: own.answers for name, own in answered.items()},
        values,
        {
            "dtype": conditions.dtype,
            **settings_of(asked, judge),
            **settings_of_harness(harness, found),
            **settings_of_scorer(scorer),
            SETTING: version,
            **({refusals.SETTING: detector} if any(one.expect for one in asked.tasks) else {}),
            "models": settings_of_models(contestants, models, answered),
        },
        judged.wins,
        judged.ratings,
        {name: intervals_of(own) for name, own in values.items()},
        {name: [*own.choices, *own.pairs] for name, own in answered.items()},
        scores,
    )


def _resolved(contestants: Sequence[Contestant], conditions: Conditions) -> dict[str, LocalModel]:
    """Return the models by name, once it is sure that all of them can be asked.

    Raises:
        ConfigError: two of one name, a model that there is not, or more shots than there are.
    """
    names = [contestant.name for contestant in contestants]
    if len(set(names)) < len(names):
        raise ConfigError(f"--model: two models have one name ({', '.join(names)}); rename one")
    models = {contestant.name: conditions.resolve(contestant.model) for contestant in contestants}
    most = len(worked_shots())
    for contestant in contestants:
        if contestant.shots > most:
            raise ConfigError(
                f"--few-shot {contestant.name}={contestant.shots}: there are {most} worked tasks; "
                "give fewer"
            )
    return models


def _answered(
    contestants: Sequence[Contestant],
    asked: Questions,
    models: Mapping[str, LocalModel],
    conditions: Conditions,
) -> dict[str, ModelAnswers]:
    """Return the answers by model: those that are kept, and those of models asked now.

    Raises:
        EngineError: the engine failed; the answers of other models stay.
    """
    folder, shots = conditions.out / "answers", worked_shots()
    make_folder(folder)
    answered = {}
    for contestant in contestants:
        name = contestant.name
        told = {"shots": shots[: contestant.shots], "system": contestant.system}
        own = Questions(**{**vars(asked), **told})
        path = folder / f"{name}.json"
        key = fingerprint({**_key(own), "dtype": conditions.dtype, "digest": models[name].digest})
        answers = read_kept(path, key)
        if answers is None:
            loaded = Loaded(contestant.model, conditions.dtype)
            answers = conditions.ask(loaded, own, partial(conditions.advance, name))
            keep(path, key, answers)
        answered[name] = answers
    return answered


def _scores(
    scorer: TextScorer | None, answered: Mapping[str, ModelAnswers], conditions: Conditions
) -> Mapping[str, Sequence[float]]:
    """Return a classifier's scores of all answers by model; nothing where nobody scores."""
    if scorer is None:
        return {}
    advance = partial(conditions.advance, "scorer")
    return scores_of(scorer, answered, conditions.out / SCORES, advance)


def _of_harness(
    contestants: Sequence[Contestant],
    harness: Harness,
    models: Mapping[str, LocalModel],
    conditions: Conditions,
) -> dict[str, HarnessResults]:
    """Return what lm-evaluation-harness finds of each model.

    Raises:
        EngineError: the engine failed; the results of other models stay.
    """
    found = {}
    for contestant in contestants:
        name = contestant.name
        question = HarnessQuestion(harness.tasks, contestant.shots, contestant.system)
        found[name] = harness_results(
            harness,
            Loaded(contestant.model, conditions.dtype),
            models[name].digest,
            question,
            conditions.out / FOLDER / f"{name}.json",
            partial(conditions.advance, name),
        )
    return found


def _key(own: Questions) -> dict[str, Any]:
    """Return what answers depend on; what is not used is left out, as before there was any."""
    later = ("system", "choices", "pairs")
    key = {name: value for name, value in asdict(own).items() if value or name not in later}
    # How answers are checked says nothing of how they are asked for.
    measured = ("check", "expect", "rubric", "wrong")
    key["tasks"] = [{k: v for k, v in task.items() if k not in measured} for task in key["tasks"]]
    del key["pass_at"]
    return key


def _at_equal_length(asked: Questions, answered: Mapping[str, ModelAnswers]) -> list[Comparison]:
    """Compare ROUGE-L of each pair of models, both answers cut to the shorter one."""
    comparisons = []
    for a, b in pairs_of(list(answered)) if asked.tasks else ():
        cut = equal_length(asked.tasks, answered[a].answers, answered[b].answers)
        comparisons.append(paired(a, b, "rouge_l_equal", *cut))
    return [comparison for comparison in comparisons if comparison.n]


def _judged(asked: Questions, answered: Mapping[str, ModelAnswers], verdicts: Verdicts) -> _Judged:
    """Return win rates, ratings and comparisons from the verdicts."""
    agreeing = {pair: [verdict.preference for verdict in own] for pair, own in verdicts.items()}
    balance = {pair: [verdict.balance for verdict in own] for pair, own in verdicts.items()}
    words = {name: _words(asked, own) for name, own in answered.items()}
    comparisons = [
        paired(a, b, metric, wins, [1 - win for win in wins])
        for metric, preferences in (("win_rate", agreeing), ("win_rate_balance", balance))
        for (a, b), wins in preferences.items()
    ]
    return _Judged(
        comparisons=[comparison for comparison in comparisons if comparison.n],
        wins=[
            *win_rates(Decided.AGREEING, agreeing, words),
            *win_rates(Decided.BALANCE, balance, words),
        ],
        ratings=ratings(list(answered), agreeing) if len(answered) > 2 else [],
    )


def _words(asked: Questions, own: ModelAnswers) -> list[float]:
    """Return the words of the answers that are judged: the first of each task."""
    return [float(count_words(answer.text)) for answer in own.answers[:: asked.samples]]


def _verdicts(
    asked: Questions,
    answered: Mapping[str, ModelAnswers],
    judge: Judge,
    out: Path,
    advance: Advance,
) -> Verdicts:
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
