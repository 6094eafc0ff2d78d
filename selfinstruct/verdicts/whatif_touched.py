"""The short way of what-if: a run's columns judged again, and what changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import ne

import numpy as np
from numpy.typing import NDArray

from selfinstruct.common.records import (
    ACCEPTED,
    NAN,
    REJECTED,
    InstanceCandidate,
    InstructionCandidate,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.decisions.view import by_round
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.store import Run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import Commit
from selfinstruct.store.supplements import each_supplement, in_place
from selfinstruct.verdicts.changes import Change, Changes, WhatIf
from selfinstruct.verdicts.rulebook import Rulebook
from selfinstruct.verdicts.whatif_again import Again
from selfinstruct.verdicts.whatif_columns import OUTCOMES, Codes, Columns, read_candidates
from selfinstruct.verdicts.whatif_full import outcome_of, supplement_again


def judge_touched(
    run: Run,
    config: RunConfig,
    recorded: RunConfig,
    inputs: Inputs,
    advance: Callable[[int], object] = id,
) -> WhatIf:
    """Judge the candidates of a run again that other thresholds touch.

    Args:
        run: the run.
        config: with the other thresholds.
        recorded: the run's own config.
        inputs: of the run.
        advance: called with the number of each round.

    Raises:
        UnknownRulesError: columns do not say enough to judge this run.
        StoreError: the run is damaged.
    """
    rulebook = Rulebook(config, inputs.prompts)
    columns = read_candidates(run, inputs.first_pool)
    again = Again(columns, rulebook, recorded, calibration_starts(run))
    supplements = list(each_supplement(run, completions=False))
    later = _Later(columns, again, supplements)
    for place, number in enumerate(columns.rounds):
        again.judge_round(place, later.wanted.get(number, ()))
        advance(number)
    for supplement in supplements:
        later.judge(supplement, rulebook)
    last = columns.rounds[-1] if columns.rounds else 0
    before, after = columns.instructions.outcome, again.outcome
    recorded_instances, judged_instances = columns.instances.outcome, again.instance_outcome
    return WhatIf(
        before=later.counted(before, later.rows, later.before),
        after=later.counted(after, later.rows, later.after),
        changes=_instruction_changes(columns, again, later),
        instances_before=later.counted(
            recorded_instances, later.instance_rows, later.instances_before
        ),
        instances_after=later.counted(judged_instances, later.instance_rows, later.instances_after),
        instance_changes=_instance_changes(columns, again, later),
        thresholds=again.thresholds.in_force(last),
    )


@dataclass
class _Later:
    """What supplements say of candidates: by id, as recorded and as judged again.

    rows, instance_rows: places among the columns of the candidates that they replace, by id.
    wanted: instructions whose nearest neighbour is wanted, by round.
    """

    columns: Columns
    again: Again
    supplements: list[Commit]
    rows: dict[str, int] = field(default_factory=dict)
    instance_rows: dict[str, int] = field(default_factory=dict)
    wanted: dict[int, list[int]] = field(default_factory=dict)
    recorded: dict[str, InstructionCandidate] = field(default_factory=dict)
    before: dict[str, InstructionCandidate] = field(default_factory=dict)
    after: dict[str, InstructionCandidate] = field(default_factory=dict)
    instances_before: dict[str, InstanceCandidate] = field(default_factory=dict)
    instances_after: dict[str, InstanceCandidate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {row.id for one in self.supplements for row in one.instructions}
        run, columns = self.columns.run, self.columns
        for number, ids in by_round(run, named).items():
            place = columns.rounds.index(number)
            first = int(columns.instructions.starts[place])
            end = int(columns.instructions.starts[place + 1])
            own_ids = columns.instructions.ids.slice(first, end - first).to_pylist()
            own = {id: first + n for n, id in enumerate(own_ids) if id in ids}
            self.rows |= own
            self.wanted[number] = list(own.values())
            self.recorded |= {row.id: row for row in run.instructions(number, ids)}
            start = int(columns.instances.starts[place])
            stop = int(columns.instances.starts[place + 1])
            wanted = np.isin(columns.instances.instruction[start:stop], list(own.values()))
            for row in (np.flatnonzero(wanted) + start).tolist():
                self.instance_rows[columns.instances.ids[row].as_py()] = row

    def judge(self, supplement: Commit, rulebook: Rulebook) -> None:
        """Judge a supplement again, after all rounds."""
        ids = [row.id for row in supplement.instructions]
        after = {id: self.after.get(id) or self._judged(id) for id in ids}
        thresholds = self.again.thresholds
        verdicts = supplement_again(supplement, after, rulebook, thresholds)
        for row in supplement.instructions:
            known = self.before.get(row.id) or self.recorded[row.id]
            self.before[row.id] = in_place(known, row)
        self.after |= after | {row.id: row for row in verdicts.instructions}
        self.instances_before |= {row.id: row for row in supplement.instances}
        self.instances_after |= {row.id: row for row in verdicts.instances}

    def _judged(self, id: str) -> InstructionCandidate:
        """Return the row of an instruction with the verdict that its round gives it now."""
        row = self.rows[id]
        outcome = OUTCOMES[self.again.outcome[row]]
        rouge_l, neighbour = self.again.near(row)
        is_task = outcome == ACCEPTED
        return replace(
            self.recorded[id],
            rouge_l=rouge_l,
            neighbour_id=None if neighbour is None else self.columns.id(neighbour),
            verdict=ACCEPTED if is_task else REJECTED,
            reason=None if is_task else outcome,
        )

    def instance_outcomes(self, id: str) -> tuple[str, str]:
        """Return the outcomes of an instance of supplements, as recorded and as judged again."""
        return outcome_of(self.instances_before[id]), outcome_of(self.instances_after[id])

    def instance_change(self, id: str) -> Change:
        """Return what becomes of an instance of supplements."""
        row = self.instances_before[id]
        return Change(id, *self.instance_outcomes(id), row.output, row.mean_logprob, NAN, None)

    def counted(
        self, codes: Codes, places: Mapping[str, int], rows: Mapping[str, object]
    ) -> Counter[str]:
        """Count outcomes by columns, with the rows of supplements in place."""
        replaced = [places[id] for id in rows if id in places]
        counts = np.bincount(codes, minlength=len(OUTCOMES))
        counts = counts - np.bincount(codes[replaced], minlength=len(OUTCOMES))
        found = Counter({OUTCOMES[code]: int(counts[code]) for code in np.flatnonzero(counts)})
        found.update(map(outcome_of, rows.values()))  # type: ignore[arg-type]
        return found


def _instruction_changes(columns: Columns, again: Again, later: _Later) -> Changes:
    """Return the instructions that change, in order."""
    rows, ids = columns.instructions, {later.rows[id]: id for id in later.before}

    def outcomes(row: int) -> tuple[str, str]:
        if row in ids:
            return outcome_of(later.before[ids[row]]), outcome_of(later.after[ids[row]])
        return OUTCOMES[rows.outcome[row]], OUTCOMES[again.outcome[row]]

    def make(row: int) -> Change:
        if row in ids:
            new = later.after[ids[row]]
            near: tuple[float, str | None] = new.rouge_l, new.neighbour_id
        else:
            rouge_l, neighbour = again.near(row)
            near = rouge_l, None if neighbour is None else columns.id(neighbour)
        id, text = str(rows.ids[row].as_py()), columns.text(len(columns.pool) + row)
        return Change(id, *outcomes(row), text, float(rows.logprob[row]), *near)

    changed = np.flatnonzero(rows.outcome != again.outcome)
    return Changes(_those_that_change(changed, ids, outcomes), make)


def _instance_changes(columns: Columns, again: Again, later: _Later) -> Changes:
    """Return the instances that change, in order; those that only supplements have come last."""
    rows, places = columns.instances, later.instance_rows
    ids = {places[id]: id for id in later.instances_before if id in places}

    def outcomes(row: int) -> tuple[str, str]:
        if row in ids:
            return later.instance_outcomes(ids[row])
        return OUTCOMES[rows.outcome[row]], OUTCOMES[again.instance_outcome[row]]

    def make(row: int) -> Change:
        if row in ids:
            return later.instance_change(ids[row])
        id, score = str(rows.ids[row].as_py()), float(rows.logprob[row])
        return Change(id, *outcomes(row), columns.output(row), score, NAN, None)

    changed = np.flatnonzero(rows.outcome != again.instance_outcome)
    others = [id for id in later.instances_before if id not in places]
    last = [later.instance_change(id) for id in others if ne(*later.instance_outcomes(id))]
    return Changes(_those_that_change(changed, ids, outcomes), make, last)


def _those_that_change(
    changed: NDArray[np.int64],
    replaced: Mapping[int, str],
    outcomes: Callable[[int], tuple[str, str]],
) -> NDArray[np.int64]:
    """Return the places of candidates that change, in order.

    Args:
        changed: places that change by the columns.
        replaced: places of candidates that a supplement replaces.
        outcomes: of a place, as recorded and as judged again.
    """
    places = np.array(sorted(replaced), np.int64)
    really = places[[ne(*outcomes(row)) for row in places.tolist()]] if len(places) else places
    return np.union1d(np.setdiff1d(changed, places), really)
