"""From a run and a policy to preferences: sample, label, pair, hold out, report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Loaded
from selfinstruct.preferences import folder
from selfinstruct.preferences.folder import HELD_OUT, TRAIN
from selfinstruct.preferences.label import (
    Apart,
    Labelled,
    Labeller,
    Score,
    Scorer,
    label_answers,
    labelled_by,
)
from selfinstruct.preferences.pairs import (
    LEAST_PAIRS,
    Dropped,
    Pair,
    by_prompt,
    length_report,
    make_pairs,
    split_balanced,
    split_pairs,
    usable_answers,
)
from selfinstruct.preferences.sample import Prompt, SampleSettings, prompts_of, sample_answers
from selfinstruct.store import Run, folder_lock

log = logging.getLogger(__name__)

# Settings that decide about pairs alone: free to change without asking anybody again.
_PAIRING = {"min_margin", "pairs_per_task", "balance_lengths", "held_out"}


@dataclass(frozen=True, slots=True)
class PreferSettings:
    """How preferences are made."""

    k: int = 4
    temperature: float = 0.9
    max_tokens: int = 192
    min_margin: float = 0.0
    pairs_per_task: int = 3
    balance_lengths: bool = False
    held_out: int = 60
    seed: int = 0
    dtype: str = "auto"


def prefer(
    run: Run,
    policy: LocalModel,
    out: Path,
    settings: PreferSettings,
    scorer: Scorer,
    *,
    apart: Apart,
    score: Score,
    advance: Callable[[str, int, int], object],
    resume: bool = False,
) -> dict[str, Any]:
    """Make preferences of a policy's answers to the tasks of a run; return the report.

    Answers are the policy's own: nothing that the run rejected is ever in a pair.

    Args:
        run: whose accepted tasks are the prompts.
        policy: the model that answers, and is to be trained.
        out: folder of the preferences.
        settings: how.
        scorer: the labeller.
        apart: runs a model in a process of its own.
        score: asks a reward model.
        advance: told (stage, done, of how many).
        resume: go on with what was begun in `out`.

    Raises:
        ConfigError: nothing to ask, other settings than in `out`, or too few pairs came of it.
        EngineError: an engine failed; what was committed stays.
        WriteError: the disk refuses; what was committed stays.
    """
    prompts = prompts_of(run)
    if not prompts:
        raise ConfigError(f"{run.path}: has no accepted task to ask about; generate some first")
    told = {
        **{key: value for key, value in asdict(settings).items() if key not in _PAIRING},
        "policy": policy.digest,
        "run": fingerprint({"prompts": [asdict(prompt) for prompt in prompts]}),
        "labeller": str(scorer.labeller),
        "labelled_by": labelled_by(scorer, settings.dtype),
        "judge_template": scorer.template if scorer.labeller is Labeller.JUDGE else None,
    }
    with folder_lock(out):
        if folder.open_folder(out, told, resume=resume):
            raise ConfigError(f"{out}: holds preferences already; give another --out")
        how = SampleSettings(
            settings.k,
            settings.temperature,
            settings.max_tokens,
            settings.seed,
            scored=scorer.labeller is Labeller.LIKELIHOOD,
        )
        work = partial(sample_answers, prompts=prompts, how=how, out=out)
        apart(Loaded(policy.name, settings.dtype), work, partial(advance, "answers"))
        labelled = label_answers(
            scorer,
            prompts,
            by_prompt([prompt.id for prompt in prompts], folder.read_scored(out)),
            out,
            apart=apart,
            score=score,
            dtype=settings.dtype,
            advance=partial(advance, "labels"),
        )
        return _finish(run, policy, out, settings, scorer, prompts, labelled)


def _finish(
    run: Run,
    policy: LocalModel,
    out: Path,
    settings: PreferSettings,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    labelled: Labelled,
) -> dict[str, Any]:
    """Make the pairs and write them, and the report last."""
    answers = labelled.answers
    pairs, dropped = make_pairs(
        answers,
        min_margin=settings.min_margin,
        most=settings.pairs_per_task,
        margin_of=labelled.margin_of,
        may_pair=labelled.may_pair,
    )
    group_of = {prompt.id: prompt.group for prompt in prompts}
    train, held = split_pairs(pairs, group_of, settings.held_out)
    before = length_report([*train, *held])
    if settings.balance_lengths:
        train, held, before = split_balanced(pairs, group_of, settings.held_out)
    lengths = length_report([*train, *held])
    if gone := before.pairs - lengths.pairs:
        dropped[Dropped.LENGTH_BALANCE] += gone
    counts = {str(reason): count for reason, count in sorted(dropped.items())}
    if len(held) < settings.held_out or len(train) < LEAST_PAIRS:
        raise ConfigError(
            f"{out}: only {len({pair.prompt_id for pair in pairs})} of {len(prompts)} tasks have a "
            f"pair ({_counted(counts)}), too few to hold {settings.held_out} out and train on "
            f"{LEAST_PAIRS} pairs; --resume with a smaller --held-out or --min-margin pairs the "
            "same answers anew; more tasks or a larger --k need another --out"
        )
    user_of = {prompt.id: prompt.user for prompt in prompts}
    lineage = {
        "labeller": str(scorer.labeller),
        "policy": policy.name,
        "run": str(run.path.name),
    }
    folder.write_pairs(out, TRAIN, train, user_of, lineage)
    folder.write_pairs(out, HELD_OUT, held, user_of, lineage)
    held_groups = {group_of[pair.prompt_id] for pair in held}
    folder.write_labelled(
        out,
        [one for prompt in prompts for one in answers[prompt.id]],
        {one.id for own in answers.values() for one in usable_answers(own, Counter())},
        {prompt.id: (prompt.user, prompt.group in held_groups) for prompt in prompts},
    )
    report = {
        **lineage,
        "prompts": len(prompts),
        "answers": sum(len(own) for own in answers.values()),
        "pairs": {"train": len(train), "held_out": len(held)},
        "dropped": counts,
        "lengths": asdict(lengths),
        "lengths_before_balancing": asdict(before) if settings.balance_lengths else None,
        "margins": _quartiles([*train, *held]),
    }
    folder.write_report(out, report)
    return report


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "nothing dropped"


def _quartiles(pairs: Sequence[Pair]) -> list[float]:
    margins = sorted(pair.margin for pair in pairs)
    return [margins[round(share * (len(margins) - 1))] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
