"""What a judge's scores would do as a filter, before anybody filters by them."""

from __future__ import annotations

import math
from collections import Counter

from selfinstruct.audit.search import Filter, count_by_reason
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.view import read_judged
from selfinstruct.store import Run
from selfinstruct.verdicts.changes import Change, WhatIf
from selfinstruct.verdicts.judgements import judge_scores

BELOW, UNREAD = "below_judge_score", "not_judged"


def judge_what_if(run: Run, least: float, rubric: str | None = None) -> WhatIf:
    """Return what a least score would reject, of the accepted instances; nothing is written.

    An instance without a score would be rejected too, as an export leaves it out.

    Args:
        run: the run.
        least: the least score that passes.
        rubric: name of the rubric; None: the one that was used last.

    Raises:
        ConfigError: no instance was judged by it.
        StoreError: a file of the run is damaged.
    """
    scores = known_scores(run, rubric)
    changes = []
    for judged in read_judged(run).rounds():
        for instance in judged.accepted():
            score = scores.get(instance.id, math.nan)
            if score >= least:
                continue
            outcome = UNREAD if math.isnan(score) else BELOW
            text = f"{instance.input}\n→ {instance.output}".strip()
            nan = math.nan
            changes.append(Change(instance.id, ACCEPTED, outcome, text, nan, nan, None))
    before = Counter(count_by_reason(run, Filter("instances")))
    after = before - Counter({ACCEPTED: len(changes)}) + Counter(one.after for one in changes)
    instructions = Counter(count_by_reason(run, Filter("instructions")))
    return WhatIf(instructions, instructions, [], before, after, changes, {})


def known_scores(run: Run, rubric: str | None) -> dict[str, float]:
    """Return the scores of a judge, by instance.

    Raises:
        ConfigError: nothing was judged by this rubric.
        StoreError: a file of the run is damaged.
    """
    scores = judge_scores(run, rubric)
    if not scores:
        by = f" by the rubric {rubric}" if rubric else ""
        raise ConfigError(
            f"{run.path}: nothing was judged{by}; judge it with: selfinstruct audit judge "
            f"{run.path} --judge MODEL"
        )
    return scores
