"""Where there is no terminal, a command says every few seconds how far it is."""

from __future__ import annotations

import io
import re
import time

from rich.console import Console

from selfinstruct.cli.bars import Bars
from selfinstruct.cli.panel import PanelState, progress_line, stopped_text
from selfinstruct.cli.watch import Watcher
from selfinstruct.common.progress import EngineLoading, Stopped, Working


def piped() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=60, force_terminal=False), file


def wait_for(file: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in file.getvalue():
        assert time.monotonic() < deadline, file.getvalue()
        time.sleep(0.01)


def test_a_line_for_the_model_that_works_and_none_for_those_that_wait() -> None:
    console, file = piped()
    with Bars(console, seconds=0.02) as bars:
        first = bars.add_task("base", total=None)
        bars.add_task("sft", total=None)
        wait_for(file, "base  0:00 so far")
        bars.update(first, completed=0, total=40)
        time.sleep(0.05)
        bars.update(first, completed=10, total=40, details="loss 1.2")
        wait_for(file, "10 of 40")
    lines = [line for line in file.getvalue().splitlines() if line]
    assert not any(line.startswith("sft") for line in lines)
    assert re.fullmatch(r"base  10 of 40  [\d,.]+ a second  about 0:00 left  loss 1.2", lines[-1])


def test_nothing_is_printed_between_the_bars_of_a_terminal() -> None:
    file = io.StringIO()
    with Bars(Console(file=file, width=60, force_terminal=True), seconds=0.01) as bars:
        bars.update(bars.add_task("base", total=None), completed=1, total=4)
        time.sleep(0.05)
    assert "a second" not in file.getvalue()


def test_a_run_says_how_far_it_is_while_nothing_comes_back() -> None:
    console, file = piped()
    with Watcher(console, "outputs/first", seconds=0.02) as watcher:
        watcher(EngineLoading("bundled", "vLLM"))
        wait_for(file, "loading bundled  0:00 so far")
        watcher(Working(1, 9, 40, returned=8, requests=32, tokens=500))
        wait_for(file, "round   1      9/40 of the target  8 of 32 requests")


def working() -> PanelState:
    state = PanelState("run", started=0.0)
    state.work(Working(0, 0, 40, returned=0, requests=16, tokens=0), now=0.0)
    state.work(Working(0, 0, 40, returned=8, requests=32, tokens=500), now=10.0)
    return state


def test_the_line_says_requests_speed_tasks_and_the_time_left() -> None:
    state = working()
    assert progress_line(state, 10.0) == (
        "round   0      0/40 of the target  8 of 32 requests  50 tokens/s  "
        "about 0:30 left of the open rounds"
    )
    state.work(Working(1, 10, 40, returned=2, requests=20, tokens=900), now=20.0)
    # 10 tasks in 20 seconds: 30 more take a minute.
    assert progress_line(state, 20.0).endswith("2 of 20 requests  45 tokens/s  about 1:00 left")


def test_a_stopped_run_says_what_is_safe() -> None:
    event = Stopped(rounds=2, tasks=21, target=40, kept=13, requests=32)
    assert stopped_text(event, working(), 10.0) == (
        "committed: 2 rounds with 21 of 40 tasks; kept of the open rounds: 13 of 32 requests known "
        "so far, and --resume asks for the other 19; about 0:30 left of the open rounds"
    )
    nothing = Stopped(rounds=0, tasks=0, target=40, kept=0, requests=0)
    assert stopped_text(nothing, PanelState("run"), 10.0) == (
        "committed: 0 rounds with 0 of 40 tasks; no round is open; time left not known yet"
    )


def test_it_is_said_once_and_with_the_command() -> None:
    console, file = piped()
    with Watcher(console, "run", "selfinstruct generate --out run --resume") as watcher:
        watcher(Stopped(rounds=1, tasks=3, target=4, kept=2, requests=5))
        watcher.stopped_early("what is committed is safe")
    text = file.getvalue()
    assert text.count("stopped early") == 1
    assert text.rstrip().endswith("Continue with:\n  selfinstruct generate --out run --resume")
