"""The loop: proposals, verdicts, instances, commit, repeat (the paper, §3.1).

While the instances of round r are written, round r + 1 proposes. This is safe for two reasons. The
proposals of a round show only generated tasks of rounds ≤ r − 2. An instruction enters the novelty
index when it passes, whatever happens to its instances. So the content of a run does not depend on
which rounds overlap.

What came back for an open round is journalled. A round that is not finished when the run stops
stays journalled, and a run that goes on begins with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfinstruct.common.progress import Advised, Listener, RoundCommitted, Stopped, Working
from selfinstruct.common.records import ACCEPTED, Completion, Stage
from selfinstruct.generate.asking import Asking
from selfinstruct.generate.failures import count_failures
from selfinstruct.generate.heartbeat import Heartbeat
from selfinstruct.generate.open_round import OpenRound
from selfinstruct.generate.requests import PoolTask
from selfinstruct.generate.session import Session
from selfinstruct.generate.state import CommittedState, totals_of
from selfinstruct.store import RoundData
from selfinstruct.verdicts.advice import advice_on_round
from selfinstruct.verdicts.candidates import read_proposal
from selfinstruct.verdicts.counts import counted, written_tokens
from selfinstruct.verdicts.rounds import Verdicts


def generate(session: Session, state: CommittedState, listen: Listener) -> str:
    """Generate until a stop rule holds; return which.

    Args:
        session: the run and its started engine.
        state: what the run holds so far; it grows.
        listen: called with every event.

    Raises:
        EngineError: the engine died, or failed on too many requests; all committed rounds are
            safe.
    """
    return _Loop(session, state, listen).run_to_stop()


class _Loop:
    """The rounds that are open, oldest first: at most two."""

    def __init__(self, session: Session, state: CommittedState, listen: Listener) -> None:
        self._run = session.run
        self._state = state
        self._config = session.config
        self._rulebook = session.rulebook
        self._builder = session.builder
        self._engine = session.engine
        self._listen = listen
        self._open: list[OpenRound] = []
        self._proposed: str | None = None
        self._last_usage = session.engine.usage()
        self._last_novelty = state.standards.index.seconds
        self._heartbeat = Heartbeat(session.run)
        self._asking = Asking(session.run, session.engine)

    def run_to_stop(self) -> str:
        try:
            with self._heartbeat:
                while (reason := self._state.stop_reason(self._config.stop)) is None:
                    self._advance()
        except BaseException:
            self._listen(self._stopped())
            raise
        finally:
            self._asking.close()
        return reason

    def _advance(self) -> None:
        """Send requests, wait for completions, and commit the rounds that are finished."""
        while (proposals := self._next_size()) is not None:
            self._open_round(proposals)
        for number, completion in self._asking.receive():
            self._take(number, completion)
        self._tell()
        for round in self._open:
            if not round.checked:
                self._asking.send(round.number, round.check(self._state.standards))
            if not round.checked:
                break  # rounds enter the index in order
        while self._open and self._open[0].finished:
            self._commit(self._open.pop(0))
            if self._state.stop_reason(self._config.stop) is not None:
                return

    def _next_size(self) -> int | None:
        """Return how many proposals the next round has; None where none is to be opened now."""
        propose, target = self._config.propose, self._config.stop.target
        number = self._state.rounds + len(self._open)
        limit = self._config.stop.max_rounds
        if (limit is not None and number >= limit) or len(self._open) > 1:
            return None
        if not self._open:
            return self._state.next_size(propose, target)
        if not self._config.overlap or not self._has_room():
            return None
        return self._state.size_ahead(propose, target, self._open[0].proposals)

    def _has_room(self) -> bool:
        """Whether the next round may be proposed ahead now: this decides about time alone."""
        if self._config.propose.sizes == "shrinking":
            return self._asking.in_flight < self._engine.at_once
        # Equal rounds know no target. The guess is that half of the instructions that passed
        # become tasks.
        missing = self._config.stop.target - self._state.tasks
        return self._open[0].checked and self._open[0].passed < 2 * missing

    def _open_round(self, proposals: int) -> None:
        number = self._state.rounds + len(self._open)
        count = self._asking.open(number, proposals)
        requests = self._builder.proposals(number, self._state.pool_before(number), count)
        self._open.append(OpenRound(number, self._rulebook, self._builder, requests))
        self._asking.send(number, requests)

    def _take(self, number: int, completion: Completion) -> None:
        if self._proposed is None and completion.request.stage is Stage.PROPOSE:
            parsed = read_proposal(completion, self._rulebook.version)
            self._proposed = parsed[0].text if parsed else None
        for round in self._open:
            if round.number == number:
                self._asking.send(number, round.take(completion))

    def _commit(self, round: OpenRound) -> None:
        round.stop_if_failing()
        room = self._config.stop.target - self._state.tasks
        verdicts = round.verdicts(self._state.standards, room)
        completions = round.completions()
        self._asking.close_round(round.number)
        info = self._info(round.number, verdicts, completions)
        self._run.commit(
            RoundData(round.number, completions, verdicts.instructions, verdicts.instances, info)
        )
        accepted = [c for c in verdicts.instructions if c.verdict == ACCEPTED]
        totals = totals_of(info, len(accepted), verdicts.good, len(verdicts.instructions))
        self._state.add(map(PoolTask.of, accepted), totals)
        newest = accepted[-1].text if accepted else None
        tasks, target = self._state.tasks, self._config.stop.target
        self._listen(RoundCommitted(round.number, tasks, target, info, newest))
        if round.number == 0 and (advice := advice_on_round(verdicts.instructions, self._config)):
            self._listen(Advised(str(advice)))

    def _info(
        self, number: int, verdicts: Verdicts, completions: Sequence[Completion]
    ) -> dict[str, Any]:
        usage = self._engine.usage()
        seconds = usage.seconds - self._last_usage.seconds
        idle = usage.idle_seconds - self._last_usage.idle_seconds
        self._last_usage = usage
        novelty = self._state.standards.index.seconds - self._last_novelty
        self._last_novelty = self._state.standards.index.seconds
        candidates = len(verdicts.instructions)
        failed = count_failures(completions)
        return {
            "round": number,
            "target": self._config.stop.target,
            "proposals": sum(c.request.stage is Stage.PROPOSE for c in completions),
            **counted(verdicts),
            **({"failed": failed} if failed else {}),
            "yield": verdicts.tasks / candidates if candidates else 0.0,
            "tokens": {
                "prompt": sum(c.num_prompt_tokens for c in completions),
                "generated": sum(map(written_tokens, completions)),
            },
            "seconds": round(seconds, 3),
            "engine_idle_share": round(idle / seconds, 4) if seconds > 0 else 0.0,
            "novelty_seconds": round(novelty, 4),
            "likelihood": self._state.standards.thresholds.in_force(number),
        }

    def _tell(self) -> None:
        """Tell how far the run is."""
        requests = [round.returned_of for round in self._open]
        event = Working(
            round=self._state.rounds,
            tasks=self._state.tasks,
            target=self._config.stop.target,
            returned=sum(returned for returned, _ in requests),
            requests=sum(needed for _, needed in requests),
            tokens=self._asking.tokens,
            proposed=self._proposed,
        )
        self._heartbeat.beat(event)
        self._listen(event)

    def _stopped(self) -> Stopped:
        requests = [round.returned_of for round in self._open]
        return Stopped(
            rounds=self._state.rounds,
            tasks=self._state.tasks,
            target=self._config.stop.target,
            kept=sum(round.kept for round in self._open),
            requests=sum(needed for _, needed in requests),
        )
