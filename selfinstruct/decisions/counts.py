"""The counts of a run, in three senses.

- *recorded*: what the model's rounds gave, as their round.json says. The target, the yield of a
  round and `--resume` count these tasks, and neither supplements nor decisions change them.
- *judged*: the verdicts of the rules. They are the recorded ones, but a pending instruction that
  `complete` has written instances for has the verdict that it got then. The audit of the filters
  looks at these: counts by reason, `audit list --verdict`, histograms, samples, error rates. A
  teacher answers the tasks that are accepted so (`answer`); exports apply the decisions after.
- *standing*: what is in the dataset now, people's decisions applied. Where anything says "tasks"
  and nothing else, it is this number: as many as an export has different instructions.

A run without supplements and decisions stands as it was recorded. So only what they touch is
read to count; everything else is counted by round.json.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.decisions.standing import PENDING, Standing, instance_outcome
from selfinstruct.decisions.view import View


@dataclass
class Outcomes:
    """How many instructions and instances there are of each outcome."""

    instructions: Counter[str] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Counts:
    """The counts of a run, in each of the senses of this module's first lines.

    recorded_tasks: tasks that the rounds gave; the target counts these.
    candidates: instructions that were proposed.
    judged: by verdict: `accepted`, or the reason.
    standing: by `accepted`, `pending_instances`, `dropped` or reason. An output that a person
        typed counts as an accepted instance.
    awaited: instructions that a person wants and that have no instance yet.
    """

    recorded_tasks: int
    candidates: int
    judged: Outcomes
    standing: Outcomes
    awaited: int

    @property
    def tasks(self) -> int:
        """The tasks of the run, as it stands."""
        return self.standing.instructions[ACCEPTED]

    @property
    def task_yield(self) -> float | None:
        """Instructions that the rules accepted per candidate; None without candidates."""
        return self.judged.instructions[ACCEPTED] / self.candidates if self.candidates else None


def count(view: View) -> Counts:
    """Count the candidates of a run.

    Raises:
        StoreError: a file of the run is damaged.
    """
    infos = [view.run.info(number) for number in view.run.rounds()]
    judged, decided = Outcomes(), Outcomes()
    for info in infos:
        judged.instructions.update(info["instructions"])
        judged.instances.update(info["instances"])
    candidates = judged.instructions.total()
    for rows in view.judged.completed.instances.values():
        judged.instances.update(map(outcome, rows))
    awaited = 0
    decisions = view.overrides.current
    for number, touched in view.touched().items():
        for row in view.judged.round(number, touched):
            standing = view.standing(row)
            _move(judged.instructions, outcome(row.recorded), outcome(row.instruction))
            _move(decided.instructions, outcome(row.instruction), standing.outcome)
            for instance in row.instances:
                after = instance_outcome(standing, instance, decisions)
                _move(decided.instances, outcome(instance), after)
            known = {instance.id for instance in row.instances}
            decided.instances[ACCEPTED] += sum(one.id not in known for one in standing.instances)
            awaited += standing.outcome == PENDING and row.recorded.id in decisions
    return Counts(
        recorded_tasks=sum(info["tasks"] for info in infos),
        candidates=candidates,
        judged=Outcomes(+judged.instructions, +judged.instances),
        standing=Outcomes(
            judged.instructions + decided.instructions, judged.instances + decided.instances
        ),
        awaited=awaited,
    )


def waiting(view: View) -> list[Standing]:
    """Return the instructions that are kept and have no instance yet, in order.

    Raises:
        StoreError: a file of the run is damaged.
    """
    touched, standings = view.touched(), []
    for number in view.run.rounds():
        is_pending = view.run.info(number)["instructions"].get(PENDING, 0) > 0
        if is_pending or number in touched:
            rows = view.judged.round(number, None if is_pending else touched[number])
            standings += [view.standing(row) for row in rows]
    return [standing for standing in standings if standing.outcome == PENDING]


def outcome(row: InstructionCandidate | InstanceCandidate) -> str:
    """Return the outcome of a row by itself: `accepted`, or the reason."""
    return str(row.reason or row.verdict)


def _move(counts: Counter[str], before: str, after: str) -> None:
    counts[before] -= 1
    counts[after] += 1
