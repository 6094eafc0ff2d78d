"""Judge the candidates of a run again by other thresholds: only those that these touch.

The recorded verdicts are what judging by the run's own thresholds gives. So a candidate keeps its
verdict unless one of these holds:

- its own scores lie otherwise to the new thresholds,
- the text that it was too near to, or that it held, has left the pool,
- a text has come into the pool that it is too near to, or that it holds,
- its instances, or the room below the target, decide otherwise.

The rounds are walked in order, and the candidates of a round that are touched, in order. What comes
in or goes out touches candidates after it, which are found by one query among all texts.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from selfinstruct.common.records import Kind
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.styles import STYLES
from selfinstruct.filters.changes import HOLDS_KNOWN
from selfinstruct.filters.likelihood import LikelihoodThresholds, SeedScores
from selfinstruct.filters.outcomes import (
    ENGINE_ERROR,
    NO_INSTANCES,
    OVER_TARGET,
    PENDING_INSTANCES,
)
from selfinstruct.filters.rule import Of, When
from selfinstruct.filters.score_rules import LOW_LIKELIHOOD, NOT_NOVEL, TOO_LIKELY, UNSCORABLE
from selfinstruct.verdicts.rulebook import Rulebook
from selfinstruct.verdicts.whatif_columns import CODES, NO_TEXT, PASSED_TEXT, Codes, Columns
from selfinstruct.verdicts.whatif_pool import ChangedPool, UnknownRulesError

_ACCEPTED, _NONE, _UNKNOWN = 0, -1, -2
_LOW, _HIGH = CODES[LOW_LIKELIHOOD.reason], CODES[TOO_LIKELY.reason]
_UNSCORABLE, _NOT_NOVEL = CODES[UNSCORABLE.reason], CODES[NOT_NOVEL.reason]
_HOLDS, _ENGINE_ERROR = CODES[HOLDS_KNOWN.reason], CODES[ENGINE_ERROR.reason]
_NO_INSTANCES, _OVER = CODES[NO_INSTANCES.reason], CODES[OVER_TARGET.reason]
_PENDING = CODES[PENDING_INSTANCES.reason]
_KEPT = (_ACCEPTED, _NO_INSTANCES, _PENDING)
# Texts that came in are compared one by one, until there are so many since they were indexed.
_FEW, _MORE = 500, 1.1

Near = tuple[float, int | None]
Bytes = NDArray[np.uint8]


class Again:
    """Candidates judged again; `outcome` and `instance_outcome` grow round by round.

    Args:
        columns: the candidates as recorded.
        rulebook: the new config.
        recorded: the config that the run was judged by.
        starts: scores of the calibration texts, by the round from which they count.

    Raises:
        UnknownRulesError: columns do not say enough to judge this run.
    """

    def __init__(
        self,
        columns: Columns,
        rulebook: Rulebook,
        recorded: RunConfig,
        starts: dict[int, SeedScores],
    ) -> None:
        _check_rules(rulebook)
        self._columns, self._config = columns, rulebook.config
        self.thresholds = LikelihoodThresholds(rulebook.config.likelihood, starts)
        self.outcome = columns.instructions.outcome.copy()
        self.instance_outcome = columns.instances.outcome.copy()
        count = len(self.outcome)
        self._near = np.full(count, np.nan), np.full(count, NO_TEXT, np.int32)
        self._novelty = ChangedPool(columns, rulebook.config, recorded)
        self._tasks = 0

    def judge_round(self, place: int, also: Iterable[int] = ()) -> None:
        """Judge the next round.

        Args:
            place: of the round among all.
            also: instructions whose nearest neighbour is wanted even if nothing changes.
        """
        rows, first = self._columns.instructions, int(self._columns.instructions.starts[place])
        own = slice(first, int(rows.starts[place + 1]))
        number = self._columns.rounds[place]
        likelihood = self._likelihood(own, number)
        novelty = self._novelty.judge(own, likelihood)
        outcome = np.where(likelihood != _NONE, likelihood, novelty).astype(np.int16)
        readable = PASSED_TEXT[rows.outcome[own]]
        outcome[~readable] = rows.outcome[own][~readable]
        passes = readable & (outcome == _ACCEPTED)
        self._judge_instances(place, outcome, passes)
        self.outcome[own] = outcome
        self._tasks += int((outcome == _ACCEPTED).sum())
        changed = np.flatnonzero(outcome != rows.outcome[own]) + first
        for row in {*changed.tolist(), *also}:
            score, neighbour = self._novelty.nearest(row, int(self.outcome[row]))
            self._near[0][row] = score
            self._near[1][row] = NO_TEXT if neighbour is None else neighbour
        self._novelty.close(own, passes & (outcome == _OVER))

    def near(self, row: int) -> Near:
        """Return ROUGE-L with the nearest text, and its number, of an instruction that changes."""
        score, neighbour = float(self._near[0][row]), int(self._near[1][row])
        return score, None if neighbour == NO_TEXT else neighbour

    def _likelihood(self, own: slice, number: int) -> Codes:
        """Return, for each instruction of a round, why its likelihood rejects it, or `_NONE`."""
        rows = self._columns.instructions
        readable, scores = PASSED_TEXT[rows.outcome[own]], rows.logprob[own]
        if not self.thresholds.is_settled(Kind.INSTRUCTION, number):
            self.thresholds.see(Kind.INSTRUCTION, number, scores[readable].tolist())
        return self._failures(scores, self.thresholds.least(Kind.INSTRUCTION, number))

    def _failures(
        self, scores: NDArray[np.float64], least: float | None, *, label: bool = False
    ) -> Codes:
        most = self._config.likelihood.max_logprob
        codes = np.full(len(scores), _NONE, np.int16)
        if most is not None and not label:
            codes[scores > most] = _HIGH
        if least is not None:
            codes[scores < least] = _LOW
        return codes

    def _judge_instances(self, place: int, outcome: Codes, passes: NDArray[np.bool_]) -> None:
        """Judge the instances of a round, and finish `outcome` by them and by the target."""
        rows = self._columns.instances
        own = slice(int(rows.starts[place]), int(rows.starts[place + 1]))
        task = rows.instruction[own] - int(self._columns.instructions.starts[place])
        recorded = rows.outcome[own]
        readable = PASSED_TEXT[recorded]
        asked = passes[task]
        single = np.where(readable, _ACCEPTED, recorded).astype(np.int16)
        number = self._columns.rounds[place]
        for kind, of_kind in ((Kind.OUTPUT, ~rows.is_label[own]), (Kind.LABEL, rows.is_label[own])):
            checked = asked & readable & of_kind
            scores = rows.logprob[own][checked]
            if not self.thresholds.is_settled(kind, number):
                self.thresholds.see(kind, number, scores.tolist())
            least = self.thresholds.least(kind, number)
            failures = self._failures(scores, least, label=kind is Kind.LABEL)
            single[checked] = np.where(failures == _NONE, _ACCEPTED, failures)
        size = len(outcome)
        has = np.bincount(task, minlength=size)
        good = np.bincount(task[single == _ACCEPTED], minlength=size)
        failed = np.bincount(task[single == _ENGINE_ERROR], minlength=size)
        outcome[passes & (has == failed)] = _PENDING  # it has none, or all of them failed
        outcome[passes & (has > failed) & (good == 0)] = _NO_INSTANCES
        wanted = passes & (good > 0)
        room = self._columns.targets[place] - self._tasks
        outcome[wanted & (np.cumsum(wanted) > room)] = _OVER
        fallen = (single == _ACCEPTED) & (outcome[task] != _ACCEPTED)
        fallen &= outcome[task] != _NO_INSTANCES
        self.instance_outcome[own] = np.where(fallen, outcome[task], single)


def _check_rules(rulebook: Rulebook) -> None:
    """Refuse rules on scores that this module does not know, and tasks that may hold others."""
    propose = rulebook.config.propose
    if STYLES[propose.style].rewrites or propose.paraphrases:
        raise UnknownRulesError(f"propose.style: {propose.style}")
    on_both = {LOW_LIKELIHOOD.name, TOO_LIKELY.name}
    on_instructions = on_both | {UNSCORABLE.name, NOT_NOVEL.name, HOLDS_KNOWN.name}
    for of, last, known in (
        (Of.INSTRUCTION, When.NOVELTY, on_instructions),
        (Of.INSTANCE, When.LIKELIHOOD, on_both),
    ):
        strange = {rule.name for rule in rulebook.rules(of, When.LIKELIHOOD, last)} - known
        if strange:
            raise UnknownRulesError(f"{of}: {', '.join(sorted(strange))}")
