"""The live panel: what it says at the start, in the middle and at the end, at any width."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.logging import RichHandler

from selfinstruct.cli.console import log_to
from selfinstruct.cli.panel import PanelState, clock, render
from selfinstruct.cli.watch import Watcher
from selfinstruct.common.progress import EngineLoading, EngineReady, Event, RoundCommitted, Working
from selfinstruct.store import Run, open_run

Generate = Callable[..., tuple[Run, str]]

NEWEST = "Write a [bold]letter[/bold] to the harbour master and ask for a berth near the crane. "


def info(**changes: Any) -> dict[str, Any]:
    found = {
        "instructions": {"accepted": 11, "not_novel": 9, "no_instances": 3, "truncated": 1},
        "tasks": 11,
        "yield": 11 / 24,
        "engine_idle_share": 0.0123,
        "seconds": 40.0,
        "tokens": {"prompt": 9000, "generated": 8000},
    }
    return found | changes


def state_in_the_middle() -> PanelState:
    state = PanelState("outputs/first", started=100.0)
    state.work(Working(0, 0, 40, returned=8, requests=32, tokens=500), now=105.0)
    state.work(Working(0, 0, 40, returned=24, requests=32, tokens=2500), now=115.0)
    state.commit(RoundCommitted(0, 11, 40, info(), NEWEST))
    assert state.working is not None
    assert state.working.tasks == 11
    state.work(Working(1, 11, 40, returned=4, requests=40, tokens=3000), now=122.0)
    return state


def text_of(state: PanelState, now: float, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(state, now))
    return capture.get()


@pytest.mark.parametrize("width", [50, 80, 140])
def test_it_fits(width: int) -> None:
    for line in text_of(state_in_the_middle(), 122.0, width).splitlines():
        assert len(line) == width


@pytest.mark.parametrize("width", [80, 140])
def test_what_it_says_in_the_middle(width: int) -> None:
    text = " ".join(text_of(state_in_the_middle(), 122.0, width).split())
    assert "11 of 40" in text
    assert "4 of 40 requests" in text
    assert "147 tokens/s" in text  # 2,500 tokens in the last 17 seconds
    assert "ETA 0:58" in text  # 29 tasks at 11 in 22 seconds
    assert "yield 46% in the last round" in text
    assert "engine idle 1.2%" in text
    assert "rejected 13 of 24 instructions" in text
    assert text.index("not_novel") < text.index("no_instances") < text.index("truncated")
    assert "[bold]letter[/bold]" in text  # model text is no markup


def test_at_the_start_there_is_no_guess() -> None:
    state = PanelState("loading bundled")
    assert "loading bundled" in text_of(state, 0.0, 80)
    state.work(Working(0, 0, 40, returned=8, requests=32, tokens=500), now=5.0)
    text = text_of(state, 5.0, 80)
    assert "ETA after a round" in text
    assert "– tokens/s" in text
    assert "rejected" not in text


def test_a_first_proposal_is_shown_until_there_is_a_task() -> None:
    state = PanelState("run")
    long = "[bold]Write[/bold] a letter\nto " + "the harbour master " * 40
    state.work(Working(0, 0, 40, 1, 32, tokens=50, proposed=long), now=1.0)
    text = " ".join(text_of(state, 1.0, 140).split())
    assert "first proposal, not judged yet" in text
    assert "[bold]Write[/bold] a letter to the harbour" in text
    assert "…" in text
    state.commit(RoundCommitted(0, 11, 40, info(), NEWEST))
    text = text_of(state, 2.0, 140)
    assert "newest task" in text
    assert "first proposal" not in text


def test_time_left_of_a_round() -> None:
    state = PanelState("run")
    state.work(Working(0, 0, 40, returned=0, requests=32, tokens=0), now=0.0)
    state.work(Working(0, 0, 40, returned=8, requests=32, tokens=500), now=10.0)
    assert state.round_eta(10.0) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, "–"), (5, "0:05"), (65.4, "1:05"), (7205, "2:00:05")]
)
def test_clock(seconds: float | None, expected: str) -> None:
    assert clock(seconds) == expected


def watched(generate: Generate, out: Path, *, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=terminal, color_system=None)
    with Watcher(console, str(out), seconds=3600) as watcher:
        watcher(EngineLoading("bundled", "vLLM"))
        watcher(EngineReady({"device": "cpu", "threads": None}, 3.0))
        events: list[Event] = []

        def listen(event: Event) -> None:
            events.append(event)
            watcher(event)

        run, reason = generate(out, stop__target=12, listen=listen)
        watcher.finished(run, reason)
    assert any(isinstance(event, Working) for event in events)
    return file.getvalue()


def test_one_line_a_round_where_there_is_no_terminal(tmp_path: Path, generate: Generate) -> None:
    text = watched(generate, tmp_path / "run", terminal=False)
    assert "\x1b" not in text
    first = [line for line in text.splitlines() if line.startswith("first proposal")]
    candidates = open_run(tmp_path / "run").instructions(0)
    assert len(first) == 1  # however many completions came back
    assert first[0].split(": ", 1)[1] in {row.text for row in candidates}
    lines = [line for line in text.splitlines() if line.startswith("round ")]
    assert lines[0].startswith("round   0")
    assert "12/12 of the target" in lines[-1]
    assert "12 from" in text
    assert "next:" in text
    assert "requests" not in text


def test_a_panel_on_a_terminal_that_leaves_the_lines_and_the_summary(
    tmp_path: Path, generate: Generate
) -> None:
    text = watched(generate, tmp_path / "run", terminal=True)
    assert "\x1b[" in text  # the panel is drawn over
    assert "engine ready in 3.0 s: device cpu" in text
    assert "round   0" in text
    assert text.rstrip().endswith("messages.jsonl")


def test_warnings_stand_above_the_panel() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    handler = RichHandler(console=Console(file=io.StringIO()))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        log_to(console)
        with Watcher(console, "run") as watcher:
            watcher(Working(0, 0, 40, returned=8, requests=32, tokens=500))
            logging.getLogger("selfinstruct.generate.launch").warning("seeds 'a' and 'b' are alike")
    finally:
        root.removeHandler(handler)
    assert "are alike" in file.getvalue()


def line_of(seconds: float, share: float) -> str:
    console = Console(file=io.StringIO(), width=200)
    watcher = Watcher(console)
    watcher(RoundCommitted(3, 22, 40, info(seconds=seconds, engine_idle_share=share), NEWEST))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.9])
def test_a_round_that_was_committed_with_another_has_no_pace(seconds: float) -> None:
    """All of the little time since the other commit is idle: that says nothing about the engine."""
    line = line_of(seconds, 1.0)
    assert "round   3     22/40 of the target" in line
    assert "idle" not in line
    assert "tok/s" not in line
    state = state_in_the_middle()
    state.commit(RoundCommitted(1, 22, 40, info(seconds=seconds, engine_idle_share=1.0), NEWEST))
    assert "engine idle 1.2%" in text_of(state, 130.0, 100)


def test_a_round_of_its_own_says_its_pace() -> None:
    assert "200 tok/s  idle 12.5%" in line_of(40.0, 0.125)
