"""The curve of an iterated chain: what the policy of each iteration is worth, and what it cost.

All policies answer the same held-out prompts anew. The reward model of the last iteration scores
the answers, so that all are measured on one scale, and so does the independent scorer (`--gold`).
The divergence is that from the fine-tuned model, which the first iteration starts from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING, Any

from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import Stage, policies_of
from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError, why
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.train.health.nulls import with_nan, with_null

if TYPE_CHECKING:
    from selfinstruct.train.data.prompts import RlPrompt
    from selfinstruct.train.health.rl_verdict import RlPoint

CURVE = "curve.json"
# As many prompts, and as long answers, as `train rl` watches by.
_PROMPTS, _TOKENS, _LENGTH = 64, 128, 2048
# What `train rl` holds out of a run, unless it is told otherwise.
_RL_HELD_OUT = 0.2


@dataclass(frozen=True)
class Measure:
    """What a policy is measured by; it is pickled for the process that measures.

    Attributes:
        reference: the fine-tuned model.
        reward: the reward model.
        gold: the independent scorer; None: there is none.
        prompts: to answer.
        seed: of the answers.
    """

    reference: LocalModel
    reward: str
    gold: str | None
    prompts: Sequence[RlPrompt]
    seed: int


Advance = Callable[[int, int], object]
# Runs work in a process of its own, as `engines.isolated.apart` does.
Apart = Callable[[Callable[[Advance], Any], Advance, str], Any]


def draw_curve(
    out: Path,
    settings: AlignSettings,
    stages: Sequence[Stage],
    *,
    apart: Apart,
    advance: Advance = lambda *_: None,
) -> dict[str, Any]:
    """Measure the policy of each iteration; those in curve.json are not measured again.

    Args:
        out: the folder of the chain.
        settings: of the chain.
        stages: its commands, all done.
        apart: runs work in a process of its own.
        advance: called with (policies measured, all of them).

    Returns:
        `points` (each with `iteration`, `policy`, `reward`, `gold`, `divergence`, `tokens`,
        `endless`, and the paired gains since the start), `prompts`, `units` (the standard
        deviations of the scores at the start), `warnings`.

    Raises:
        ConfigError: `--gold` cannot score these prompts.
        EngineError: the process died; the policies measured before it are kept.
    """
    from selfinstruct.models import resolve_model
    from selfinstruct.train.health.rl_verdict import RlPoint
    from selfinstruct.train.rewards.parse import parse_reward

    made = policies_of(stages, settings)
    folders = [(out / one.makes).parent for one in made]
    local = [resolve_model(str(folder), lambda *_: None) for folder in folders]
    last = next(one for one in reversed(stages) if one.step.kind == "reward")
    reward = resolve_model(str((out / last.makes).parent), lambda *_: None)
    prompts = unseen_prompts(out, stages)[-_PROMPTS:]
    if settings.gold is not None:
        parse_reward(settings.gold, "--gold").check(prompts, "--gold")
    measure = Measure(local[0], str(reward.path), settings.gold, prompts, settings.seed)
    key = fingerprint(
        {
            "reference": local[0].digest,
            "reward": reward.digest,
            "gold": settings.gold,
            "prompts": [asdict(prompt) for prompt in prompts],
            "seed": settings.seed,
        }
    )
    kept = _kept(out / CURVE, key)
    points = []
    for number, policy in enumerate(local if prompts else []):
        advance(number, len(local))
        if (known := kept.get(policy.digest)) is None:
            work = partial(measured, policy, number, measure)
            known = asdict(apart(work, max, policy.name))
            kept[policy.digest] = known
            with refusal(out / CURVE):
                atomic.write_json(out / CURVE, {"key": key, "points": with_null(kept)})
        points.append(RlPoint(**known))
    return _told(points, [one.name for one in made], len(prompts))


def measured(policy: LocalModel, number: int, measure: Measure, _: Advance) -> RlPoint:
    """Measure a policy in this process, by transformers.

    Raises:
        ConfigError: no prompt leaves room for an answer, or the reward is not a reward model.
    """
    import torch

    from selfinstruct.train.data.encode import prepare_tokenizer
    from selfinstruct.train.data.prompts import encode_prompts
    from selfinstruct.train.health.rl_watch import Networks, Scorers, Watched, fresh_point
    from selfinstruct.train.network import load_network, load_tokenizer
    from selfinstruct.train.rewards.parse import parse_reward

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = load_tokenizer(policy)
    prepare_tokenizer(tokenizer, None)
    rows = encode_prompts(measure.prompts, tokenizer, max_length=_LENGTH, room=_TOKENS)[0]
    network, reference = (load_network(one)[0].to(device) for one in (policy, measure.reference))
    lend = partial(nullcontext, reference.eval())
    scorer = parse_reward(f"model:{measure.reward}", "--reward")
    gold = None if measure.gold is None else parse_reward(measure.gold, "--gold")
    scorers = Scorers(
        {"reward": (1.0, scorer.open(lend))}, None if gold is None else gold.open(lend)
    )
    watched = Watched(rows, _TOKENS, measure.seed, beta=0.0)
    return fresh_point(Networks(network, lend, tokenizer), watched, scorers, (number, number))


def unseen_prompts(out: Path, stages: Sequence[Stage]) -> list[RlPrompt]:
    """Return the prompts of the run after the last one that an iteration trained on.

    Fine-tuning has seen them, and their answers: all policies of the curve start from that.
    """
    from selfinstruct.train.data.prompts import read_rl_prompts

    run = out / "run"
    prompts = read_rl_prompts(run, held_out=0.0).train
    trained: set[str] = set()
    for stage in stages:
        if stage.step.kind == "prefer":
            trained |= {one.text for one in read_rl_prompts((out / stage.makes).parent).train}
        elif stage.step.kind == "rl":
            share = _RL_HELD_OUT
            for word, value in pairwise(stage.words):
                share = float(value) if word == "--held-out" else share
            trained |= {one.text for one in read_rl_prompts(run, held_out=share).train}
    places = [place for place, prompt in enumerate(prompts) if prompt.text in trained]
    return prompts[max(places, default=-1) + 1 :]


def _told(points: Sequence[RlPoint], names: Sequence[str], prompts: int) -> dict[str, Any]:
    """Return the curve as the report has it."""
    from selfinstruct.train.health.rl_verdict import hacked
    from selfinstruct.train.health.verdict import FEW, Trouble, Warned, mean_difference, of_samples

    rows = []
    for name, point in zip(names, points, strict=False):
        gains = {
            "reward_gain": mean_difference(point.scores, points[0].scores),
            "gold_gain": mean_difference(point.golds, points[0].golds),
        }
        rows.append(
            {
                "iteration": point.step,
                "policy": name,
                "reward": point.reward,
                "gold": point.gold,
                "divergence": point.divergence,
                "tokens": point.tokens,
                "endless": point.endless,
                **{key: asdict(gain) for key, gain in gains.items()},
            }
        )
    warnings: list[Warned] = []
    if prompts < FEW:
        few = f"{prompts} prompts are held out of every iteration"
        advice = f"{FEW} or more are needed: raise --target, or `prefer --held-out-pairs`"
        warnings.append(Warned(Trouble.FEW, few, advice))
    if points:
        found = hacked(points, "iteration")
        warnings += [*([found] if found else []), *of_samples(points[0], points[-1])]
    start = points[0] if points else None
    told = {
        "prompts": prompts,
        "points": rows,
        "units": {
            "reward": _deviation(start.scores if start else []),
            "gold": _deviation(start.golds if start else []),
        },
        "warnings": [asdict(one) for one in warnings],
    }
    return dict(with_null(told))


def _deviation(scores: Sequence[float]) -> float:
    """Return the standard deviation of what could be scored; 1 where all scores are the same."""
    known = [score for score in scores if not math.isnan(score)]
    return (pstdev(known) if known else 0.0) or 1.0


def _kept(path: Path, key: str) -> dict[str, Mapping[str, Any]]:
    """Return what was measured before, by the policy's digest.

    Raises:
        StoreError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return dict(with_nan(stored["points"])) if stored["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: is damaged ({why(error)}); delete it, and run align again"
        ) from error
