"""What a model sees when it criticises and rewrites: as a conversation, and as raw text."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from selfinstruct.common.draws import derive_seed
from selfinstruct.common.records import ACCEPTED, Request, Stage
from selfinstruct.dataset.rows import export_rows
from selfinstruct.prompts.revising import RevisePrompts, load_revise_prompts
from selfinstruct.store import Run
from selfinstruct.store.commits import REVISED
from tests.conftest import Generate
from tests.generate.revising import TWO, outcomes, revise_run, rows_of, saying
from tests.generate.test_revise import BETTER, CRITIQUE


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    return generate(tmp_path / "run", stop__target=6, **values)[0]


def test_what_is_asked(run: Run) -> None:
    """After a worked example: the answer and the principle, then the critique of it."""
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return CRITIQUE if request.stage is Stage.CRITIQUE else BETTER

    model = {"model": {"name": str(run.path.parent / "model"), "prompting": "chat"}}
    revise_run(run, script, values=model, principles=TWO)
    [task, *_] = export_rows(run)
    row = rows_of(run)[1]
    principle = next(one for one in TWO if one.name == row.principle)
    critique = next(one for one in asked if one.id == f"{row.id}-critique")
    rewrite = next(one for one in asked if one.id == f"{row.id}-revise")
    user = f"{task.instruction}\n\n{task.input}" if task.input else task.instruction
    example, shown = load_revise_prompts(), f"<user>Question: {user}\n\n"
    draft, criticised, rewritten, *_ = example.shown("chat")
    assert critique.prompt.endswith(
        f"{criticised}{shown}Answer: {task.output}\n\nPrinciple: {principle.principle}\n\n"
        f"{principle.critique} Reply in one to three sentences, and quote the words that you mean."
        "<assistant>"
    )
    assert (
        f"{rewritten}{shown}First answer: {task.output}\n\nCriticism: {CRITIQUE}\n\n"
        f"{principle.revision} Write only the new answer"
    ) in rewrite.prompt
    assert all(draft in one.prompt for one in (critique, rewrite))
    assert {one.seed for one in asked} == {derive_seed(0, one.id) for one in asked}


def test_a_run_goes_on_with_the_prompts_that_it_began_with(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"model": {"name": str(run.path.parent / "model"), "prompting": "chat"}}
    shipped = dict(load_revise_prompts().files)
    first = shipped | {
        "revise.chat.jinja": '{{ turn("user") }}{{ task }}\n{{ draft }}\n{{ critique }}\nAnew!'
    }
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return CRITIQUE if request.stage is Stage.CRITIQUE else BETTER

    module = importlib.import_module("selfinstruct.generate.revise")
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_revise_prompts", lambda: RevisePrompts(first))
        done = revise_run(run, script, values=model, principles=TWO)
    before = len(asked)
    assert before
    assert revise_run(run, script, values=model, principles=TWO).owed == 0
    assert len(asked) == before
    assert REVISED.info(run, 0)["settings"]["shown"] == []  # its template has no example
    # Others of the same run, too: here by one principle more.
    revise_run(run, script, values=model, principles=[*TWO, replace(TWO[0], name="third")])
    assert any(one.prompt.endswith("Anew!<assistant>") for one in asked[before:])
    assert sum(done.outcomes.values()) == 6


def test_as_raw_text(run: Run) -> None:
    """The run's own model is prompted as for the run: with raw text, after a worked example."""
    prompts: list[str] = []

    def script(request: Request) -> str:
        prompts.append(request.prompt)
        assert "\n###" in request.sampling.stop
        return CRITIQUE if request.stage is Stage.CRITIQUE else BETTER

    assert revise_run(run, script).accepted == 6
    assert all(prompt.endswith(("\nCriticism:", "\nNew answer:")) for prompt in prompts)
    assert all("poison an animal" in prompt for prompt in prompts)
    example = "Talk to your neighbour first, as many owners do not know how loud their dog is"
    whole = prompts[0][prompts[0].index(example) :].partition("\n")[0]
    revise_run(run, saying(CRITIQUE, whole), revise={"rounds": 1, "may_decline": False})
    assert outcomes(rows_of(run))[12:14] == [ACCEPTED, "copies_critique"]


@pytest.mark.parametrize("mode", ["base", "chat"])
def test_a_part_of_the_example_is_a_copy(run: Run, mode: str) -> None:
    """Small models change a word of it, and keep the rest."""
    copied = (
        "Tell your neighbour first, as many owners do not know how loud their dog is while they "
        "are out. Keep a diary."
    )
    model = {"model": {"name": str(run.path.parent / "model"), "prompting": mode}}
    revise_run(run, saying(CRITIQUE, copied), values=model, principles=TWO)
    assert {row.reason for row in rows_of(run) if row.number} == {"copies_critique"}
    parts = load_revise_prompts().shown(mode)[3:]
    whole = " ".join(load_revise_prompts().shown(mode)[:3])
    assert parts
    assert all(part in whole for part in parts)
