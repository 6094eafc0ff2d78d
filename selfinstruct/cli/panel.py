"""The panel of a running run: counts, speed, rejects, the newest task."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from selfinstruct.cli.console import plain
from selfinstruct.common.pace import Pace
from selfinstruct.common.progress import RoundCommitted, Stopped, Working
from selfinstruct.common.records import ACCEPTED
from selfinstruct.common.texts import amount

_REASONS_SHOWN = 5


@dataclass
class PanelState:
    """What the events of a run have said so far; tests set `now`."""

    title: str
    working: Working | None = None
    newest: str | None = None
    advice: str | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    last_yield: float | None = None
    idle_share: float | None = None
    started: float = field(default_factory=time.monotonic)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.started)

    def work(self, event: Working, now: float) -> None:
        """Record requests that came back."""
        self.pace.see(event, now)
        self.working = event

    def commit(self, event: RoundCommitted) -> None:
        """Record a committed round."""
        # A new object: the display's thread may be reading the old one.
        self.outcomes = self.outcomes + Counter(event.info["instructions"])
        self.last_yield = event.info["yield"]
        if has_own_time(event.info):
            self.idle_share = event.info["engine_idle_share"]
        self.newest = event.newest or self.newest
        if self.working is not None:
            self.working = replace(self.working, tasks=event.tasks)

    @property
    def speed(self) -> float | None:
        """Generated tokens per second."""
        return self.pace.speed

    def eta(self, now: float) -> float | None:
        """Seconds until the target at the pace so far; None before the first commit."""
        return self.pace.left(self.working, now) if self.working else None

    def round_eta(self, now: float) -> float | None:
        """Seconds until all known requests are done, at the pace of this round."""
        return self.pace.left_of_round(self.working, now) if self.working else None


def has_own_time(info: Mapping[str, Any]) -> bool:
    """Whether enough time passed since the round before to speak of speed and idle time.

    Two rounds are under way at a time, and both may end at once.
    """
    return bool(info["seconds"] > 1)


def render(state: PanelState, now: float) -> RenderableType:
    """Return the panel, as wide as the terminal."""
    if state.working is None:
        return Spinner("dots", text=Text(state.title))
    parts: list[RenderableType] = [_bars(state, now), _numbers(state, now)]
    if state.outcomes:
        parts += [Text(), _rejects(state)]
    if state.advice:
        parts += [Text(), Text(plain(state.advice), style="yellow")]
    title, text = "newest task", state.newest
    if not text:
        title, text = "first proposal, not judged yet", state.working.proposed
    if text:
        parts += [Text(), Text(title, style="dim"), Text(shortened(text), style="italic")]
    return Panel(Group(*parts), title=Text(state.title), title_align="left", border_style="cyan")


def shortened(text: str, most: int = 400) -> str:
    """Return a model's text in one line of at most so many characters."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def clock(seconds: float | None) -> str:
    """Return `1:05`, `2:00:05`, or a dash."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_line(state: PanelState, now: float) -> str:
    """Return the same in one line, for logs; empty before there is anything to say."""
    event = state.working
    if event is None:
        return f"{state.title}  {clock(now - state.started)} so far" if state.title else ""
    parts = [
        f"round {event.round:>3}  {event.tasks:>5}/{event.target} of the target",
        f"{event.returned} of {event.requests} requests",
    ]
    if state.speed is not None:
        parts.append(f"{state.speed:,.0f} tokens/s")
    return "  ".join([*parts, _left(state, now)])


def stopped_text(event: Stopped, state: PanelState, now: float) -> str:
    """Return what is safe of a run that stops early, and how long the rest takes."""
    rounds = amount(event.rounds, "round")
    kept = "no round is open"
    if event.requests:
        rest = event.requests - event.kept
        kept = (
            f"kept of the open rounds: {event.kept} of {amount(event.requests, 'request')} known "
            f"so far, and --resume asks for the other {rest}"
        )
    return (
        f"committed: {rounds} with {event.tasks} of {event.target} tasks; {kept}; "
        f"{_left(state, now)}"
    )


def _left(state: PanelState, now: float) -> str:
    """Return the time until the target, or of the open rounds where nothing more is known."""
    eta, of_round = state.eta(now), state.round_eta(now)
    if eta is not None:
        return f"about {clock(eta)} left"
    if of_round is not None:
        return f"about {clock(of_round)} left of the open rounds"
    return "time left not known yet"


def _bars(state: PanelState, now: float) -> Table:
    event = state.working
    assert event is not None
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, justify="right", style="dim")
    eta, left = state.eta(now), state.round_eta(now)
    grid.add_row(
        "target",
        ProgressBar(total=event.target, completed=event.tasks),
        f"{event.tasks} of {event.target} tasks",
        f"ETA {clock(eta)}" if eta is not None else "ETA after a round",
    )
    grid.add_row(
        f"round {event.round}",
        ProgressBar(total=max(1, event.requests), completed=event.returned, complete_style="cyan"),
        f"{event.returned} of {event.requests} requests",
        f"{clock(left)} to go" if left is not None else "",
    )
    return grid


def _numbers(state: PanelState, now: float) -> Text:
    speed = "–" if state.speed is None else f"{state.speed:,.0f}"
    shown = [f"{speed} tokens/s"]
    if state.last_yield is not None:
        shown.append(f"yield {state.last_yield:.0%} in the last round")
    if state.idle_share is not None:
        shown.append(f"engine idle {state.idle_share:.1%}")
    shown.append(f"elapsed {clock(now - state.started)}")
    return Text(" · ".join(shown))


def _rejects(state: PanelState) -> Group:
    total = sum(state.outcomes.values())
    rejects = Counter({key: n for key, n in state.outcomes.items() if key != ACCEPTED})
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, min_width=20)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True)
    most = max(rejects.values(), default=1)
    for reason, count in rejects.most_common(_REASONS_SHOWN):
        grid.add_row(reason, str(count), Text("█" * max(1, round(24 * count / most)), "yellow"))
    head = f"rejected {sum(rejects.values())} of {total} instructions"
    return Group(Text(head, style="dim"), grid)
