"""The loop: proposals, verdicts, instances, commit, repeat (the paper, §3.1).

While the instances of round r are written, round r + 1 proposes. This is safe for two reasons. The
proposals of a round show only generated tasks of rounds ≤ r − 2. An instruction enters the novelty
index when it passes, whatever happens to its instances. So the content of a run does not depend on
which rounds overlap, and a round that was proposed ahead can be dropped when it is not needed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from selfinstruct.common.progress import Advised, Listener, RoundCommitted, Working
from selfinstruct.common.records import ACCEPTED, Completion
from selfinstruct.generate.asking import Asking
from selfinstruct.generate.failures import count_failures
from selfinstruct.generate.open_round import OpenRound
from selfinstruct.generate.requests import PoolTask
from selfinstruct.generate.session import Session
from selfinstruct.generate.state import CommittedState, totals_of
from selfinstruct.store import RoundData
from selfinstruct.verdicts.advice import advice_on_round
from selfinstruct.verdicts.counts import counted, written_tokens
from selfinstruct.verdicts.rounds import Verdicts

_HEARTBEAT_SECONDS = 5.0


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
        self._last_usage = session.engine.usage()
        self._last_novelty = state.standards.index.seconds
        self._last_heartbeat = 0.0
        self._asking = Asking(session.run, session.engine)

    def run_to_stop(self) -> str:
        try:
            while (reason := self._state.stop_reason(self._config.stop)) is None:
                self._advance()
        finally:
            self._asking.close()
        return reason

    def _advance(self) -> None:
        """Send requests, wait for completions, and commit the rounds that are finished."""
        while self._may_open():
            self._open_round()
        for number, completion in self._asking.receive():
            self._take(number, completion)
        self._heartbeat()
        for round in self._open:
            if not round.ready_to_check:
                continue
            round.stop_if_failing()
            # Rounds enter the index in order: the one before was checked before this one
            # was opened.
            self._asking.send(round.number, round.check(self._state.standards))
        while self._open and self._open[0].finished:
            self._commit(self._open.pop(0))
            if self._state.stop_reason(self._config.stop) is not None:
                return

    def _may_open(self) -> bool:
        number = self._state.rounds + len(self._open)
        limit = self._config.stop.max_rounds
        if limit is not None and number >= limit:
            return False
        if not self._open:
            return True
        ahead = len(self._open) == 1 and self._open[0].checked
        return self._config.overlap and ahead and not self._nearly_done()

    def _nearly_done(self) -> bool:
        """Whether the open round is likely to reach the target: then none is proposed ahead.

        The guess is that half of the instructions that passed become tasks. A wrong guess costs
        idle time, and never changes what is generated.
        """
        missing = self._config.stop.target - self._state.tasks
        return self._open[0].passed >= 2 * missing

    def _open_round(self) -> None:
        number = self._state.rounds + len(self._open)
        self._asking.open(number, self._config.propose.per_round)
        requests = self._builder.proposals(number, self._state.pool_before(number))
        self._open.append(OpenRound(number, self._rulebook, self._builder, requests))
        self._asking.send(number, requests)

    def _take(self, number: int, completion: Completion) -> None:
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
        self._state.pool.append([PoolTask(c.id, c.text) for c in accepted])
        candidates = len(verdicts.instructions)
        self._state.totals.append(totals_of(info, len(accepted), verdicts.good, candidates))
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

    def _heartbeat(self) -> None:
        requests = [round.returned_of for round in self._open]
        tasks, target = self._state.tasks, self._config.stop.target
        self._listen(
            Working(
                round=self._state.rounds,
                tasks=tasks,
                target=target,
                returned=sum(returned for returned, _ in requests),
                requests=sum(needed for _, needed in requests),
                tokens=self._asking.tokens,
            )
        )
        now = time.monotonic()
        if now - self._last_heartbeat > _HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._run.write_status("running", tasks=tasks, target=target, rounds=self._state.rounds)
