"""Styles of proposal in the loop: requests, verdicts, resume, replay, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.candidate import show_candidate
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import (
    ACCEPTED,
    Completion,
    Conversation,
    Form,
    InstructionCandidate,
    Request,
    Stage,
)
from selfinstruct.config.schema import semantic_values
from selfinstruct.config.styles import OPERATIONS, PARAPHRASE, STYLES
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate import proposals
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, what_if
from tests.conftest import SUBJECTS, VERBS, draw, varied_script
from tests.generate.test_loop import contents, dataset

Generate = Callable[..., tuple[Run, str]]

NEW = [name for name in STYLES if name != "self-instruct"]


def new_task(request: Request) -> str:
    words = [f"w{draw(request, f'word{place}', 300)}" for place in range(5)]
    verb, subject = VERBS[draw(request, "verb", 8)], SUBJECTS[draw(request, "subject", 16)]
    return f"{verb} the {subject} {' '.join(words)}."


def script(request: Request) -> str | tuple[str, str]:
    """Tasks in the form of their style; some unusable, some cut off."""
    if request.stage is not Stage.PROPOSE:
        return varied_script(request)
    kind = draw(request, "kind", 8)
    form, task = request.reading.form, new_task(request)
    if kind == 0:
        return ""
    if form is Form.FIELDS:
        material = "none" if kind < 4 else f"some {SUBJECTS[kind]} notes"
        limits = "none" if kind % 2 else "The output is one sentence."
        text = f" {task}\nInput: {material}\nConstraints: {limits}"
        return (text, "length") if kind == 7 else text
    if form is Form.TASK and kind == 1:
        return str(request.prompt).rsplit("Task: ", 1)[-1].split("\n")[0]  # its parent, unchanged
    if form is Form.TASK and kind == 2:
        return f"The rewritten task is this: {task}"
    return f" {task}"


@pytest.fixture
def write(generate: Generate) -> Generate:
    def run(out: Path, style: str, **values: Any) -> tuple[Run, str]:
        values.setdefault("model__prompting", "auto" if STYLES[style].chat_only else "base")
        if not values.get("resume"):
            values = {
                "propose__style": style,
                "stop__target": 12,
                "stop__min_yield": 0.0,
                **({"propose__paraphrases": 1} if style == "unnatural" else {}),
                **values,
            }
            for name, value in STYLES[style].recommended["propose"].items():
                if name != "sampling":
                    values.setdefault(f"propose__{name}", value)
        return generate(out, script, **values)

    return run


def rows_of(run: Run) -> list[InstructionCandidate]:
    return [row for number in run.rounds() for row in run.instructions(number)]


def proposals_of(run: Run) -> list[Completion]:
    return [
        one
        for number in run.rounds()
        for one in run.completions(number)
        if one.request.stage is Stage.PROPOSE
    ]


def test_every_style_has_what_draws_its_proposals() -> None:
    assert list(proposals._DRAWS) == list(STYLES)


@pytest.mark.parametrize("style", NEW)
def test_a_run_reaches_its_target_and_replays(tmp_path: Path, write: Generate, style: str) -> None:
    run, reason = write(tmp_path / "run", style)
    assert reason == "target"
    assert sum(row.verdict == ACCEPTED for row in rows_of(run)) == 12
    assert replay(run) == []
    assert stored_config(run).propose.style == style
    by_id = {one.id: one for one in proposals_of(run)}
    for row in rows_of(run):
        text = by_id[row.completion_id].text
        assert text[row.char_start : row.char_end] == row.raw_text
        if row.input_char_start is not None:
            assert text[row.input_char_start : row.input_char_end] == row.input
        if row.constraints_char_start is not None:
            assert text[row.constraints_char_start : row.constraints_char_end] == row.constraints


@pytest.mark.parametrize("style", NEW)
@pytest.mark.parametrize("death", [3, 17, 31])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, write: Generate, style: str, death: int
) -> None:
    whole, _ = write(tmp_path / "whole", style, stop__max_rounds=4, stop__target=40)
    out = tmp_path / "killed"
    with pytest.raises(EngineError):
        write(out, style, stop__max_rounds=4, stop__target=40, engine={"die_after": death})
    again = {"stop__max_rounds": 4, "stop__target": 40, "engine": {"shuffle": 7}}
    resumed, _ = write(out, style, resume=True, **again)
    assert contents(resumed) == contents(whole)
    assert dataset(resumed) == dataset(whole)
    assert replay(resumed) == []


def test_what_if_judges_rewritings_as_the_run_did(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", "evolve", stop__target=30)
    assert what_if(run, Thresholds()).changes == []


def test_unnatural_tasks_come_with_input_and_constraints(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", "unnatural", propose__paraphrases=0)
    prompt = str(proposals_of(run)[0].request.prompt)
    assert [prompt.count(f"\n{word}: ") for word in ("Instruction", "Input", "Constraints")] == [
        3,
        3,
        3,
    ]
    assert prompt.endswith("Example 4\nInstruction:")
    tasks = [row for row in rows_of(run) if row.verdict == ACCEPTED]
    assert {bool(row.input) for row in tasks} == {True, False}
    instances = {row.instruction_id: row for n in run.rounds() for row in run.instances(n)}
    for task in tasks:
        assert instances[task.id].input == task.input
        assert task.text.endswith(task.constraints or ".")
        assert (task.constraints or "") in ("", "The output is one sentence.")
    asked = [
        one
        for number in run.rounds()
        for one in run.completions(number)
        if one.request.stage is Stage.INSTANCES
    ]
    assert {one.request.template for one in asked} == {"answer.base.jinja"}
    assert {one.request.reading.form for one in asked} == {Form.WHOLE}


def test_paraphrases_follow_two_rounds_later_once_for_each_task(
    tmp_path: Path, write: Generate
) -> None:
    run, _ = write(
        tmp_path / "run",
        "unnatural",
        propose__paraphrases=2,
        stop__target=99,
        stop__max_rounds=5,
        propose__sizes="equal",
    )
    tasks = {row.id: row for row in rows_of(run) if row.verdict == ACCEPTED}
    asked = [one for one in proposals_of(run) if one.request.reading.operation == PARAPHRASE]
    parents = Counter(one.request.parents[0] for one in asked)
    expected = [
        task.id for task in tasks.values() if task.round <= 2 and task.operation != PARAPHRASE
    ]
    assert parents == Counter(dict.fromkeys(expected, 2))
    for one in asked:
        parent = tasks[one.request.parents[0]]
        assert one.request.about.startswith(f"r{parent.round + 2:05d}-p")
        assert one.request.reading.given == (parent.input or "")
    made = [row for row in tasks.values() if row.operation == PARAPHRASE]
    assert made
    for row in made:
        assert (row.input or "") == (tasks[row.parents[0]].input or "")
    assert replay(run) == []


def test_evolve_records_parent_and_operation(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", "evolve", stop__target=60, stop__max_rounds=12)
    rows = rows_of(run)
    assert {row.operation for row in rows} == {one.name for one in OPERATIONS}
    assert all(len(row.parents) == 1 for row in rows)
    accepted = {row.id: row.round for row in rows if row.verdict == ACCEPTED}
    generated = [row for row in rows if row.parents[0] in accepted]
    assert generated
    assert all(accepted[row.parents[0]] <= row.round - 2 for row in generated)
    reasons = Counter(row.reason for row in rows)
    assert reasons["unchanged"] > 0
    assert reasons["prompt_echo"] > 0
    detail = show_candidate(run, next(iter(accepted)))
    assert detail.row["operation"]
    assert len(detail.parents) == 1


def test_a_rewriting_may_hold_its_parent_and_another_task_may_not(
    tmp_path: Path, generate: Generate
) -> None:
    def longer(request: Request) -> str | tuple[str, str]:
        if request.stage is not Stage.PROPOSE:
            return varied_script(request)
        parent = str(request.prompt).rsplit("Task: ", 1)[-1].split("\n")[0]
        extra = " ".join(f"w{draw(request, f'x{place}', 500)}" for place in range(14))
        return f" {parent} Use these words in the answer: {extra}."

    values = {"propose__style": "evolve", "stop__target": 4, "stop__min_yield": 0.0}
    run, _ = generate(tmp_path / "run", longer, **values)
    assert {row.reason for row in rows_of(run)}.isdisjoint({"copies_prompt", "holds_known"})
    assert any(row.verdict == ACCEPTED for row in rows_of(run))


def test_magpie_shows_only_where_the_users_turn_begins(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", "magpie", model__system="You are terse.")
    first = proposals_of(run)[0]
    assert first.prompt == "<system>You are terse.<user>"
    assert isinstance(first.request.prompt, Conversation)
    assert first.request.prompt.as_user
    assert first.request.parents == ()
    assert run.meta["model"]["prompting"] == dict.fromkeys(
        ("propose", "classify", "instances"), "chat"
    )
    asked = [c for n in run.rounds() for c in run.completions(n)]
    answers = [one for one in asked if one.request.stage is Stage.INSTANCES]
    assert {one.request.template for one in answers} == {"direct.chat.jinja"}


def test_magpie_is_steered_by_a_system_prompt(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", "magpie", propose__domain="bee keeping", stop__target=2)
    prompt = str(proposals_of(run)[0].prompt)
    assert prompt == "<system>You are a helpful assistant. The user asks about bee keeping.<user>"


class NoTemplate(ScriptedEngine):
    """A base model."""

    @property
    def has_chat_template(self) -> bool:
        return False

    def start(self, context_length: int) -> None:
        raise AssertionError("it must not be loaded")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"propose__style": "magpie", "model__prompting": "base"}, "--prompting base"),
        (
            {
                "propose__style": "magpie",
                "model__prompting": "auto",
                "engine": {"kind": NoTemplate},
            },
            "has no chat template, which --style magpie needs",
        ),
        ({"propose__style": "magpi"}, "did you mean 'magpie'"),
        ({"propose__style": "evolve", "propose__paraphrases": 2}, "paraphrases 2 means nothing"),
        ({"propose__style": "evolve", "documents": "docs"}, "shows no passages"),
        ({"propose__style": "evolve", "language": "de"}, "templates of --style evolve are in"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    tmp_path: Path, generate: Generate, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        generate(tmp_path / "run", script, **values)
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_another_style_is_refused_on_resume_by_name(tmp_path: Path, write: Generate) -> None:
    write(tmp_path / "run", "evolve")
    with pytest.raises(ConfigError, match=r'propose\.style: "evolve" -> "magpie"'):
        write(tmp_path / "run", "evolve", resume=True, propose__style="magpie", stop__target=20)


def test_a_run_of_the_first_style_keeps_its_templates(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=3)
    names = {path.name for path in (run.path / "inputs" / "prompts").iterdir()}
    assert not {name for name in names if name.startswith(("evolve", "unnatural", "magpie"))}
    assert semantic_values(stored_config(run))["propose.style"] == "self-instruct"


def test_audit_show_prints_what_the_style_adds(
    tmp_path: Path, write: Generate, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = write(tmp_path / "run", "unnatural")
    task = next(row for row in rows_of(run) if row.input and row.constraints)
    assert cli(["audit", "show", str(run.path), task.id]) == 0
    shown = capsys.readouterr().out
    assert "input proposed with it:" in shown
    assert "constraints proposed with it:" in shown
