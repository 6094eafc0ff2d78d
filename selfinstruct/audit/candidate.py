"""Everything that is known of one candidate: what a person wants to see before deciding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.audit.overrides import Override
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
    """A score beside the threshold that it had to meet.

    name: `mean_logprob` or `rouge_l`; `rule` for a rule on the text that failed.
    score: None where there is none.
    threshold: None where none was in force.
    passed: None where it was not judged.
    """

    name: str
    score: float | None
    threshold: float | None
    passed: bool | None


@dataclass(frozen=True)
class Asked:
    """The completion that a candidate stands in: exact prompt, sampling parameters, what came.

    start, end: the candidate's span in `text` (an instance: of its output).
    """

    id: str
    stage: str
    template: str
    prompt: str
    sampling: Mapping[str, Any]
    seed: int
    text: str
    thinking: str | None
    finish_reason: str
    num_prompt_tokens: int
    num_output_tokens: int
    start: int
    end: int


@dataclass(frozen=True)
class Detail:
    """One candidate and what surrounds it.

    row: its columns, as `search` gives them; what was completed later is in place.
    table: `instructions` or `instances`.
    outcome: `accepted`, a reason, `pending_instances` or `dropped`, overrides applied.
    overrides: every entry about it, the oldest first.
    instruction: of an instance, the row of its instruction.
    asked: the completion that it stands in; `classify` and `instances` ones are those of
        an instruction's later stages, where there are any.
    children: ids of instructions whose proposal showed it, the first ones; `children_total`.
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
    raise NotImplementedError
