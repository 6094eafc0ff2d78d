"""Which rows of a run an export takes, and the system prompt that it gives them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from selfinstruct.common.controls import without_controls
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.dataset.chosen_answers import AnswerLimits
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, ExportRow, PromptedRow, restored_reasons
from selfinstruct.decisions.overrides import Action
from selfinstruct.filters.length import count_words
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run
from selfinstruct.verdicts.judgements import judge_scores


@dataclass(frozen=True, slots=True)
class Selection:
    """What an export takes; a value that is empty or None leaves nothing out.

    Attributes:
        reasons: only tasks that were rejected for one of these, and restored by a person.
        restored: only tasks that a person restored.
        min_logprob: least mean log-probability of the output, in nats per token; an output without
            one is left out.
        max_rouge: most ROUGE-L of the instruction with its nearest neighbour. A text that a person
            edited has none, and is left out.
        min_words: least words of the output.
        system: a system prompt for every row.
        conversations: whole self-chats in the place of the tasks that open them, or never; None:
            where the format can.
        plain_controls: leave characters out that a screen obeys or hides.
        min_agreement: least agreement of an answer by votes.
        without_rationale: write only the final answer of an answer that has a rationale.
        min_judge_score: least score of a judge; a task without one is left out.
        rubric: name of the judge's rubric; None: the one that was used last.
        pairs: preference pairs of drafts and revisions, in the place of tasks.
    """

    reasons: tuple[str, ...] = ()
    restored: bool = False
    min_logprob: float | None = None
    max_rouge: float | None = None
    min_words: int | None = None
    system: str | None = None
    conversations: bool | None = None
    plain_controls: bool = False
    min_agreement: float | None = None
    without_rationale: bool = False
    min_judge_score: float | None = None
    rubric: str | None = None

    @property
    def limits(self) -> AnswerLimits:
        """Which answers are taken, and how."""
        return AnswerLimits(self.min_agreement, self.without_rationale)

    pairs: bool = False

    @property
    def is_of_restored(self) -> bool:
        """Whether only tasks count that a person restored."""
        return self.restored or bool(self.reasons)

    def takes(self, row: ExportRow, rejected_for: Sequence[str]) -> bool:
        """Whether a row is exported, which was rejected for these reasons and then restored."""
        checks = (
            not self.reasons or not set(self.reasons).isdisjoint(rejected_for),
            not self.restored or bool(rejected_for),
            self.min_logprob is None or _number(row.mean_logprob) >= self.min_logprob,
            self.max_rouge is None or self._is_apart(row),
            self.min_words is None or count_words(row.output) >= self.min_words,
        )
        return all(checks)

    def _is_apart(self, row: ExportRow) -> bool:
        # Without a score, no neighbour was near enough to be recorded, or a person edited it.
        rouge_l = _number(row.rouge_l)
        if math.isnan(rouge_l):
            return row.override != Action.EDIT
        return self.max_rouge is not None and rouge_l <= self.max_rouge

    def said(self) -> str:
        """Return what is selected as the options that ask for it."""
        options = [f"--reason {reason}" for reason in self.reasons]
        options += ["--restored"] if self.restored else []
        for name in ("min_logprob", "max_rouge", "min_words", "min_agreement", "min_judge_score"):
            value = getattr(self, name)
            if value is not None:
                options.append(f"--{name.replace('_', '-')} {value:g}")
        return " ".join(options)


EVERYTHING = Selection()


def _number(score: float | None) -> float:
    """Return a score; NaN where an export has null for it."""
    return math.nan if score is None else score


def selected(
    run: Run, rows: Iterable[ExportRow], answers: Answers, selection: Selection
) -> Iterator[ExportRow]:
    """Yield the rows of a run that a selection takes.

    Raises:
        ConfigError: no such reason; or no row is left, which is raised after the last one.
    """
    for reason in selection.reasons:
        if reason not in reasons():
            raise ConfigError(
                f"--reason {reason}: no such reason; there are: {', '.join(map(str, reasons()))}"
            )
    rejected_for = {}
    if selection.is_of_restored:
        rejected_for = restored_reasons(run, answers, selection.limits)
    scores = _judge_scores(run, selection)
    number = taken = 0
    for row in rows:
        number += 1
        is_judged = scores is None or _passes(row, scores, selection.min_judge_score)
        if is_judged and selection.takes(row, rejected_for.get(row.id, ())):
            taken += 1
            yield row
    if not taken:
        raise ConfigError(
            f"{run.path}: none of {number} rows is left by {selection.said()}; ask for less"
        )


def _judge_scores(run: Run, selection: Selection) -> dict[str, float] | None:
    """Return a judge's scores by instance; None where the selection does not ask for any.

    Raises:
        ConfigError: nothing was judged.
    """
    if selection.min_judge_score is None:
        return None
    scores = judge_scores(run, selection.rubric)
    if not scores:
        raise ConfigError(
            f"{run.path}: nothing was judged; judge it with: selfinstruct audit judge {run.path} "
            "--judge MODEL"
        )
    return scores


def _passes(row: ExportRow, scores: Mapping[str, float], least: float | None) -> bool:
    """Whether a judge's score is high enough; it said nothing of a text that a person edited."""
    is_edited = row.override == Action.EDIT
    score = math.nan if is_edited else scores.get(row.id, math.nan)
    return least is not None and score >= least


def check_pairs(
    selection: Selection, format: Format, answers: Answers, *, given: bool
) -> tuple[Format, Answers]:
    """Return the format and the answers of an export of pairs.

    Args:
        selection: what is exported.
        format: the default one.
        answers: whose outputs, as they were asked for.
        given: whether a format or a trainer was asked for.

    Raises:
        ConfigError: an option does not go with pairs.
    """
    problems = {
        "--format and --for": given,
        f"--answers {answers}": answers not in (Answers.OWN, Answers.REVISION),
        "--conversations": bool(selection.conversations),
    }
    for option, is_given in problems.items():
        if is_given:
            raise ConfigError(
                f"--as-pairs: writes drafts and their revisions as JSON lines; leave {option} out"
            )
    return format, Answers.REVISION


def with_plain_controls(rows: Iterable[ExportRow]) -> Iterator[ExportRow]:
    """Yield rows without characters that a screen obeys or hides."""
    return (
        replace(
            row,
            instruction=without_controls(row.instruction),
            input=without_controls(row.input),
            output=without_controls(row.output),
            draft=None if row.draft is None else without_controls(row.draft),
            turns=tuple(
                Message(**{**turn, "content": without_controls(turn["content"])})
                for turn in row.turns
            ),
        )
        for row in rows
    )


def with_system(rows: Iterable[ExportRow], system: str) -> Iterator[ExportRow]:
    """Yield rows with a system prompt."""
    return (
        replace(row, system=system)
        if isinstance(row, PromptedRow)
        else PromptedRow(**asdict(row), system=system)
        for row in rows
    )
