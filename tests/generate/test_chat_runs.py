"""Whole runs with a real chat template: one without a system role, one of a model that thinks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.records import Completion, LocalModel, Prompt, Request, Stage
from selfinstruct.engines.rendering import render
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.engines.thinking import opens_thinking
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import varied_script
from tests.prompts.chat_kinds import KINDS, tokenizer

Generate = Callable[..., tuple[Run, str]]
MODEL = LocalModel("m", Path("m"), "digest", {"model_type": "llama"})
THOUGHT = "They want something new. 9. Not this one.\n"


def engine_of(kind: str) -> dict[str, Any]:
    """Return the options of a scripted engine that renders with a chat template of a kind."""
    own = tokenizer(KINDS[kind].template)

    class Templated(ScriptedEngine):
        def render(self, prompt: Prompt) -> str:
            return render(prompt, MODEL, own)

    return {"kind": Templated}


def thinks(request: Request) -> str | tuple[str, str]:
    """Answer as always, after a thought where the prompt leaves the thinking part open."""
    answer = varied_script(request)
    if not opens_thinking(str(request.prompt)):
        return answer
    text, finish = answer if isinstance(answer, tuple) else (answer, "stop")
    if request.stage is Stage.PROPOSE and text:
        text = f"9.{text}"  # the turn is not opened: the list starts with its number
    return f"{THOUGHT}</think>{text}", finish


def completions(run: Run, stage: Stage) -> list[Completion]:
    return [c for n in run.rounds() for c in run.completions(n) if c.request.stage is stage]


def test_a_template_without_a_system_role(tmp_path: Path, generate: Generate) -> None:
    run, reason = generate(
        tmp_path / "run",
        engine=engine_of("no system role, turns alternate, as Gemma"),
        model__prompting="chat",
        instances__direct=False,
        model__system="Answer like a pirate.",
    )
    assert reason == "target"
    assert replay(run) == []
    for completion in [*completions(run, Stage.PROPOSE), *completions(run, Stage.INSTANCES)]:
        assert str(completion.prompt).startswith("<s><turn>user\nAnswer like a pirate.\n\n")
        assert str(completion.prompt).count("<s>") == 1
    assert all(str(c.prompt).endswith("\n9.") for c in completions(run, Stage.PROPOSE))


@pytest.mark.parametrize("thinking", [True, False])
def test_a_model_that_always_thinks(tmp_path: Path, generate: Generate, thinking: bool) -> None:
    """Asked to think, it gets a turn of its own; otherwise the thinking part is closed."""
    run, reason = generate(
        tmp_path / "run",
        thinks,
        engine=engine_of("thinking always"),
        model__prompting="chat",
        instances__direct=False,
        model__thinking=thinking,
    )
    assert reason == "target"
    assert replay(run) == []
    proposals = completions(run, Stage.PROPOSE)
    if thinking:
        assert all(str(c.prompt).endswith("assistant\n<think>\n") for c in proposals)
        assert {c.thinking for c in proposals} == {THOUGHT.strip()}
    else:
        assert all("assistant\n<think>\n\n</think>\n\n1. " in str(c.prompt) for c in proposals)
        assert {c.thinking for c in proposals} == {None}
    for number in run.rounds():
        assert not any("Not this one" in row.raw_text for row in run.instructions(number))
        assert not any("They want" in row.output for row in run.instances(number))


def test_thinking_is_switched_off_by_a_variable(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(
        tmp_path / "run",
        engine=engine_of("thinking by a variable, as Qwen 3"),
        model__prompting="chat",
        instances__direct=False,
    )
    prompts = [str(c.prompt) for n in run.rounds() for c in run.completions(n)]
    assert all("<think>\n\n</think>\n\n" in prompt for prompt in prompts)
    assert replay(run) == []
