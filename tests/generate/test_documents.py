"""Tasks about passages of documents: each proposal has one, and no one is used too often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.audit.candidate import show_candidate
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import ACCEPTED, Completion, Conversation, Form, Stage
from selfinstruct.dataset.rows import export_rows
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from tests.generate.test_loop import contents, dataset

Generate = Callable[..., tuple[Run, str]]

BODIES = [
    f"Village {n} lies on the river Hask and has {n + 3} mills that grind rye." for n in range(7)
]
# The first four stand under a heading, which belongs to the passage.
TEXTS = [*(f"Part {n}\n\n{body}" for n, body in enumerate(BODIES[:4])), *BODIES[4:]]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("".join(f"# {text}\n\n" for text in TEXTS[:4]))
    (folder / "b.txt").write_text("\n\n".join(BODIES[4:]))
    return folder


@pytest.fixture
def write(generate: Generate, documents: Path) -> Generate:
    def run(out: Path, **values: object) -> tuple[Run, str]:
        if not values.get("resume"):
            values = {
                "documents": str(documents),
                "passages__least_words": 5,
                "passages__most_words": 20,
                "stop__target": 20,
                **values,
            }
        return generate(out, **values)

    return run


def proposals(run: Run) -> list[Completion]:
    return [
        one
        for number in run.rounds()
        for one in run.completions(number)
        if one.request.stage is Stage.PROPOSE
    ]


def test_each_proposal_has_a_passage_and_its_tasks_have_it_as_their_input(
    tmp_path: Path, write: Generate, documents: Path
) -> None:
    run, reason = write(tmp_path / "run")
    assert reason == "target"
    passages = {one.id: one for one in stored_inputs(run).passages}
    assert [one.text for one in passages.values()] == TEXTS
    assert {one.document for one in passages.values()} == {"a.md", "b.txt"}
    for one in proposals(run):
        source = one.request.reading.source
        assert passages[source].text in str(one.request.prompt)
        assert one.request.template == "propose_passage.base.jinja"
        assert one.request.parents == ()
    tasks = {row.id: row for number in run.rounds() for row in run.instructions(number)}
    by_id = {one.id: one for one in proposals(run)}
    for task in tasks.values():
        assert task.source_id == by_id[task.completion_id].request.reading.source
    rows = [row for number in run.rounds() for row in run.instances(number)]
    assert rows
    for row in rows:
        assert row.source_id == tasks[row.instruction_id].source_id
        assert row.input == passages[row.source_id or ""].text
        assert (row.input_char_start, row.input_char_end) == (0, 0)
    exported = list(export_rows(run))
    assert len(exported) >= 20
    assert all(row.input in TEXTS for row in exported)
    assert replay(run) == []
    # The run needs its documents no more.
    for file in documents.iterdir():
        file.unlink()
    grown, _ = write(run.path, resume=True, stop__target=30)
    assert replay(grown) == []


def test_no_passage_is_used_more_often_than_another(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", stop__target=500, stop__max_rounds=8, stop__min_yield=0.0)
    used = [one.request.reading.source for one in proposals(run)]
    assert len(used) == 8 * 4
    in_order = sorted(proposals(run), key=lambda one: one.id)
    for end in range(1, len(used) + 1):
        counts = Counter(one.request.reading.source for one in in_order[:end])
        least = 0 if len(counts) < len(TEXTS) else min(counts.values())
        assert max(counts.values()) - least <= 1, end
    # Each deal has an order of its own.
    deals = [[one.request.reading.source for one in in_order[i : i + 7]] for i in (0, 7, 14)]
    assert deals[0] != deals[1] != deals[2]


@pytest.mark.parametrize("death", [3, 17, 40, 61])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, write: Generate, death: int
) -> None:
    whole, _ = write(tmp_path / "whole")
    out = tmp_path / "killed"
    with pytest.raises(EngineError):
        write(out, engine={"die_after": death})
    resumed, reason = write(out, resume=True, stop__target=20)
    assert reason == "target"
    assert contents(resumed) == contents(whole)
    assert dataset(resumed) == dataset(whole)
    assert replay(resumed) == []


def test_chat_prompting_shows_worked_passages_as_turns(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", model__prompting="chat", stop__target=5)
    prompt = proposals(run)[0].request.prompt
    assert isinstance(prompt, Conversation)
    roles = [turn["role"] for turn in prompt.messages]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]
    assert prompt.messages[-1]["content"] in TEXTS
    assert replay(run) == []


def test_other_documents_are_refused_on_resume(
    tmp_path: Path, write: Generate, documents: Path
) -> None:
    run, _ = write(tmp_path / "run", stop__target=3)
    again, _ = write(run.path, resume=True, stop__target=4, documents=str(documents))
    assert again.info(0)["tasks"] > 0
    (documents / "b.txt").write_text("Another village has no mill at all and buys its flour.")
    with pytest.raises(ConfigError, match="passages_sha256"):
        write(run.path, resume=True, stop__target=5, documents=str(documents))


def test_an_ordinary_run_records_nothing_about_passages(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=5)
    import pyarrow.parquet as pq

    table = pq.read_table(run.round_path(0) / "completions.parquet")
    readings = [json.loads(text) for text in table["reading"].to_pylist()]
    assert not any({"source", "given"} & reading.keys() for reading in readings)
    assert "passages_sha256" not in run.meta["inputs"]
    assert {row.source_id for row in run.instructions(0)} == {None}


def test_runs_about_documents_are_merged_and_shown(
    tmp_path: Path, write: Generate, generate: Generate, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = generate(tmp_path / "first", stop__target=8)
    second, _ = write(tmp_path / "second", stop__target=8)
    for runs in ([first, second], [second, first]):
        merged = merge(runs, tmp_path / f"merged-{runs[0].name}")
        assert replay(merged) == []
        assert [one.text for one in stored_inputs(merged).passages] == TEXTS
    task = next(row for row in second.instructions(0) if row.verdict == ACCEPTED)
    show_candidate(second, task.id)
    assert cli(["audit", "show", str(second.path), task.id]) == 0
    assert f"about the passage {task.source_id}" in capsys.readouterr().out


def test_the_output_alone_is_written(tmp_path: Path, write: Generate) -> None:
    run, _ = write(tmp_path / "run", stop__target=3)
    asked = [
        one
        for number in run.rounds()
        for one in run.completions(number)
        if one.request.stage is Stage.INSTANCES
    ]
    assert asked
    for one in asked:
        assert one.request.reading.form is Form.WHOLE
        assert one.request.template == "answer.base.jinja"
        assert one.request.reading.given in TEXTS
        assert str(one.request.prompt).endswith("Output:")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no such file or folder; check --documents"), ("x.docx", "unknown kind of document")],
)
def test_bad_documents_leave_nothing(
    tmp_path: Path,
    name: str,
    message: str,
    capfd: pytest.CaptureFixture[str],
    model_folder: Path,
) -> None:
    (tmp_path / "x.docx").write_bytes(b"x")
    out = tmp_path / "run"
    arguments = ["generate", "--out", str(out), "--documents", str(tmp_path / name)]
    assert cli([*arguments, "--model", str(model_folder)]) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not out.exists()


def test_topics_and_templates_without_passages_are_refused(tmp_path: Path, write: Generate) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text("chess\n")
    with pytest.raises(ConfigError, match=r"propose_passage\.base\.jinja: does not use 'topic'"):
        write(tmp_path / "run", topics=str(topics))
    assert not (tmp_path / "run").exists()
