"""Best of k: of several answers of a policy the one that a scorer finds best, and what it is worth.

The chosen answers are data to fine-tune on (rejection sampling). What choosing among n is
worth is measured by another scorer than the one that chooses, for every n up to k: a scorer's
own word on what it chose is always good (Gao et al. 2022, arXiv:2210.10760).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.common.statistics import paired_difference
from selfinstruct.engines.isolated import Loaded
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.preferences import folder
from selfinstruct.preferences.label import (
    Apart,
    Labeller,
    Score,
    Scorer,
    label_answers,
    labelled_by,
)
from selfinstruct.preferences.pairs import Dropped, ScoredAnswer, by_prompt, usable_answers
from selfinstruct.preferences.sample import Prompt, SampleSettings, sample_answers
from selfinstruct.store import folder_lock

BEST = "best.jsonl"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What the best of `n` is worth by the other scorer: a mean over prompts, a 95 % interval.

    `gain` is the same less the worth of one answer. `divergence` bounds how far choosing takes
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


def best_of(
    prompts: Sequence[Prompt],
    policy: LocalModel,
    out: Path,
    how: SampleSettings,
    scorer: Scorer,
    measure: Scorer,
    *,
    apart: Apart,
    score: Score,
    advance: Callable[[str, int, int], object],
    dtype: str = "auto",
    resume: bool = False,
) -> dict[str, Any]:
    """Sample, choose, and measure; write the chosen answers and the report, and return it.

    Args:
        prompts: what is asked.
        policy: the model that answers.
        out: the folder: `best.jsonl`, `report.json`, and the answers themselves.
        how: how answers are drawn; `how.k` is the number to choose from.
        scorer: chooses.
        measure: says what the choice is worth.
        apart: runs a model in a process of its own.
        score: asks a reward model.
        advance: told (stage, done, of how many).
        dtype: of the models.
        resume: go on with what was begun in `out`.

    Raises:
        ConfigError: nothing to ask, one scorer for both, or other settings than in `out`.
        EngineError: an engine failed; what was committed stays.
        WriteError: the disk refuses; what was committed stays.
    """
    if scorer.labeller is measure.labeller:
        raise ConfigError(
            f"--measure {measure.labeller}: is the scorer that chooses; what it chose is good by "
            "its own word always, give another"
        )
    if not prompts:
        raise ConfigError("there is no task to ask about; give a run with accepted tasks")
    told = {
        **asdict(how),
        "dtype": dtype,
        "policy": policy.digest,
        "prompts": fingerprint({"prompts": [asdict(prompt) for prompt in prompts]}),
        "scorer": _told(scorer, dtype),
        "measure": _told(measure, dtype),
    }
    with folder_lock(out):
        if folder.open_folder(out, told, resume=resume):
            raise ConfigError(f"{out}: holds chosen answers already; give another --out")
        work = partial(sample_answers, prompts=prompts, how=how, out=out)
        apart(Loaded(policy.name, dtype), work, partial(advance, "answers"))
        answers = by_prompt([prompt.id for prompt in prompts], folder.read_scored(out))
        label = partial(
            label_answers,
            prompts=prompts,
            answers=answers,
            out=out,
            apart=apart,
            score=score,
            dtype=dtype,
        )
        chosen_by = label(scorer, advance=partial(advance, "scores")).answers
        if measure.labeller is Labeller.REFERENCE:
            worth = {
                one.id: [rouge_f(one.reference, answer.text) for answer in answers[one.id]]
                for one in prompts
            }
        else:
            measured = label(measure, advance=partial(advance, "worth")).answers
            worth = {key: [answer.score for answer in own] for key, own in measured.items()}
        return _finish(out, prompts, chosen_by, worth, how.k, told)


def _told(scorer: Scorer, dtype: str) -> dict[str, Any]:
    judged = scorer.labeller is Labeller.JUDGE
    return {
        "labeller": str(scorer.labeller),
        "model": labelled_by(scorer, dtype),
        "template": scorer.template if judged else None,
    }


def _finish(
    out: Path,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[ScoredAnswer]],
    worth: Mapping[str, Sequence[float]],
    k: int,
    told: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the best usable answer of each prompt, and the report last."""
    dropped: Counter[Dropped] = Counter()
    lines = []
    scores: list[list[float]] = []
    for prompt in prompts:
        usable = usable_answers(answers[prompt.id], dropped)
        ids = {one.id for one in usable}
        # Of what may not be chosen the curve must know, too.
        scores.append([one.score if one.id in ids else math.nan for one in answers[prompt.id]])
        if usable:
            best = max(usable, key=lambda one: one.score)
            row = {
                "prompt": prompt.user,
                "completion": best.text,
                "id": best.id,
                "score": best.score,
            }
            lines.append(json.dumps(row, ensure_ascii=False))
    if not lines:
        raise ConfigError(
            f"{out}: no answer to {len(prompts)} prompts is whole and scored "
            f"({dict(sorted(dropped.items()))}); give a larger --max-tokens and another --out"
        )
    values = [list(worth[prompt.id]) for prompt in prompts]
    curve = best_of_curve(scores, values, k)
    report = {
        "scorer": told["scorer"]["labeller"],
        "measure": told["measure"]["labeller"],
        "k": k,
        "prompts": len(prompts),
        "chosen": len(lines),
        "dropped": {str(reason): count for reason, count in sorted(dropped.items())},
        "measured": sum(known(own, k) for own in values),
        "curve": [asdict(point) for point in curve],
    }
    with refusal(out / BEST):
        atomic.write_text(out / BEST, "\n".join(lines) + "\n")
    folder.write_report(out, report)
    return report


def best_of_curve(
    scores: Sequence[Sequence[float]], worth: Sequence[Sequence[float]], k: int
) -> list[CurvePoint]:
    """Return what the best of n answers is worth, for n from 1 to k.

    For a prompt it is the mean over all subsets of n of its k answers: the i-th best by score
    (i from 0) is the best of a share C(k − 1 − i, n − 1) / C(k, n) of them. An unscored answer
    is chosen last. By a judge, an answer's score is its share of the duels with all k.

    Args:
        scores: by prompt, of its k answers, by the scorer that chooses; NaN where unscored.
        worth: the same answers by the other scorer; a prompt with an unknown one is left out.
        k: answers of each prompt.
    """
    curves = []
    for own, values in zip(scores, worth, strict=True):
        if not known(values, k):
            continue
        order = sorted(range(k), key=lambda n: -math.inf if math.isnan(own[n]) else own[n])[::-1]
        curves.append(
            [
                sum(
                    math.comb(k - 1 - place, n - 1) * values[one] for place, one in enumerate(order)
                )
                / math.comb(k, n)
                for n in range(1, k + 1)
            ]
        )
    if not curves:
        return []
    found = []
    first = [curve[0] for curve in curves]
    for n in range(1, k + 1):
        own = [curve[n - 1] for curve in curves]
        mean, low, high, _ = paired_difference(own, [0.0] * len(own))
        gain, gain_low, gain_high, _ = paired_difference(own, first)
        far = math.log(n) - (n - 1) / n
        found.append(CurvePoint(n, mean, low, high, gain, gain_low, gain_high, far))
    return found


def known(values: Sequence[float], k: int) -> bool:
    """Whether all k answers of a prompt have a worth."""
    return len(values) == k and not any(math.isnan(value) for value in values)
