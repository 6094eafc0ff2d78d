"""Best of k: the best of a policy's answers by a scorer, and the gain by choosing.

The chosen answers are data to fine-tune on (rejection sampling). A second scorer measures the best
of n for every n up to k, since by its own scores the first one always chooses well (Gao et al.
2022, arXiv:2210.10760).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.common.statistics import paired_difference
from selfinstruct.inputs.own_folders import BEST
from selfinstruct.labellers.base import Answers, Labeller, Needs, Scorer, TaskPrompt
from selfinstruct.preferences import folder
from selfinstruct.preferences.pairs import Dropped, usable_answers
from selfinstruct.preferences.sample import SampleSettings, require_references
from selfinstruct.preferences.workplace import Workplace
from selfinstruct.store import folder_lock


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The worth of the best of `n`: its mean score by the second scorer, with a 95 % interval.

    `gain` is that worth minus the worth of one answer. `divergence` bounds how far choosing moves
    the policy, in nats: log n − (n − 1)/n (Stiennon et al. 2020, arXiv:2009.01325, app. G.3).
    """

    n: int
    mean: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    divergence: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The scorer that chooses, and a second one that measures the choice."""

    scorer: Scorer
    measure: Scorer

    def __post_init__(self) -> None:
        """Refuse a scorer that would choose by the solution, or measure its own choice.

        Raises:
            ConfigError: naming the option.
        """
        chooses, measures = self.scorer.labeller, self.measure.labeller
        require_may_choose(chooses)
        if chooses.name == measures.name:
            raise ConfigError(
                f"--measure {measures.name}: is the labeller that chooses; by its own scores its "
                "choice is always good; give another"
            )
        if chooses.needs is measures.needs is Needs.JUDGE:  # votes of both would be one
            raise ConfigError(
                f"--measure {measures.name}: asks the same judge as `{chooses.name}`; give a "
                "labeller that asks none"
            )

    @property
    def scored_by_policy(self) -> bool:
        """Whether the policy scores its answers while it writes them."""
        return self.scorer.scored_by_policy or self.measure.scored_by_policy


def require_may_choose(labeller: Labeller) -> None:
    """Refuse a labeller that knows the solution.

    Raises:
        ConfigError: it does.
    """
    if not labeller.may_choose:
        raise ConfigError(f"--labeller {labeller.name}: would choose by the solution; give another")


def best_of(
    prompts: Sequence[TaskPrompt],
    policy: LocalModel,
    how: SampleSettings,
    choice: Choice,
    work: Workplace,
    dtype: str = "auto",
) -> dict[str, Any]:
    """Sample, choose, and measure; write the chosen answers and the report, and return it.

    Args:
        prompts: the tasks to answer.
        policy: the model that answers.
        how: how answers are sampled; `how.k` is the number to choose from.
        choice: the scorer that chooses, and the one that measures.
        work: the folder of `best.jsonl`, `report.json` and the answers themselves, and how models
            are run. Stages are `answers`, `scores` and `worth`.
        dtype: of the models.

    Raises:
        ConfigError: no prompts, or other settings than in the folder.
        EngineError: an engine failed; what was committed stays.
        WriteError: the disk refuses; what was committed stays.
    """
    if not prompts:
        raise ConfigError("there is no task to ask about; give a run with accepted tasks")
    require_references([choice.scorer, choice.measure], prompts)
    asked = {
        **asdict(how),
        "dtype": dtype,
        "policy": policy.digest,
        "prompts": fingerprint({"prompts": [prompt.compared for prompt in prompts]}),
        "scorer": _identity(choice.scorer, dtype),
        "measure": _identity(choice.measure, dtype),
    }
    out = work.out
    with folder_lock(out):
        if folder.open_folder(out, asked, resume=work.resume):
            raise ConfigError(f"{out}: holds chosen answers already; give another --out")
        answers = work.answers(policy, prompts, how, dtype)
        scored = work.label("scores", choice.scorer, prompts, answers, dtype)
        measured = work.label("worth", choice.measure, prompts, answers, dtype)
        worth = measured.scores(answers)
        chosen, report = _chosen(out, prompts, scored.answers, worth, how.k)
        report = {
            "scorer": choice.scorer.labeller.name,
            "measure": choice.measure.labeller.name,
            **report,
        }
        with refusal(out / BEST):
            atomic.write_text(out / BEST, "\n".join(chosen) + "\n")
        folder.write_report(out, report)
        return report


def _identity(scorer: Scorer, dtype: str) -> dict[str, Any]:
    """Return the settings that must be the same to resume a folder."""
    return {
        "labeller": scorer.labeller.name,
        "model": scorer.labelled_by(dtype),
        "template": scorer.template,
    }


def _chosen(
    out: Path,
    prompts: Sequence[TaskPrompt],
    answers: Answers,
    worth: Mapping[str, Sequence[float]],
    k: int,
) -> tuple[list[str], dict[str, Any]]:
    """Return the best usable answer of each prompt, as lines of JSON, and the report.

    Raises:
        ConfigError: no answer is usable.
    """
    dropped: Counter[Dropped] = Counter()
    lines = []
    scores: list[list[float]] = []
    for prompt in prompts:
        own = answers[prompt.id]
        usable = usable_answers(own, dropped)
        usable_ids = {answer.id for answer in usable}
        # The curve needs the answers that may not be chosen, too.
        scores.append([answer.score if answer.id in usable_ids else math.nan for answer in own])
        if usable:
            best = max(usable, key=lambda answer: answer.score)
            row = {**_written(prompt, best.text), "id": best.id, "score": best.score}
            lines.append(json.dumps(row, ensure_ascii=False))
    if not lines:
        raise ConfigError(
            f"{out}: no answer to {len(prompts)} prompts is whole and scored "
            f"({dict(sorted(dropped.items()))}); give a larger --answer-tokens and another --out"
        )
    values = [list(worth[prompt.id]) for prompt in prompts]
    curve = best_of_curve(scores, values, k)
    return lines, {
        "k": k,
        "prompts": len(prompts),
        "chosen": len(lines),
        "dropped": {str(reason): count for reason, count in sorted(dropped.items())},
        "measured": sum(known(own, k) for own in values),
        "curve": [asdict(point) for point in curve],
    }


def _written(prompt: TaskPrompt, answer: str) -> dict[str, Any]:
    """Return a task and its answer as training reads them: texts, or turns of a conversation."""
    if not prompt.earlier:
        return {"prompt": prompt.user, "completion": answer}
    turns = [dict(turn) for turn in prompt.turns]
    return {"prompt": turns, "completion": [{"role": "assistant", "content": answer}]}


def best_of_curve(
    scores: Sequence[Sequence[float]], worth: Sequence[Sequence[float]], k: int
) -> list[CurvePoint]:
    """Return the worth of the best of n answers, for n from 1 to k.

    For a prompt it is the mean over all subsets of n of its k answers. The i-th best by score
    (i from 0) is the best of a share C(k − 1 − i, n − 1) / C(k, n) of them. An unscored answer
    is chosen last. With a judge, an answer's score is its share of wins against all k.

    Args:
        scores: of each prompt's k answers, by the scorer that chooses; NaN if unscored.
        worth: of the same answers, by the other scorer; a prompt with an unknown one is left out.
        k: answers per prompt.
    """
    curves = []
    for own, values in zip(scores, worth, strict=True):
        if not known(values, k):
            continue
        order = sorted(range(k), key=lambda n: -math.inf if math.isnan(own[n]) else own[n])[::-1]
        curves.append(
            [
                sum(
                    math.comb(k - 1 - place, n - 1) * values[answer]
                    for place, answer in enumerate(order)
                )
                / math.comb(k, n)
                for n in range(1, k + 1)
            ]
        )
    if not curves:
        return []
    points = []
    first = [curve[0] for curve in curves]
    for n in range(1, k + 1):
        own = [curve[n - 1] for curve in curves]
        mean, low, high, _ = paired_difference(own, [0.0] * len(own))
        gain, gain_low, gain_high, _ = paired_difference(own, first)
        far = math.log(n) - (n - 1) / n
        points.append(CurvePoint(n, mean, low, high, gain, gain_low, gain_high, far))
    return points


def known(values: Sequence[float], k: int) -> bool:
    """Whether all k answers of a prompt have a worth."""
    return len(values) == k and not any(math.isnan(value) for value in values)
