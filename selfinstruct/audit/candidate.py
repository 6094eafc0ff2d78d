"""Everything about one candidate that a person wants to see before deciding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct.audit.alignment import align, token_spans
from selfinstruct.audit.completions import Asked, asked_for
from selfinstruct.audit.search import Filter, search
from selfinstruct.common import ids
from selfinstruct.common.records import InstanceCandidate, InstructionCandidate
from selfinstruct.config.schema import RunConfig
from selfinstruct.decisions.lookup import Candidate, find, find_all, outcome_of
from selfinstruct.decisions.overrides import Override, Overrides, read_overrides
from selfinstruct.filters.novelty.tokens import CHOOSE_TOKENIZER, OWN_TOKENS, Tokenizer
from selfinstruct.filters.rule import When
from selfinstruct.filters.rules import passed_text_rules, steps_of
from selfinstruct.filters.score_rules import NOT_NOVEL
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PoolText:
    """A text of the pool: a seed task, a text to avoid, or an instruction of the run.

    outcome: `seed`, `avoid`, `accepted`, or a reason.
    """

    id: str
    text: str
    outcome: str


@dataclass(frozen=True)
class Neighbour:
    """The nearest text of the pool, and the common subsequence that ROUGE-L counted.

    marks, own_marks: half-open ranges of characters of `text` and of the candidate's `text`,
        one for each common token.
    tokens, own_tokens: how many each text has; F = 2 * len(marks) / (tokens + own_tokens).
    """

    id: str
    text: str
    outcome: str
    rouge_l: float
    marks: Sequence[Span]
    own_marks: Sequence[Span]
    tokens: int
    own_tokens: int


@dataclass(frozen=True, slots=True)
class Check:
    """A score and the threshold that it had to meet.

    name: `mean_logprob` or `rouge_l`; `rule` for a rule on the text that failed.
    score: None if there is none.
    threshold: None if none was in force.
    passed: None if it was not judged.
    """

    name: str
    score: float | None
    threshold: float | None
    passed: bool | None


@dataclass(frozen=True)
class Detail:
    """One candidate with its context.

    row: its columns, as `search` gives them, with later completions in place.
    table: `instructions` or `instances`.
    outcome: `accepted`, a reason, `pending_instances` or `dropped`, overrides applied.
    overrides: every entry about it, the oldest first.
    instruction: the row of an instance's instruction.
    asked: the completion that contains it, and the later requests about an instruction.
    children: ids of the first instructions whose proposal showed it; `children_total`: of all.
    instances: rows of an instruction's instances, in order.
    """

    row: Mapping[str, Any]
    table: str
    outcome: str
    checks: Sequence[Check]
    override: Override | None
    overrides: Sequence[Override]
    neighbour: Neighbour | None
    parents: Sequence[PoolText]
    children: Sequence[str]
    children_total: int
    instruction: Mapping[str, Any] | None
    instances: Sequence[Mapping[str, Any]]
    asked: Sequence[Asked]


def show_candidate(run: Run, id: str, children: int = 20) -> Detail:
    """Return everything about one candidate.

    Raises:
        ConfigError: the run has none of this id; names the nearest.
        StoreError: a file of the run is damaged.
    """
    candidate, overrides = find(run, id), read_overrides(run)
    table = "instances" if candidate.instance else "instructions"
    task = candidate.instruction
    kids = search(run, Filter(parent=id), limit=children) if table == "instructions" else None
    pool = _pool_texts(run, task) if table == "instructions" else {}
    return Detail(
        row=_row(candidate.row, overrides),
        table=table,
        outcome=outcome_of(candidate, overrides),
        checks=_checks(run, candidate),
        override=overrides.current.get(id),
        overrides=[entry for entry in overrides.entries if entry.id == id],
        neighbour=_neighbour(task, pool, stored_config(run)) if pool else None,
        parents=[pool[parent] for parent in task.parents] if pool else [],
        children=[row["id"] for row in kids.rows] if kids else [],
        children_total=kids.total if kids else 0,
        instruction=_row(task, overrides) if candidate.instance else None,
        instances=[]
        if candidate.instance
        else [_row(row, overrides) for row in candidate.instances],
        asked=asked_for(run, candidate),
    )


def _row(row: InstructionCandidate | InstanceCandidate, overrides: Overrides) -> dict[str, Any]:
    decision = overrides.current.get(row.id)
    return {**asdict(row), "override": str(decision.action) if decision else None}


def _checks(run: Run, candidate: Candidate) -> list[Check]:
    """Return its scores with their thresholds, and the rule on its text that failed."""
    row = candidate.row
    least = row.logprob_threshold
    judged = passed_text_rules(row.reason)
    likely = None if least is None or not judged else not row.mean_logprob < least
    checks = [Check("mean_logprob", _number(row.mean_logprob), least, likely)]
    if isinstance(row, InstructionCandidate):
        most = stored_config(run).novelty.threshold
        unlikely = row.reason is not None and steps_of(row.reason) == {When.LIKELIHOOD}
        reached = judged and not unlikely
        novel = row.reason != NOT_NOVEL.reason if reached else None
        checks.append(Check("rouge_l", _number(row.rouge_l), most, novel))
    if not judged:
        checks.append(Check("rule", None, row.threshold, passed=False))
    return checks


def _neighbour(
    row: InstructionCandidate, pool: Mapping[str, PoolText], config: RunConfig
) -> Neighbour | None:
    if row.neighbour_id is None:
        return None
    near = pool[row.neighbour_id]
    version = config.rules_version
    tokenizer = theirs = Tokenizer(row.novelty_tokenizer or Tokenizer.ROUGE)
    if OWN_TOKENS.at(version):
        theirs = CHOOSE_TOKENIZER.at(version)(near.text, config.novelty.tokenizer)
    aligned = align(
        token_spans(near.text, theirs, version), token_spans(row.text, tokenizer, version)
    )
    return Neighbour(
        near.id,
        near.text,
        near.outcome,
        row.rouge_l,
        aligned.marks,
        aligned.other_marks,
        aligned.tokens,
        aligned.other_tokens,
    )


def _pool_texts(run: Run, row: InstructionCandidate) -> dict[str, PoolText]:
    """Return a candidate's parents and neighbour, by id; a missing one has no text."""
    first = dict(stored_inputs(run).first_pool)
    pool_ids = [*row.parents, *([row.neighbour_id] if row.neighbour_id else [])]
    known = find_all(run, [id for id in pool_ids if id not in first])
    texts = {}
    for id in pool_ids:
        if id in first:
            texts[id] = PoolText(id, first[id], ids.origin(id))
        elif id in known:
            near = known[id].instruction
            texts[id] = PoolText(id, near.text, str(near.reason or near.verdict))
        else:
            texts[id] = PoolText(id, "", "missing")
    return texts


def _number(score: float) -> float | None:
    return None if math.isnan(score) else score
