"""From a run and a policy to preferences: sample, label, pair, hold out, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.inputs.own_folders import HELD_OUT, TRAIN
from selfinstruct.labellers.base import Labelled, Scorer, TaskPrompt
from selfinstruct.preferences import folder
from selfinstruct.preferences.pairs import (
    LEAST_PAIRS,
    Dropped,
    LengthReport,
    Pair,
    length_report,
    make_pairs,
    split_balanced,
    split_pairs,
    usable_answers,
)
from selfinstruct.preferences.sample import Prompts, SampleSettings, prompts_of, require_references
from selfinstruct.preferences.workplace import Workplace
from selfinstruct.store import Run, folder_lock

# Settings that affect only the pairs: they may change without asking a model again.
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


@dataclass(frozen=True, slots=True)
class _Paired:
    """Pairs to train on, and held-out pairs.

    `before`: their lengths before balancing. `tasks`: number of tasks with a pair then.
    """

    train: Sequence[Pair]
    held: Sequence[Pair]
    dropped: Mapping[str, int]
    before: LengthReport
    tasks: int


def prefer(
    data: Run | Prompts,
    policy: LocalModel,
    settings: PreferSettings,
    scorer: Scorer,
    work: Workplace,
) -> dict[str, Any]:
    """Make preferences of a policy's answers to tasks; return the report.

    Answers are the policy's own: nothing that a run rejected is ever in a pair.

    Args:
        data: what to answer; of a run the accepted tasks.
        policy: the model that answers, and will be trained.
        settings: of the preferences.
        scorer: the labeller.
        work: the folder of the preferences, and how models are run. Stages are `answers` and
            `labels`.

    Raises:
        ConfigError: no prompts, other settings than in the folder, or too few pairs.
        EngineError: an engine failed; what was committed stays.
        WriteError: the disk refuses; what was committed stays.
    """
    asked_of = data if isinstance(data, Prompts) else Prompts(data.path.name, prompts_of(data))
    prompts, name = asked_of.tasks, asked_of.name
    if not prompts:
        raise ConfigError(f"{name}: has no accepted task to ask about; generate some first")
    require_references([scorer], prompts)
    asked = {
        **{key: value for key, value in asdict(settings).items() if key not in _PAIRING},
        "policy": policy.digest,
        "run": fingerprint({"prompts": [prompt.compared for prompt in prompts]}),
        "labeller": scorer.labeller.name,
        "labelled_by": scorer.labelled_by(settings.dtype),
        "judge_template": scorer.template,
    }
    lineage = {
        "labeller": scorer.labeller.name,
        "policy": policy.name,
        "run": name,
    }
    how = SampleSettings(
        settings.k,
        settings.temperature,
        settings.max_tokens,
        settings.seed,
        scored=scorer.scored_by_policy,
    )
    out = work.out
    with folder_lock(out):
        if folder.open_folder(out, asked, resume=work.resume):
            raise ConfigError(f"{out}: holds preferences already; give another --out")
        answers = work.answers(policy, prompts, how, settings.dtype)
        labelled = work.label("labels", scorer, prompts, answers, settings.dtype)
        paired = _paired(labelled, prompts, settings)
        _require_enough(paired, len(prompts), settings, out)
        _write(out, prompts, labelled, paired, lineage)
        report = _report(labelled, paired, settings, lineage)
        folder.write_report(out, report)
        return report


def _paired(labelled: Labelled, prompts: Sequence[TaskPrompt], settings: PreferSettings) -> _Paired:
    pairs, dropped = make_pairs(
        labelled.answers,
        min_margin=settings.min_margin,
        most=settings.pairs_per_task,
        margin_of=labelled.margin_of,
        may_pair=labelled.may_pair,
    )
    group_of = {prompt.id: prompt.group for prompt in prompts}
    if settings.balance_lengths:
        train, held, before = split_balanced(pairs, group_of, settings.held_out)
    else:
        train, held = split_pairs(pairs, group_of, settings.held_out)
        before = length_report([*train, *held])
    if gone := before.pairs - len(train) - len(held):
        dropped[Dropped.LENGTH_BALANCE] += gone
    counts = {str(reason): count for reason, count in sorted(dropped.items())}
    return _Paired(train, held, counts, before, len({pair.prompt_id for pair in pairs}))


def _require_enough(paired: _Paired, prompts: int, settings: PreferSettings, out: Path) -> None:
    """Refuse too few pairs.

    Raises:
        ConfigError: there are too few to hold out and to train on.
    """
    if len(paired.held) >= settings.held_out and len(paired.train) >= LEAST_PAIRS:
        return
    counts = paired.dropped.items()
    dropped = ", ".join(f"{count} {reason}" for reason, count in counts) or "nothing dropped"
    raise ConfigError(
        f"{out}: only {paired.tasks} of {prompts} tasks have a pair ({dropped}), too few to hold "
        f"{settings.held_out} out and train on {LEAST_PAIRS} pairs; --resume with a smaller "
        "--held-out-pairs or --min-margin pairs the same answers anew; more tasks or a larger --k "
        "need another --out"
    )


def _write(
    out: Path,
    prompts: Sequence[TaskPrompt],
    labelled: Labelled,
    paired: _Paired,
    lineage: Mapping[str, str],
) -> None:
    """Write the pairs, and all answers with the labeller's scores."""
    turns_of = {prompt.id: prompt.turns for prompt in prompts}
    folder.write_pairs(out, TRAIN, paired.train, turns_of, lineage)
    folder.write_pairs(out, HELD_OUT, paired.held, turns_of, lineage)
    group_of = {prompt.id: prompt.group for prompt in prompts}
    held_groups = {group_of[pair.prompt_id] for pair in paired.held}
    answers = labelled.answers
    folder.write_labelled(
        out,
        [answer for prompt in prompts for answer in answers[prompt.id]],
        {answer.id for own in answers.values() for answer in usable_answers(own, Counter())},
        {prompt.id: (prompt.turns, prompt.group in held_groups) for prompt in prompts},
    )


def _report(
    labelled: Labelled, paired: _Paired, settings: PreferSettings, lineage: Mapping[str, str]
) -> dict[str, Any]:
    pairs = [*paired.train, *paired.held]
    return {
        **lineage,
        "prompts": len(labelled.answers),
        "answers": sum(len(own) for own in labelled.answers.values()),
        "pairs": {"train": len(paired.train), "held_out": len(paired.held)},
        "dropped": dict(paired.dropped),
        "lengths": asdict(length_report(pairs)),
        "lengths_before_balancing": asdict(paired.before) if settings.balance_lengths else None,
        "margins": _quartiles(pairs),
    }


def _quartiles(pairs: Sequence[Pair]) -> list[float]:
    margins = sorted(pair.margin for pair in pairs)
    return [margins[round(share * (len(margins) - 1))] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
