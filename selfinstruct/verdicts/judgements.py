"""Read a judge's replies about a task: its answers, its reasons, and the score.

A judgement is no verdict: it changes nothing of a run. `export --min-judge-score` and `audit whatif
--min-judge-score` filter by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.judged import Judgement
from selfinstruct.common.records import Completion, InstanceCandidate
from selfinstruct.common.versions import Versioned
from selfinstruct.prompts.judging import Rubric, Scale, rubric_from
from selfinstruct.store import Run
from selfinstruct.store.commits import JUDGED

REPLIES_VERSION = 1
RUBRIC, VERSION = "rubric", "version"
"""The keys in judgements.json of the rubric's file, and of the code that reads replies."""

# The lookbehind keeps a search from trying every mark of a long row of them.
_YES_NO = re.compile(r"(?<!\W)\W*+(yes|no)\b[\s.,:;!)*–—-]*", re.IGNORECASE)
_ONE_TO_FIVE = re.compile(r"\D{0,20}?([1-5])(?![\d.,]\d|\d)(?:\s*/\s*5)?[\s.,:;!)*–—-]*")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a judge, empty if none can be read, and its reason."""

    answer: str
    reason: str


def _read_1(text: str, scale: Scale) -> Reply:
    pattern = _YES_NO if scale is Scale.YES_NO else _ONE_TO_FIVE
    found = pattern.match(text)
    if found is None:
        return Reply("", text.strip())
    return Reply(found[1].casefold(), text[found.end() :].strip())


READ_REPLY = Versioned(_read_1)


def judgement_of(
    instance: InstanceCandidate,
    batch: int,
    replies: Sequence[Completion],
    rubric: Rubric,
    version: int = REPLIES_VERSION,
) -> Judgement | None:
    """Return what a judge says of an instance; None if a request failed: it is asked again.

    Args:
        instance: that was judged.
        batch: number of the commit.
        replies: to the questions of the rubric, in their order.
        rubric: what was asked.
        version: of the code that reads replies.
    """
    if any(one.error is not None for one in replies):
        return None
    read = [READ_REPLY.at(version)(one.text, rubric.scale) for one in replies]
    answers = tuple(reply.answer for reply in read)
    return Judgement(
        id=ids.judged(instance.id, batch),
        instance_id=instance.id,
        instruction_id=instance.instruction_id,
        round=instance.round,
        score=_score(answers, rubric.scale),
        answers=answers,
        reasons=tuple(reply.reason for reply in read),
    )


def _score(answers: Sequence[str], scale: Scale) -> float:
    """Return the share of `yes`, or the mean of the numbers; NaN if one cannot be read."""
    if not all(answers):
        return math.nan
    if scale is Scale.YES_NO:
        return sum(answer == "yes" for answer in answers) / len(answers)
    return sum(map(int, answers)) / len(answers)


def rubric_of(run: Run, number: int) -> Rubric:
    """Return the rubric of a commit of judgements.

    Raises:
        StoreError: the commit is damaged.
        ConfigError: its rubric cannot be used.
    """
    info = JUDGED.info(run, number)
    return rubric_from(info[RUBRIC], str(JUDGED.info_path(run, number)))


def judge_scores(run: Run, rubric: str | None = None) -> dict[str, float]:
    """Return the newest score of each instance by its id; NaN if the reply cannot be read.

    Args:
        run: the run.
        rubric: name of a rubric; None: the one that was used last.

    Raises:
        StoreError: a commit is damaged.
        ConfigError: a rubric cannot be used.
    """
    JUDGED.verify(run)
    numbers = JUDGED.numbers(run)
    names = {number: rubric_of(run, number).name for number in numbers}
    wanted = rubric or (names[numbers[-1]] if numbers else None)
    scores: dict[str, float] = {}
    for number in numbers:
        if names[number] == wanted:
            rows = JUDGED.read_judgements(run, number)
            scores |= {row.instance_id: row.score for row in rows}
    return scores
