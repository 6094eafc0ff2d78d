"""Which prompting a probe chooses, on scripted completions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.progress import Event, Probed, ProbedRow
from selfinstruct.common.records import Request, Stage
from selfinstruct.generate.probe import chosen_modes
from selfinstruct.store import Run
from tests.conftest import varied_script

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFINSTRUCT_CACHE", str(tmp_path / "cache"))


def row(stage: str, mode: str, kept: int, candidates: int = 20) -> ProbedRow:
    return ProbedRow(stage, mode, candidates, 0, 0, kept, 100)


def test_the_higher_share_is_chosen_and_of_equal_ones_the_first() -> None:
    rows = [
        row("propose", "base", 15),
        row("propose", "chat", 4),
        row("propose", "plain", 14),
        row("classify", "base", 2),
        row("classify", "chat", 20),
        row("instances", "base", 20),
        row("instances", "chat", 19),
    ]
    assert chosen_modes(rows) == {"propose": "base", "classify": "chat", "instances": "chat"}


def test_a_mode_without_candidates_is_not_chosen() -> None:
    rows = [
        row("propose", "base", 0, 0),
        row("propose", "chat", 5),
        row("classify", "base", 5),
        row("instances", "chat", 5),
    ]
    assert chosen_modes(rows)["propose"] == "chat"


def restarts_in_chat(request: Request) -> str | tuple[str, str]:
    """A model that repeats the shown list in chat, and answers at length in raw text."""
    is_chat = request.template.endswith(".chat.jinja")
    if request.stage is Stage.PROPOSE and is_chat:
        lines = [line for line in str(request.prompt).splitlines() if line[:1].isdigit()]
        first = len(request.parents) + 1
        tasks = [line.split(". ", 1)[1] for line in lines if ". " in line]
        return "\n".join(f"{first + i}. {task}" for i, task in enumerate(tasks[:4]))
    if request.stage is Stage.INSTANCES and not is_chat:
        return "Output: [your answer]"
    if request.stage is Stage.INSTANCES:
        return "Input: notes\nOutput: It is a robin."
    return varied_script(request)


def test_auto_takes_what_the_rules_keep_and_the_run_says_why(
    tmp_path: Path, generate: Generate
) -> None:
    events: list[Event] = []
    auto: dict[str, Any] = {"model__prompting": "auto", "stop__max_rounds": 1}
    run, _ = generate(tmp_path / "run", restarts_in_chat, listen=events.append, **auto)
    [probed] = [event for event in events if isinstance(event, Probed)]
    modes = run.meta["model"]["prompting"]
    assert dict(probed.modes) == modes
    assert (modes["propose"], modes["instances"]) == ("base", "chat")
    by_mode = {(r["stage"], r["mode"]): r for r in run.meta["model"]["probe"]}
    assert by_mode["propose", "chat"]["kept"] == 0
    assert by_mode["propose", "chat"]["copies"] > 0
    assert by_mode["instances", "base"]["kept"] == 0
    assert not probed.cached
    # Nothing of the probe is in the run.
    completions = [c for number in run.rounds() for c in run.completions(number)]
    assert not any(c.id.startswith(("base-", "chat-", "plain-")) for c in completions)


def test_the_next_run_knows_the_result(tmp_path: Path, generate: Generate) -> None:
    auto: dict[str, Any] = {"model__prompting": "auto", "stop__max_rounds": 1}
    first, _ = generate(tmp_path / "first", restarts_in_chat, **auto)
    events: list[Event] = []
    second, _ = generate(tmp_path / "second", restarts_in_chat, listen=events.append, **auto)
    [probed] = [event for event in events if isinstance(event, Probed)]
    assert probed.cached
    assert first.meta["model"] == second.meta["model"]


def test_a_resumed_run_and_a_given_mode_are_not_probed(tmp_path: Path, generate: Generate) -> None:
    events: list[Event] = []
    auto: dict[str, Any] = {"model__prompting": "auto"}
    generate(tmp_path / "run", restarts_in_chat, stop__max_rounds=1, **auto)
    generate(
        tmp_path / "run",
        restarts_in_chat,
        resume=True,
        listen=events.append,
        stop__max_rounds=2,
        **auto,
    )
    generate(tmp_path / "chat", model__prompting="chat", stop__max_rounds=1, listen=events.append)
    assert not any(isinstance(event, Probed) for event in events)


def test_a_system_prompt_leaves_instances_to_chat(tmp_path: Path, generate: Generate) -> None:
    auto: dict[str, Any] = {"model__prompting": "auto", "model__system": "Be brief."}
    run, _ = generate(tmp_path / "run", stop__max_rounds=1, **auto)
    assert run.meta["model"]["prompting"]["instances"] == "chat"
    tried = {(row["stage"], row["mode"]) for row in run.meta["model"]["probe"]}
    assert ("instances", "base") not in tried
