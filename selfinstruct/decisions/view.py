"""A run as it stands: rounds, supplements and people's decisions together, read once.

This is the one definition. Exports, training, preferences, `complete`, the audit, the web pages
and every count go through it. A count of a run is one of three:

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
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.decisions.judged import Judged, JudgedRun, by_round, read_judged
from selfinstruct.decisions.overrides import Overrides, read_overrides
from selfinstruct.decisions.standing import PENDING, Standing, instance_outcome, stand
from selfinstruct.store import Run


@dataclass(frozen=True)
class View:
    """A run as it stands."""

    judged: JudgedRun
    overrides: Overrides

    @property
    def run(self) -> Run:
        return self.judged.run

    def standings(self) -> Iterator[Standing]:
        """Yield how each instruction stands, in order; a round is read when its turn comes.

        Raises:
            StoreError: a file of the run is damaged.
        """
        return map(self.standing, self.judged.rounds())

    def standing(self, judged: Judged) -> Standing:
        """Return how an instruction stands."""
        standing = stand(judged.instruction, judged.instances, self.overrides.current)
        label = self.judged.is_classification(judged.instruction)
        if label is standing.instruction.is_classification:
            return standing
        return replace(standing, instruction=replace(standing.instruction, is_classification=label))

    def touched(self) -> dict[int, set[str]]:
        """Return the instructions that supplements or decisions are about, by round."""
        named = {*self.judged.completed.instructions, *self.overrides.current}
        return by_round(self.run, named)


def read_view(run: Run) -> View:
    """Read what was completed of a run and decided about it; rounds are read as they are needed.

    Raises:
        StoreError: a supplement is not what was committed, or overrides.jsonl cannot be read.
    """
    return View(read_judged(run), read_overrides(run))


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
