"""status.json of a run that is being generated: how far it is, every few seconds."""

from __future__ import annotations

import time
from types import TracebackType

from selfinstruct.common.pace import Pace
from selfinstruct.common.progress import Working
from selfinstruct.common.ticker import Ticker
from selfinstruct.store import Run

_SECONDS = 5.0


class Heartbeat:
    """Writes status.json, also while the main thread waits for the engine.

    Args:
        run: whose status it is; nobody else writes it meanwhile.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pace = Pace(time.monotonic())
        self._working: Working | None = None
        self._ticker = Ticker(_SECONDS, self._write)

    def beat(self, event: Working) -> None:
        """Take in how far the run is."""
        self._pace.see(event, time.monotonic())
        self._working = event

    def __enter__(self) -> Heartbeat:
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ticker.stop()

    def _write(self) -> None:
        event, pace = self._working, self._pace
        if event is None:
            self._run.write_status("running")
            return
        left = pace.left(event, time.monotonic())
        self._run.write_status(
            "running",
            tasks=event.tasks,
            target=event.target,
            rounds=event.round,
            requests_done=event.returned,
            requests_wanted=event.requests,
            tokens_a_second=None if pace.speed is None else round(pace.speed, 1),
            seconds_left=None if left is None else round(left),
        )
