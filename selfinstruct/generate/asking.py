"""What the loop asks: requests of open rounds are sent, and what comes back is journalled.

A request whose completion is in the journal of its round is not sent: a process that died, or a
run that stopped, had it already. It comes back like any other completion.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from selfinstruct.common import ids
from selfinstruct.common.records import Completion, Request
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import received
from selfinstruct.engines.retries import Retries
from selfinstruct.store import Run
from selfinstruct.store.open_rounds import OpenJournal
from selfinstruct.verdicts.counts import written_tokens

log = logging.getLogger(__name__)


class Asking:
    """The requests of open rounds, by round.

    Args:
        run: whose rounds they are; locked by the caller.
        engine: started, with nothing in flight.
    """

    def __init__(self, run: Run, engine: Engine) -> None:
        self._run = run
        self._engine = engine
        self._journals: dict[int, OpenJournal] = {}
        self._round_of: dict[str, int] = {}
        self._known: list[tuple[int, Completion]] = []
        self._retries = Retries()
        self.tokens = 0
        """Tokens that were generated since the start of the process."""

    @property
    def in_flight(self) -> int:
        """Count the requests that the engine has."""
        return len(self._round_of)

    def open(self, number: int, proposals: int) -> int:
        """Open the journal of a round; return how many proposals the round has.

        Args:
            number: of the round.
            proposals: how many it is to have, unless its journal exists and says otherwise.
        """
        self._journals[number] = OpenJournal(self._run.path, number, proposals)
        return self._journals[number].proposals

    def send(self, number: int, requests: Sequence[Request]) -> None:
        """Send the requests of a round, without those whose completions are known."""
        kept = self._journals[number].kept
        owed = []
        for request in requests:
            completion = kept.completion_of(request) if kept.rows else None
            if completion is None:
                owed.append(request)
            else:
                self._known.append((number, completion))
        if owed:
            self._round_of |= {request.id: number for request in owed}
            self._engine.submit(owed)

    def receive(self) -> list[tuple[int, Completion]]:
        """Return (round, completion) of all that is back; wait for one if nothing is.

        What failed is asked again, and returned once that has failed too often.

        Raises:
            EngineError: the engine died.
            WriteError: the disk refuses.
        """
        if self._known:
            known, self._known = self._known, []
            return known
        back: list[tuple[int, Completion]] = []
        for completion in received(self._engine):
            if completion.id not in self._round_of:
                log.warning("ignoring a completion that no round waits for: %s", completion.id)
            elif self._retries.are_left(completion):
                self._engine.submit([completion.request])
            else:
                back.append((self._round_of.pop(completion.id), completion))
        for number, journal in self._journals.items():
            journal.add([completion for of, completion in back if of == number])
        self.tokens += sum(written_tokens(completion) for _, completion in back)
        return back

    def close_round(self, number: int) -> None:
        """Close the journal of a round that is about to be committed."""
        self._journals.pop(number).close()

    def close(self) -> None:
        """Take back what the engine has not answered; the journals stay.

        Raises:
            WriteError: the disk refuses.
        """
        self._engine.abort(sorted(self._round_of, key=ids.order))
        self._round_of.clear()
        for number in list(self._journals):
            self.close_round(number)
