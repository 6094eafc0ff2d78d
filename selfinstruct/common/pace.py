"""How fast a run goes: tokens a second now, and the time that is left."""

from __future__ import annotations

from collections import deque

from selfinstruct.common.progress import Working

# The speed is the mean over this time.
_SPEED_SECONDS = 20.0


class Pace:
    """The events of a run with their times.

    Args:
        started: when the run was started, in seconds of a monotonic clock.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self._tasks_at_start: int | None = None
        self._round: tuple[int, float] = (-1, started)
        self._points: deque[tuple[float, int]] = deque()

    def see(self, event: Working, now: float) -> None:
        """Take in an event."""
        if self._tasks_at_start is None:
            self._tasks_at_start = event.tasks
        if event.round != self._round[0]:
            self._round = (event.round, now)
        self._points.append((now, event.tokens))
        while now - self._points[0][0] > _SPEED_SECONDS and len(self._points) > 2:
            self._points.popleft()

    @property
    def speed(self) -> float | None:
        """Generated tokens per second, over the last `_SPEED_SECONDS`."""
        points = list(self._points)
        if len(points) < 2:
            return None
        (start, before), (end, after) = points[0], points[-1]
        return (after - before) / (end - start) if end > start else None

    def left(self, event: Working, now: float) -> float | None:
        """Seconds until the target at the pace so far; None before the first commit."""
        if self._tasks_at_start is None or event.tasks <= self._tasks_at_start:
            return None
        pace = (now - self.started) / (event.tasks - self._tasks_at_start)
        return max(0, event.target - event.tasks) * pace

    def left_of_round(self, event: Working, now: float) -> float | None:
        """Seconds until all known requests are done, at the pace of this round."""
        if not event.returned or not event.requests:
            return None
        elapsed = now - self._round[1]
        return elapsed * (event.requests - event.returned) / event.returned if elapsed > 0 else None
