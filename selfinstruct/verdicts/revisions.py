"""Verdicts on revisions: a pure function of what was recorded, for `revise` and replay alike.

A draft that the run had is not judged again. A draft that the model wrote, and each revision, is
judged by the run's rules on outputs, without those against refusals where the settings allow one
to decline. A revision is judged by a few rules of its own first (filters/revisions.py). Likelihood
is not checked: the thresholds belong to answers that were written without a critique before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    ParsedInstance,
    Stage,
)
from selfinstruct.common.revisions import DRAFT, Revision
from selfinstruct.common.versions import REVISIONS_VERSION
from selfinstruct.filters.instance_rules import EMPTY_OUTPUT, check_instances
from selfinstruct.filters.likelihood import score_span
from selfinstruct.filters.revisions import NO_REVISION, NOT_OF_REVISIONS, RevisionFacts
from selfinstruct.filters.rule import Failure, Of, first_failure
from selfinstruct.prompts.canonical import user_text
from selfinstruct.prompts.principles import Principle, principles_from
from selfinstruct.verdicts.parse import PARSE_DIRECT
from selfinstruct.verdicts.rulebook import Rulebook


@dataclass(frozen=True)
class RevisionSettings:
    """What revisions are judged by, beside the run's rules: part of each commit's JSON.

    rounds: most steps of a series.
    draft: whether the model writes the drafts.
    may_decline: whether a text may decline its task.
    principles: all that may be drawn, as `Principles.recorded` has them.
    shown: texts of the worked example in the prompts.
    """

    rounds: int
    draft: bool
    may_decline: bool
    principles: Sequence[Mapping[str, str]]
    shown: Sequence[str] = ()
    version: int = REVISIONS_VERSION

    @cached_property
    def by_name(self) -> dict[str, Principle]:
        """The principles by their names."""
        return {one.name: one for one in principles_from(self.principles)}


def settings_of(info: Mapping[str, Any]) -> RevisionSettings:
    """Return the settings of a commit, from its JSON."""
    stored = info["settings"]
    return RevisionSettings(**{one.name: stored[one.name] for one in fields(RevisionSettings)})


def recorded_settings(settings: RevisionSettings) -> dict[str, Any]:
    """Return settings as JSON has them."""
    return asdict(settings)


@dataclass(frozen=True)
class Series:
    """What a series is before anything is asked.

    draft: the row of the draft without a verdict; its text is empty where the model writes it.
    principles: the name of the principle of each step.
    shown: of a series that another run took over, the texts that its steps were asked about: by
        other rules, others might be the last that were accepted.
    """

    draft: Revision
    principles: Sequence[str]
    shown: Sequence[str] = ()

    @property
    def id(self) -> str:
        return self.draft.series_id

    @property
    def task(self) -> str:
        """The task as a user writes it."""
        return user_text(self.draft.instruction, self.draft.input)


def new_series(
    task: InstructionCandidate,
    instance: InstanceCandidate | None,
    number: int,
    principles: Sequence[str],
    settings: RevisionSettings,
) -> Series:
    """Return a series for an output of a task as it stands.

    Args:
        task: its instruction.
        instance: whose output is revised; None for a task without one.
        number: of the series among those of this output.
        principles: the name of the principle of each step.
        settings: of the revisions.
    """
    id = ids.revised(task.id if instance is None else instance.id, number)
    draft = Revision(
        id=ids.revision(id, DRAFT),
        series_id=id,
        number=DRAFT,
        instruction_id=task.id,
        instance_id=None if instance is None else instance.id,
        round=task.round,
        instruction=task.text,
        input="" if instance is None else instance.input,
        text="" if instance is None or settings.draft else instance.output,
    )
    return Series(draft, principles)


def series_of(
    rows: Sequence[Revision], settings: RevisionSettings, *, taken_over: bool = False
) -> Series:
    """Return the series of recorded rows, without what the model wrote and without verdicts.

    Args:
        rows: the draft and the revisions.
        settings: of the revisions.
        taken_over: whether they were written for another run.
    """
    first, *steps = rows
    draft = Revision(
        first.id,
        first.series_id,
        first.number,
        first.instruction_id,
        first.instance_id,
        first.round,
        first.instruction,
        first.input,
        text="" if settings.draft else first.text,
    )
    shown = [str(row.draft) for row in steps] if taken_over else []
    return Series(draft, [str(row.principle) for row in steps], shown)


def request_id(series_id: str, number: int, stage: Stage) -> str:
    """Return the id of the request of a step."""
    return ids.request(ids.revision(series_id, number), stage)


class SeriesState:
    """The rows of a series as its completions come in; `revise` and replay both use it.

    Args:
        series: what is revised.
        rulebook: config and templates of the run.
        settings: of the revisions.
    """

    def __init__(self, series: Series, rulebook: Rulebook, settings: RevisionSettings) -> None:
        self._series = series
        self._rulebook = rulebook
        self._settings = settings
        self._critique: Completion | None = None
        self.rows: list[Revision] = []
        if not settings.draft:
            self.rows.append(replace(series.draft, verdict=ACCEPTED))

    @property
    def text(self) -> str:
        """The text that the present step revises: the last that was accepted."""
        if self._series.shown:
            return self._series.shown[self.number - 1]
        return next((row.text for row in reversed(self.rows) if row.verdict == ACCEPTED), "")

    @property
    def critique(self) -> str | None:
        """The critique of the present step, once it is there."""
        return None if self._critique is None else self._critique.text.strip()

    @property
    def number(self) -> int:
        """The number of the present step."""
        return len(self.rows)

    def next_request(self) -> tuple[int, Stage] | None:
        """Return the step and the stage that come next; None if the series is whole."""
        if not self.rows:
            return DRAFT, Stage.ANSWER
        is_whole = self.number > min(self._settings.rounds, len(self._series.principles))
        has_draft = self.rows[0].verdict == ACCEPTED or bool(self._series.shown)
        if is_whole or not has_draft:
            return None
        return self.number, Stage.CRITIQUE if self._critique is None else Stage.REVISE

    def take(self, completion: Completion) -> None:
        """Take in the completion of `next_request`."""
        stage = completion.request.stage
        if stage is Stage.ANSWER:
            self.rows.append(self._judged(self._series.draft, completion, None))
            return
        if stage is Stage.CRITIQUE:
            self._critique = completion
            if completion.text.strip():
                return
            self.rows.append(self._judged(self._bare(), None, self._facts()))
        else:
            self.rows.append(self._judged(self._bare(), completion, self._facts()))
        self._critique = None

    def _bare(self) -> Revision:
        """Return the row of the present step without its text."""
        assert self._critique is not None
        return replace(
            self._series.draft,
            id=ids.revision(self._series.id, self.number),
            number=self.number,
            principle=self._series.principles[self.number - 1],
            draft=self.text,
            critique=self.critique,
            critique_id=self._critique.id,
            text="",
        )

    def _facts(self) -> RevisionFacts:
        principle = self._settings.by_name[self._series.principles[self.number - 1]]
        asked = (principle.principle, principle.critique, principle.revision)
        shown = (*asked, *self._settings.shown)
        return RevisionFacts("", self.text, self.critique or "", self._series.task, shown)

    def _judged(
        self, bare: Revision, completion: Completion | None, facts: RevisionFacts | None
    ) -> Revision:
        """Read a draft or revision from its completion, and judge it.

        Args:
            bare: its row without a text.
            completion: None where none was asked for, for want of a critique.
            facts: of a revision; None for a draft.
        """
        row, parsed = bare, ParsedInstance(bare.input, "", (0, 0), (0, 0), truncated=False)
        if completion is not None:
            outputs = PARSE_DIRECT.at(self._rulebook.version)(
                completion.text, completion.finish_reason
            )
            row = replace(bare, completion_id=completion.id)
            if outputs:
                parsed = replace(outputs[0], input=bare.input)
                row = _with_text(row, completion, parsed)
        failure = self._failure(parsed, facts)
        if failure is None:
            return replace(row, verdict=ACCEPTED)
        return replace(row, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)

    def _failure(self, parsed: ParsedInstance, facts: RevisionFacts | None) -> Failure | None:
        """Return the first rule that a text breaks, or None."""
        rulebook = self._rulebook
        if facts is not None:
            own = rulebook.rules(Of.REVISION)
            failure = first_failure(own, replace(facts, text=parsed.output), rulebook.config)
            if failure is not None:
                return failure
        if not parsed.output:
            return Failure((EMPTY_OUTPUT if facts is None else NO_REVISION).reason)
        rules = rulebook.rules(Of.INSTANCE)
        if self._settings.may_decline:
            rules = [rule for rule in rules if rule.name not in NOT_OF_REVISIONS]
        instruction = self._series.draft.instruction
        [failure] = check_instances(rules, instruction, [parsed], rulebook.config, rulebook.markers)
        return failure


def _with_text(row: Revision, completion: Completion, parsed: ParsedInstance) -> Revision:
    """Return a row with the text that a completion has, its place and its score."""
    span = score_span(completion, *parsed.output_span)
    return replace(
        row,
        char_start=parsed.output_span[0],
        char_end=parsed.output_span[1],
        text=parsed.output,
        mean_logprob=span.mean_logprob,
        num_tokens=span.num_tokens,
        unscored_reason=span.unscored_reason,
        cut=parsed.cut,
    )


def rows_of_series(
    series: Series,
    by_id: Mapping[str, Completion],
    rulebook: Rulebook,
    settings: RevisionSettings,
) -> list[Revision]:
    """Return the rows of a series with their verdicts, from its completions.

    Args:
        series: what is revised.
        by_id: the completions by their ids; a series ends where one was not asked for.
        rulebook: config and templates of the run.
        settings: of the revisions.
    """
    state = SeriesState(series, rulebook, settings)
    while (asked := state.next_request()) is not None:
        completion = by_id.get(request_id(series.id, *asked))
        if completion is None:
            break
        state.take(completion)
    return state.rows
