"""Show a running run: a live panel on a terminal, one line per round elsewhere."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from selfinstruct.cli.bars import LINE_SECONDS
from selfinstruct.cli.console import plain
from selfinstruct.cli.panel import (
    PanelState,
    clock,
    has_own_time,
    progress_line,
    render,
    shortened,
    stopped_text,
)
from selfinstruct.cli.probe import probe_table
from selfinstruct.common.progress import (
    Advised,
    Calibrated,
    Calibrating,
    Conversed,
    Conversing,
    EngineLoading,
    EngineReady,
    Event,
    ModelPreparing,
    Probed,
    Probing,
    RoundCommitted,
    Stopped,
    Working,
)
from selfinstruct.common.records import ACCEPTED
from selfinstruct.common.texts import amount
from selfinstruct.common.ticker import Ticker
from selfinstruct.decisions.counts import count
from selfinstruct.decisions.view import read_view
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run

_STOP_WORDS = {
    "target": "the target is reached",
    "min_yield": "the yield fell below --min-yield",
    "max_rounds": "--max-rounds is reached",
    "max_tokens": "--max-tokens is reached",
    "max_cost": "--max-cost is reached",
}


class Watcher:
    """Listens to a run and writes to the terminal; call it with events.

    Args:
        console: where to.
        name: of the run, for the panel's title.
        resume: the command that continues the run, for one that stops early.
        seconds: between two lines, where there is no terminal.
    """

    def __init__(
        self,
        console: Console,
        name: str = "",
        resume: str = "",
        seconds: float = LINE_SECONDS,
    ) -> None:
        self._console = console
        self._name = name
        self._resume = resume
        self._state = PanelState(name)
        self._has_told_stop = False
        # Where there is no terminal: a line every few seconds.
        self._ticker = None if console.is_terminal else Ticker(seconds, self._tick)
        self._live = Live(
            get_renderable=self._frame,
            console=console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Watcher:
        if self._ticker is None:
            self._live.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        self._live.stop()

    def model_progress(self, what: str, share: float) -> None:
        """Show the preparation of a model."""
        self._state.title = f"model: {what} ({share:.0%})" if share < 1 else ""
        if not self._console.is_terminal:
            self._line(f"model: {what}")

    def __call__(self, event: Event) -> None:
        match event:
            case Working():
                self._show_proposed(event)
                self._state.work(event, time.monotonic())
            case RoundCommitted():
                self._state.commit(event)
                self._line(_round_line(event))
            case Stopped():
                # At once: it takes a while to end the engine.
                self.stopped_early(stopped_text(event, self._state, time.monotonic()))
            case Conversing():
                self._state = PanelState(f"conversations: {event.done} of {event.owed}")
            case Conversed():
                self._line(str(event))
                self._state = PanelState(self._name)
            case Advised():
                self._state.advice = event.text
                self._line(f"warning: {event.text}", "yellow")
            case _:
                self._prepare(event)

    def _show_proposed(self, event: Working) -> None:
        """Print the first proposal once, where there is no panel that shows it."""
        before = self._state.working
        is_first = before is None or before.proposed is None
        if event.proposed and is_first and not self._console.is_terminal:
            self._line(f"first proposal, not judged yet: {shortened(event.proposed, 200)}")

    def _prepare(self, event: Event) -> None:
        """Show what happens before the first round."""
        match event:
            case ModelPreparing():
                self.model_progress(event.step, event.share)
            case EngineLoading():
                self._line(f"loading {event.model} into {event.engine}")
                self._state.title = f"loading {event.model}"
            case EngineReady():
                settings = [f"{key} {v}" for key, v in event.settings.items() if v is not None]
                self._line(f"engine ready in {event.seconds:.1f} s: {'; '.join(settings)}")
                self._state = PanelState(self._name)
            case Probing():
                back = f"{event.returned} of {event.requests}"
                self._state.title = f"trying ways of prompting: {back}"
            case Probed():
                self._console.print(probe_table(event))
                self._state = PanelState(self._name)
            case Calibrating():
                self._state.title = f"scoring seed tasks: {event.returned} of {event.requests}"
            case Calibrated():
                how = "known from before" if event.cached else f"in {event.seconds:.1f} s, once"
                self._line(f"calibrated on {event.texts} texts of seed tasks ({how})")
                self._state = PanelState(self._name)

    def stopped_early(self, kept: str) -> None:
        """Print what is kept of a run that stops early, and how to continue; only once."""
        self.stop()
        if not self._has_told_stop:
            self._has_told_stop = True
            self._console.print(Text.assemble(("stopped early", "yellow"), f"; {kept}"))
            self._console.print("Continue with:", highlight=False)
            self._console.print(f"  {self._resume}", markup=False, highlight=False, soft_wrap=True)

    def finished(self, run: Run, reason: str) -> None:
        """Print why the run stopped, its counts, and the next commands."""
        self.stop()
        self._console.print(
            Text.assemble(("done", "green"), f": {_STOP_WORDS.get(reason, reason)} ({reason})")
        )
        self._console.print(_summary(run))
        path = run.path
        self._console.print("next:", highlight=False)
        for command in (
            ("audit", "summary", path),
            ("audit", "list", path, "--reason", "not_novel"),
            ("export", path, "--format", "messages", "--out", path / "messages.jsonl"),
        ):
            line = shlex.join(["selfinstruct", *map(str, command)])
            self._console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    def _tick(self) -> None:
        if text := progress_line(self._state, time.monotonic()):
            self._line(text)

    def _frame(self) -> RenderableType:
        return render(self._state, time.monotonic())

    def _line(self, text: str, style: str = "") -> None:
        # Counts and names are data, not markup. A log has one line for each, however long.
        self._console.print(Text(plain(text), style), soft_wrap=not self._console.is_terminal)


def _round_line(event: RoundCommitted) -> str:
    info = event.info
    candidates = sum(info["instructions"].values())
    pace = ""
    if has_own_time(info):
        speed = info["tokens"]["generated"] / info["seconds"]
        pace = f"{speed:.0f} tok/s  idle {info['engine_idle_share']:.1%}  "
    rejects = [
        f"{reason} {count}"
        for reason, count in sorted(info["instructions"].items(), key=lambda item: -item[1])
        if reason != ACCEPTED
    ]
    return (
        f"round {event.round:>3}  {event.tasks:>5}/{event.target} of the target  "
        f"+{info['tasks']} of {candidates}  yield {info['yield']:.0%}  {pace}"
        f"{', '.join(rejects[:4])}"
    )


def _summary(run: Run) -> Table:
    """Return what a whole run holds, as it stands."""
    infos = [run.info(number) for number in run.rounds()]
    counts = count(read_view(run))
    of_rounds = (
        "" if counts.tasks == counts.recorded_tasks else f" ({counts.recorded_tasks} of the rounds)"
    )
    tokens = sum(info["tokens"]["generated"] for info in infos)
    seconds = sum(info["seconds"] for info in infos)
    table = Table(show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("run", _path(run.path))
    table.add_row(
        "tasks",
        f"{counts.tasks}{of_rounds} from {amount(counts.candidates, 'candidate')} in "
        f"{amount(len(infos), 'round')}",
    )
    share = counts.task_yield
    table.add_row("yield", "–" if share is None else f"{share:.0%}")
    table.add_row("tokens", f"{tokens:,} generated, {tokens / max(seconds, 1e-9):,.0f} a second")
    read = sum(info["tokens"]["prompt"] for info in infos)
    cost = stored_config(run).stop.cost(read, tokens)
    if cost is not None:
        table.add_row("cost", f"{cost:,.2f} for {read + tokens:,} tokens")
    failed = sum(sum(info.get("failed", {}).values()) for info in infos)
    if failed:
        table.add_row("failed", f"{failed} requests, each time that they were asked")
    table.add_row("time", f"{clock(seconds)} generating")
    novelty = sum(info.get("novelty_seconds", 0.0) for info in infos) / max(seconds, 1e-9)
    idle = sum(info["engine_idle_share"] * info["seconds"] for info in infos) / max(seconds, 1e-9)
    table.add_row("of it", f"engine idle {idle:.1%}, novelty filter {novelty:.2%}")
    return table


def _path(path: Path) -> Text:
    return Text(str(path), overflow="fold")
