"""Progress of a command: bars on a terminal, elsewhere a line every 15 seconds."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from selfinstruct.cli.panel import clock
from selfinstruct.common.ticker import Ticker

# A log that says nothing for longer looks as if the program hung.
LINE_SECONDS = 15.0


class Bars(Progress):
    """Shows how far the parts of a command are; the bars are gone when it ends.

    A bar may have `details`: a text of its own, such as a loss.

    Args:
        console: where to.
        seconds: between two lines, where there is no terminal.
    """

    def __init__(self, console: Console, seconds: float = LINE_SECONDS) -> None:
        columns = (
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[details]}"),
        )
        super().__init__(*columns, console=console, transient=True)
        self._begun: dict[TaskID, tuple[float, float]] = {}
        self._ticker = None if console.is_terminal else Ticker(seconds, self._print_lines)

    def start(self) -> None:
        super().start()
        if self._ticker is not None:
            self._ticker.start()

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        super().stop()

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        return super().add_task(description, *args, **{"details": "", **fields})

    def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        super().update(task_id, *args, **fields)
        task = self._tasks[task_id]
        if task.total and task_id not in self._begun:
            self._begun[task_id] = (time.monotonic(), task.completed)

    def _print_lines(self) -> None:
        waiting = [task for task in self.tasks if task.visible and not task.finished]
        # Without a total it is loading a model, and those after it wait.
        for task in [task for task in waiting if task.total] or waiting[:1]:
            self.console.print(self._line(task), soft_wrap=True)

    def _line(self, task: Task) -> Text:
        parts = [Text.from_markup(task.description).plain]
        if task.total:
            parts.append(f"{task.completed:,.0f} of {task.total:,.0f}")
            since, before = self._begun.get(task.id, (0.0, 0.0))
            seconds, done = time.monotonic() - since, task.completed - before
            if done > 0:
                left = (task.total - task.completed) * seconds / done
                parts += [f"{done / seconds:,.1f} a second", f"about {clock(left)} left"]
        else:
            parts.append(f"{clock(task.elapsed)} so far")
        parts += [task.fields["details"]] if task.fields["details"] else []
        return Text("  ".join(parts))
