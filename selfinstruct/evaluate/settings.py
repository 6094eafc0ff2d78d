"""The settings of an evaluation, as report.json has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from selfinstruct.common.records import LocalModel
from selfinstruct.evaluate.answers import ModelAnswers, Questions
from selfinstruct.evaluate.harness import Harness, HarnessResults
from selfinstruct.evaluate.pass_at import has_check
from selfinstruct.evaluate.scorer import TextScorer
from selfinstruct.evaluate.verdicts import Judge
from selfinstruct.labellers.expected import Expected

if TYPE_CHECKING:
    from selfinstruct.evaluate.evaluation import Contestant


def settings_of(asked: Questions, judge: Judge | None) -> dict[str, Any]:
    """Return what was asked, and who judged."""
    return {
        "max_tokens": asked.max_tokens,
        "samples": asked.samples,
        "temperature": asked.temperature,
        "tasks": len(asked.tasks),
        "closed": sum(task.closed for task in asked.tasks),
        "passages": len(asked.passages),
        **({"choices": len(asked.choices)} if asked.choices else {}),
        **({"pairs": len(asked.pairs)} if asked.pairs else {}),
        **_expectations(asked),
        **({"checked": sum(map(has_check, asked.tasks))} if asked.pass_at else {}),
        "judge": judge.model.name if judge else None,
        "judge_digest": judge.model.digest if judge else None,
        "judge_dtype": judge.dtype if judge else None,
        "judge_template": judge.template if judge else None,
        "judged_tasks": len(asked.tasks[: judge.tasks]) if judge else 0,
    }


def _expectations(asked: Questions) -> dict[str, dict[str, int]]:
    """Return how many tasks expect an answer, care and a refusal; nothing where none says."""
    counts = Counter(task.expect for task in asked.tasks if task.expect)
    return {"expect": {kind: counts[kind] for kind in Expected}} if counts else {}


def settings_of_scorer(scorer: TextScorer | None) -> dict[str, Any]:
    """Return which classifier scored the answers, and by which label."""
    if scorer is None:
        return {}
    labelled = scorer.labelled
    named = {"model": labelled.model.name, "digest": labelled.model.digest}
    return {"scorer": {**named, "label": labelled.label}}


def settings_of_models(
    contestants: Sequence[Contestant],
    models: Mapping[str, LocalModel],
    answered: Mapping[str, ModelAnswers],
) -> dict[str, dict[str, Any]]:
    """Return how each model was asked, by its name."""
    return {
        contestant.name: {
            "model": contestant.model,
            "digest": models[contestant.name].digest,
            "shots": contestant.shots,
            **({"system": contestant.system} if contestant.system else {}),
            "unanswered": sum(
                answer.error is not None for answer in answered[contestant.name].answers
            ),
        }
        for contestant in contestants
    }


def settings_of_harness(
    harness: Harness | None, found: Mapping[str, HarnessResults]
) -> dict[str, Any]:
    """Return what lm-evaluation-harness asked, and its version."""
    if harness is None:
        return {}
    versions = sorted({own.version for own in found.values()})
    return {"lm_eval": {**asdict(harness.tasks), "version": ", ".join(versions)}}
