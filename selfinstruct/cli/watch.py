"""Show a run as it goes: one line a round, and a progress bar with ETA on a terminal."""

from __future__ import annotations

import shlex
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from selfinstruct.progress import EngineLoading, EngineReady, Event, RoundCommitted, Working
from selfinstruct.records import ACCEPTED
from selfinstruct.store import Run

_STOP_WORDS = {
    "target": "the target is reached",
    "min_yield": "the yield fell below --min-yield",
    "max_rounds": "--max-rounds is reached",
    "max_tokens": "--max-tokens is reached",
}


class Watcher:
    """Listens to a run and writes to the terminal; call it with events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = time.monotonic()
        self._tasks_at_start: int | None = None

    def __enter__(self) -> Watcher:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._progress.stop()

    def model_progress(self, what: str, share: float) -> None:
        """Show the preparation of a model."""
        if not self._console.is_terminal:
            self._console.print(f"model: {what}", highlight=False)
        self._show(f"model: {what}", share, 1.0, f"{share:.0%}")
        if share >= 1:
            self._clear()

    def __call__(self, event: Event) -> None:
        match event:
            case EngineLoading():
                self._line(f"loading {event.model} into vLLM")
                self._show(f"loading {event.model}", None, None, "")
            case EngineReady():
                self._ready(event)
            case Working():
                self._working(event)
            case RoundCommitted():
                self._committed(event)

    def finished(self, run: Run, reason: str) -> None:
        """Say why it stopped and what to do next."""
        self.stop()
        path = run.path
        infos = [run.info(number) for number in run.rounds()]
        tasks = sum(info["tasks"] for info in infos)
        candidates = sum(sum(info["instructions"].values()) for info in infos)
        self._console.print(
            f"[green]done[/]: {_STOP_WORDS.get(reason, reason)} ({reason}): {tasks} tasks from "
            f"{candidates} candidates in {len(infos)} rounds",
            highlight=False,
            soft_wrap=True,
        )
        self._console.print("next:", highlight=False)
        for command in (
            ("audit", "summary", path),
            ("audit", "list", path, "--reason", "not_novel"),
            ("export", path, "--format", "messages", "--out", path / "messages.jsonl"),
        ):
            line = shlex.join(["selfinstruct", *map(str, command)])
            self._console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    def _ready(self, event: EngineReady) -> None:
        self._clear()
        told = [f"{key} {value}" for key, value in event.settings.items() if value is not None]
        self._line(f"engine ready in {event.seconds:.1f} s: {'; '.join(told)}")
        self._started = time.monotonic()

    def _working(self, event: Working) -> None:
        if self._tasks_at_start is None:
            self._tasks_at_start = event.tasks
        detail = f"{event.tasks}/{event.target} tasks, {event.done}/{event.wanted} requests"
        share = event.tasks + event.done / max(1, event.wanted)
        self._show(f"round {event.round}", share, event.target, f"{detail}{self._eta(event)}")

    def _eta(self, event: Working) -> str:
        gained = event.tasks - (self._tasks_at_start or 0)
        if gained <= 0:
            return ""
        elapsed = time.monotonic() - self._started
        left = int((event.target - event.tasks) * elapsed / gained)
        return f", ETA {left // 60}:{left % 60:02d}"

    def _committed(self, event: RoundCommitted) -> None:
        info = event.info
        candidates = sum(info["instructions"].values())
        speed = info["tokens"]["generated"] / max(info["seconds"], 1e-9)
        rejects = [
            f"{reason} {count}"
            for reason, count in sorted(info["instructions"].items(), key=lambda item: -item[1])
            if reason != ACCEPTED
        ]
        self._line(
            f"round {event.round:>3}  {event.tasks:>5}/{event.target} tasks  "
            f"+{info['tasks']} of {candidates}  yield {info['yield']:.0%}  {speed:.0f} tok/s  "
            f"idle {info['engine_idle_share']:.1%}  {', '.join(rejects[:4])}"
        )

    def _line(self, text: str) -> None:
        # One line, however narrow: model text and counts are data, not markup.
        self._console.print(Text(text), soft_wrap=True)

    def _show(self, what: str, done: float | None, total: float | None, detail: str) -> None:
        if self._task is None:
            self._task = self._progress.add_task(what, total=total, detail=detail)
        self._progress.update(
            self._task, description=what, completed=done or 0, total=total, detail=detail
        )

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
