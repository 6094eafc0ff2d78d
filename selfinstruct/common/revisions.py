"""The record of revisions: answers that a model criticises by a principle and rewrites.

Bai et al. 2022 (Constitutional AI, arXiv:2212.08073, §3). A *series* is one time that the output
of a task is revised: a *draft*, and as many steps as were wanted. In each step the model writes a
*critique* of the text by one principle, then a *revision*. The next step revises the last text
that was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from selfinstruct.common.records import ACCEPTED, NAN

DRAFT = 0  # the number of the draft; that of the first revision is 1


@dataclass(frozen=True, slots=True)
class Revision:
    """A row of revisions.parquet: a draft, or a revision.

    series_id: all rows of one draft have it.
    number: 0 for the draft, 1 for the first revision.
    instruction_id, instance_id: whose output is revised; no instance if the task has no output.
    round: of the instruction.
    instruction, input: the task as it stood.
    principle: the name of the principle; None for a draft.
    draft: the text that is revised; None for a draft.
    critique: what the model says of that text; None for a draft.
    critique_id: the completion with the critique.
    completion_id: the completion with this text; None for a draft that the run had.
    char_start, char_end: the text's place in that completion.
    """

    id: str
    series_id: str
    number: int
    instruction_id: str
    instance_id: str | None
    round: int
    instruction: str
    input: str
    principle: str | None = None
    draft: str | None = None
    critique: str | None = None
    critique_id: str | None = None
    completion_id: str | None = None
    char_start: int = 0
    char_end: int = 0
    text: str = ""
    mean_logprob: float = NAN
    num_tokens: int = 0
    unscored_reason: str | None = None
    verdict: str | None = None
    reason: str | None = None
    threshold: float | None = None
    cut: str | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it is what the first step revises."""
        return self.number == DRAFT


@dataclass(frozen=True, slots=True)
class Revised:
    """Result of `revise`.

    Attributes:
        owed: outputs that were not revised with these settings before.
        drafts: how many of them have a draft now that was accepted.
        written: revisions that were committed.
        outcomes: how many of them were accepted, or rejected for each reason.
        failed: outputs that are still not revised, because the engine failed on their requests.
        undrafted: tasks without an output, which were left out.
        labels: outputs of classification tasks, which were left out.
    """

    owed: int = 0
    drafts: int = 0
    written: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    undrafted: int = 0
    labels: int = 0

    @property
    def accepted(self) -> int:
        """How many revisions were accepted."""
        return self.outcomes.get(ACCEPTED, 0)

    def __str__(self) -> str:
        left = []
        if self.undrafted:
            left.append(
                f"{self.undrafted} tasks have no output to revise; --draft has the model write them"
            )
        if self.labels:
            left.append(f"{self.labels} labels are left as they are")
        if not self.owed:
            done = [] if self.undrafted else ["every output is revised with these settings"]
            return "; ".join([*done, *left])
        parts = [f"{self.accepted} of {self.written} revisions accepted"]
        rejected = {reason: n for reason, n in self.outcomes.items() if reason != ACCEPTED and n}
        if rejected:
            named = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
            parts.append(f"rejected: {named}")
        if self.drafts < self.owed - self.failed:
            parts.append(f"{self.owed - self.failed - self.drafts} drafts were rejected")
        if self.failed:
            parts.append(
                f"{self.failed} outputs are still missing: the engine failed on them, run this "
                "again"
            )
        return "; ".join([*parts, *left])
