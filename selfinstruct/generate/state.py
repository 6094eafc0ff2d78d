"""The committed part of a run: the pool, the novelty index, the totals, and when to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, overload

from selfinstruct.common.records import ACCEPTED, Kind
from selfinstruct.config.propose import ProposeConfig
from selfinstruct.config.schema import RunConfig, StopConfig
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.generate.requests import PoolTask
from selfinstruct.generate.schedule import LAST_ROUNDS, size_after, size_ahead
from selfinstruct.store import Run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.verdicts.pool import Standards, first_standards, see_round
from selfinstruct.verdicts.rounds import is_good


@dataclass(frozen=True, slots=True)
class RoundTotals:
    """The counts of a round that decide when to stop.

    `good` counts the tasks and the instructions that were surplus to the target: a round that
    reaches its target early does not mean that the yield runs dry. `failed` counts the requests
    that the engine failed on for good. `tokens` were generated, `prompt_tokens` read. `proposals`
    is 0 for imports, and in older runs, where every round has as many.
    """

    tasks: int
    good: int
    candidates: int
    tokens: int
    failed: int = 0
    prompt_tokens: int = 0
    proposals: int = 0


def totals_of(info: Mapping[str, Any], tasks: int, good: int, candidates: int) -> RoundTotals:
    """Return the counts of a round; those of tokens and failures are in its `round.json`."""
    failed = sum(info.get("failed", {}).values())
    tokens = info["tokens"]
    return RoundTotals(
        tasks,
        good,
        candidates,
        tokens["generated"],
        failed,
        tokens.get("prompt", 0),
        info.get("proposals", 0),
    )


@dataclass
class CommittedState:
    """What the run's folder holds; it grows by one round at a time.

    `standards` are ahead of the commits by the round that is being written (see loop.py).
    `full_round` is how many proposals a round has that did not shrink towards the target; 0 where
    none does.
    """

    standards: Standards
    full_round: int = 0
    pool: list[PoolTask] = field(default_factory=list)
    totals: list[RoundTotals] = field(default_factory=list)
    tasks: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    failed: int = 0
    # How many tasks the pool had after each round.
    _pool_ends: list[int] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return len(self.totals)

    def add(self, tasks: Iterable[PoolTask], totals: RoundTotals) -> None:
        """Take in a committed round: its tasks, and its counts."""
        self.pool += tasks
        self._pool_ends.append(len(self.pool))
        self.totals.append(totals)
        self.tasks += totals.tasks
        self.tokens += totals.tokens
        self.prompt_tokens += totals.prompt_tokens
        self.failed += totals.failed

    def cost(self, stop: StopConfig) -> float | None:
        """Return what the committed rounds cost; None without prices."""
        return stop.cost(self.prompt_tokens, self.tokens)

    def pool_before(self, round: int) -> Sequence[PoolTask]:
        """Return the generated tasks that a round's proposals may show: of rounds ≤ round − 2.

        This lets the next round propose while the instances of a round are written, and a run
        that was killed and resumed draws the same tasks.
        """
        known = min(round - 1, len(self._pool_ends))
        return Beginning(self.pool, self._pool_ends[known - 1] if known > 0 else 0)

    def next_size(self, propose: ProposeConfig, target: int) -> int:
        """Return how many proposals the next round has, with all before it committed.

        The same as where it would have been proposed ahead, if it would have been.
        """
        if propose.sizes == "equal":
            return propose.most
        if self.totals:
            last = self.totals[-1]
            before = self._known_of(self.rounds - 1, self.tasks - last.tasks)
            ahead = size_ahead(before, last.proposals, target, propose.most)
            if ahead is not None:
                return ahead
        return size_after(self._known_of(self.rounds, self.tasks), target, propose.most)

    def size_ahead(self, propose: ProposeConfig, target: int, open: int) -> int | None:
        """Return how many proposals the round after the open one has; None: it has to wait.

        Args:
            propose: says whether rounds shrink.
            target: tasks to reach.
            open: proposals of the open round.
        """
        if propose.sizes == "equal":
            return propose.most
        return size_ahead(self._known_of(self.rounds, self.tasks), open, target, propose.most)

    def _known_of(self, rounds: int, tasks: int) -> list[RoundTotals]:
        """Return counts that say of the first rounds what they say: their tasks, and their yield.

        Args:
            rounds: how many rounds.
            tasks: that they brought.
        """
        last: list[RoundTotals] = []
        for total in islice(reversed(self.totals), self.rounds - rounds, None):
            if total.proposals:
                last.insert(0, total)
            if len(last) == LAST_ROUNDS:
                break
        earlier = tasks - sum(total.tasks for total in last)
        return [RoundTotals(earlier, 0, 0, 0), *last]

    def stop_reason(self, stop: StopConfig) -> str | None:
        """Return why the run ends here (`target`, `max_rounds`, …), or None."""
        if self.tasks >= stop.target:
            return "target"
        if stop.max_rounds is not None and self.rounds >= stop.max_rounds:
            return "max_rounds"
        if stop.max_tokens is not None and self.tokens >= stop.max_tokens:
            return "max_tokens"
        cost = self.cost(stop)
        if stop.max_cost is not None and cost is not None and cost >= stop.max_cost:
            return "max_cost"
        last = self._last_rounds(stop.yield_rounds)
        if last:
            candidates = sum(total.candidates for total in last)
            if sum(total.good for total in last) < stop.min_yield * max(1, candidates):
                return "min_yield"
        return None

    def _last_rounds(self, count: int) -> list[RoundTotals]:
        """Return the rounds that show the present yield; none if there are too few.

        They have as many proposals as `count` full rounds: a few small ones show little.
        """
        last: list[RoundTotals] = []
        proposals = 0
        for total in reversed(self.totals):
            last.append(total)
            proposals += total.proposals
            if len(last) >= count and proposals >= count * self.full_round:
                return last
        return []


class Beginning(Sequence[PoolTask]):
    """The first tasks of a pool that grows, without a copy of them.

    `random.sample` draws from it what it would draw from a list of them.
    """

    def __init__(self, tasks: Sequence[PoolTask], count: int) -> None:
        self._tasks = tasks
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> PoolTask: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[PoolTask]: ...

    def __getitem__(self, place: int | slice) -> PoolTask | Sequence[PoolTask]:
        if isinstance(place, slice):
            return [self._tasks[number] for number in range(*place.indices(self._count))]
        return self._tasks[range(self._count)[place]]


def committed_state(run: Run, config: RunConfig, pool: Sequence[tuple[str, str]]) -> CommittedState:
    """Read the committed rounds back into memory; the index starts with `pool` (id, text)."""
    shrinks = config.propose.sizes == "shrinking"
    state = CommittedState(
        first_standards(pool, config, calibration_starts(run)),
        full_round=config.propose.most if shrinks else 0,
    )
    for number in run.rounds():
        candidates = run.instructions(number)
        # Once their thresholds are settled, instances add nothing.
        thresholds = state.standards.thresholds
        settled = all(thresholds.is_settled(kind, number) for kind in (Kind.OUTPUT, Kind.LABEL))
        state.standards.take_in(number, candidates, [] if settled else run.instances(number))
        accepted = [c for c in candidates if c.verdict == ACCEPTED]
        good = sum(is_good(candidate) for candidate in candidates)
        totals = totals_of(run.info(number), len(accepted), good, len(candidates))
        state.add(map(PoolTask.of, accepted), totals)
    return state


def committed_thresholds(run: Run, config: RunConfig) -> LikelihoodThresholds:
    """Read back the likelihood thresholds alone, for `complete`."""
    thresholds = LikelihoodThresholds(config.likelihood, calibration_starts(run))
    for number in run.rounds():
        see_round(thresholds, number, run.instructions(number), run.instances(number))
    return thresholds
