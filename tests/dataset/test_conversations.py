"""Self-chats in exports: whole where the format can, and as people decided."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.dataset.export import export, to_dataset
from selfinstruct.dataset.formats import COLUMNS, Format, Whole
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.dataset.select import Selection
from selfinstruct.decisions.decide import Words, drop, edit, restore, undo
from selfinstruct.inputs.read_data import read_data
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import Run, open_run
from selfinstruct.train.data.rows import read_rows
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.conftest import Generate
from tests.generate.chatting import chat, chats_of, outcomes, saying, turns_of
from tests.recommit import forget_seals

WHOLE = Selection(conversations=True)

SAID = (
    "Which of them is the oldest?",
    "The northern one was built first, in 1820.",
    "Can I visit it on a Sunday?",
    "Only in summer, from ten to four.",
)


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    made, _ = generate(tmp_path / "run", stop__target=6, **values)
    chat(made, saying(*SAID))
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def exported(run: Run, path: Path, format: Format = Format.MESSAGES) -> list[list[str]]:
    """The turns of each row, with the role before each."""
    export(run, format, path)
    rows = [row.get("messages") or row["conversations"] for row in lines(path)]
    return [[" ".join(turn.values()) for turn in row] for row in rows]


def test_whole_conversations_stand_for_their_tasks(run: Run, tmp_path: Path) -> None:
    tasks = list(export_rows(run))
    later = [f"{role} {text}" for role, text in zip(["user", "assistant"] * 2, SAID, strict=True)]
    rows = exported(run, tmp_path / "a.jsonl")
    assert len(rows) == len(tasks)
    first = [row for row, task in zip(rows, tasks, strict=True) if task.id.endswith("-n0")]
    assert all(row[2:] == later for row in first)
    for row, task in zip(rows, tasks, strict=True):
        assert row[1] == f"assistant {task.output}"
    shared = exported(run, tmp_path / "b.jsonl", Format.SHAREGPT)
    names = {"user": "human", "assistant": "gpt"}
    assert [[f"{names[t.split()[0]]} {t.split(' ', 1)[1]}" for t in row] for row in rows] == shared
    assert len(to_dataset(run, Format.MESSAGES)[0]["messages"]) == 6


@pytest.mark.parametrize("format", [one for one in Format if one.conversations is not Whole.NEVER])
@pytest.mark.parametrize("system", [None, "Answer as a lighthouse keeper."])
def test_what_is_exported_reads_as_the_same_turns(
    run: Run, tmp_path: Path, format: Format, system: str | None
) -> None:
    drop(run, chats_of(run)[0].id, by="ann")  # its task stays, as one exchange
    out = tmp_path / f"rows.{format.suffix}"
    export(run, format, out, selection=replace(WHOLE, system=system))
    before = [Message(role="system", content=system)] if system else []
    expected = [
        [
            *before,
            Message(role="user", content=user_text(row.instruction, row.input)),
            Message(role="assistant", content=row.output),
            *row.turns,
        ]
        for row in export_rows(run, conversations=True)
    ]
    assert {len(turns) - len(before) for turns in expected} == {2, 6}
    rows = read_data(out, option="--data").rows
    assert [[*row.prompt, *(row.answer or ())] for row in rows] == expected


def test_alpaca_has_the_last_exchange_and_the_pairs_before_it(run: Run, tmp_path: Path) -> None:
    drop(run, chats_of(run)[0].id, by="ann")
    export(run, Format.ALPACA, tmp_path / "a.jsonl", selection=WHOLE)
    rows = lines(tmp_path / "a.jsonl")
    tasks = list(export_rows(run, conversations=True))
    assert len(rows) == len(tasks)
    for row, task in zip(rows, tasks, strict=True):
        if not task.turns:
            assert row["history"] == []
            assert row["output"] == task.output
            continue
        assert (row["instruction"], row["input"], row["output"]) == (SAID[2], "", SAID[3])
        first = [user_text(task.instruction, task.input), task.output]
        assert row["history"] == [first, [SAID[0], SAID[1]]]
    assert "history" not in to_dataset(run, Format.ALPACA).column_names  # nobody asked


def test_parquet_keeps_the_task_and_adds_the_turns(run: Run, tmp_path: Path) -> None:
    drop(run, chats_of(run)[0].id, by="ann")
    export(run, Format.PARQUET, tmp_path / "a.parquet", selection=WHOLE)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    for row, task in zip(rows, export_rows(run, conversations=True), strict=True):
        assert (row["id"], row["instruction"], row["output"]) == (
            task.id,
            task.instruction,
            task.output,
        )
        assert (row["messages"] is None) == (not task.turns)
        if task.turns:
            assert row["messages"][1:] == [
                {"role": "assistant", "content": task.output},
                *map(dict, task.turns),
            ]
    export(run, Format.PARQUET, tmp_path / "b.parquet")
    assert pq.read_schema(tmp_path / "b.parquet").names == COLUMNS


def test_without_them_a_file_is_what_it_was(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    made, _ = generate(tmp_path / "run", stop__target=6, likelihood__seed_bound=False)
    before = {}
    for format in Format:
        export(made, format, tmp_path / f"before.{format}")
        before[format] = (tmp_path / f"before.{format}").read_bytes()
    arguments = ["export", str(made.path), "--format", "messages", "--conversations"]
    assert cli([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert "has no accepted conversation; write some with" in capfd.readouterr().err
    chat(made, saying(*SAID))
    for format in Format:
        out = tmp_path / f"after.{format}"
        export(made, format, out, selection=Selection(conversations=False))
        assert out.read_bytes() == before[format]
        export(made, format, out)
        assert (out.read_bytes() == before[format]) is not format.conversations


def test_formats_of_one_exchange_say_so(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "x.jsonl")]
    assert cli(["export", str(run.path), "--format", "chat-completion", *out]) == 0
    told = capfd.readouterr().err
    assert "6 conversations are left at their first exchange, since a row of this" in told
    assert cli(["export", str(run.path), "--format", "messages", *out]) == 0
    assert "6 of the rows are conversations" in capfd.readouterr().err
    assert cli(["export", str(run.path), "--format", "messages", "--card", *out]) == 0
    card = (tmp_path / "README.md").read_text()
    assert "6 of them are conversations of 2 to 3 exchanges" in " ".join(card.split())
    capfd.readouterr()
    assert cli(["export", str(run.path), "--format", "messages", "--no-conversations", *out]) == 0
    assert "conversations" not in capfd.readouterr().err
    short = ["--format", "chat-completion", "--conversations"]
    assert cli(["export", str(run.path), *short, *out]) == 2
    assert "give --format messages or alpaca or sharegpt or parquet" in capfd.readouterr().err
    whole = Selection(conversations=True)
    with pytest.raises(ConfigError, match="leave one of the two out"):
        export(run, Format.MESSAGES, tmp_path / "y", Answers.PREFER_TEACHER, selection=whole)


def test_people_drop_conversations_and_their_ends(run: Run, tmp_path: Path) -> None:
    one, two, three, *_ = chats_of(run)
    drop(run, one.id, by="ann")
    drop(run, f"{two.id}-t5", by="ann")
    drop(run, f"{three.id}-t2", by="ann")
    by_task = {row.instruction_id: row for row in export_rows(run, conversations=True)}
    assert [len(by_task[chat.instruction_id].turns) for chat in (one, two, three)] == [0, 2, 0]
    assert by_task[one.instruction_id].conversation_id is None
    for id in (one.id, f"{two.id}-t5", f"{three.id}-t2"):
        undo(run, id, by="ann")
    assert all(len(turns) == 6 for turns in exported(run, tmp_path / "a")[:1])
    assert replay(run) == []


@pytest.mark.parametrize(
    ("decide", "id", "says"),
    [
        (drop, "-t1", "is the task itself"),
        (drop, "-t9", "has no such conversation"),
        (undo, "", "nobody has decided anything"),
        (restore, "", "a conversation and its turns can be dropped"),
        (restore, "-t3", "to restore the task that opens it, name r0"),
    ],
)
def test_other_decisions_are_refused(run: Run, decide: Any, id: str, says: str) -> None:
    [first, *_] = chats_of(run)
    with pytest.raises(ConfigError, match=says):
        decide(run, f"{first.id}{id}", by="ann")
    with pytest.raises(ConfigError, match="to edit the task"):
        edit(run, first.id, Words(text="Name a tower."), by="ann")
    drop(run, first.id, by="ann")
    with pytest.raises(ConfigError, match="is dropped already"):
        drop(run, first.id, by="ann")
    with pytest.raises(ConfigError, match=r"is not in the dataset \(dropped\)"):
        drop(run, f"{first.id}-t3", by="ann")


def test_a_conversation_falls_with_its_task(run: Run) -> None:
    one, two, *_ = chats_of(run)
    drop(run, one.instance_id, by="ann")
    edit(run, two.instruction_id, Words(text="Name the highest tower of all."), by="ann")
    rows = {row.instruction_id: row for row in export_rows(run, conversations=True)}
    assert one.instruction_id not in rows
    assert rows[two.instruction_id].turns == ()
    undo(run, two.instruction_id, by="ann")
    rows = {row.instruction_id: row for row in export_rows(run, conversations=True)}
    assert len(rows[two.instruction_id].turns) == 4


def test_the_newest_of_an_opening_counts(run: Run) -> None:
    again = ("Who built it?", "A guild of masons.", *SAID[2:])
    chat(run, saying(*again), converse={"turns": 2})
    row = next(export_rows(run, conversations=True))
    assert [turn["content"] for turn in row.turns] == list(again[:2])


def test_the_audit_lists_and_shows_them(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(run.path)
    chat(run, saying(*SAID[:3], "I'm sorry, but I can't help with that."), converse={"turns": 4})
    summary = summarise(run)
    assert summary.conversations == {"accepted": 12}
    assert summary.turns == {"accepted": 36, "refusal": 6, "unanswered": 6}
    assert cli(["audit", "summary", path]) == 0
    assert "turns of conversations" in capfd.readouterr().out
    assert cli(["audit", "list", path, "--stage", "turns", "--reason", "refusal", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["id"][-6:] for row in rows] == ["-c1-t5"] * 6
    listing = ["audit", "list", path, "--stage", "conversations"]
    assert cli([*listing, "--contains", "SUNDAY", "--offset", "1", "--limit", "2", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == [chat.id for chat in chats_of(run)][1:3]
    assert rows[0]["turns"][2] == {"role": "user", "text": SAID[0]}
    assert cli(listing) == 0
    for wrong in (["--min-rouge", "0.5"], ["--sort", "rouge_l"], ["--reason", "nonsense"]):
        assert cli([*listing, *wrong]) == 2
    capfd.readouterr()
    [first, *_] = chats_of(run)
    drop(run, first.id, by="ann", note="too short")
    assert cli(["audit", "show", path, first.id]) == 0
    shown = capfd.readouterr().out
    assert f"{first.id}: dropped (recorded: accepted), 3 exchanges" in shown
    assert "ended: turns" in shown
    assert "too short" in shown
    assert SAID[0] in shown
    assert "its completion" not in shown
    assert cli(["audit", "show", path, f"{first.id}-t2"]) == 0
    assert f"its completion (stop):\n   {SAID[0]}" in capfd.readouterr().out
    assert cli(["audit", "show", path, f"{first.id}-t4", "--json"]) == 0
    detail = json.loads(capfd.readouterr().out)
    assert [one["id"] for one in detail["asked"]] == [f"{first.id}-t4-user"]
    assert [turn["outcome"] for turn in detail["turns"]] == ["dropped"] * 6
    assert cli(["audit", "undo", path, first.id]) == 0
    assert "taken back" in capfd.readouterr().out
    assert cli(["audit", "verify", path]) == 0
    (run.path / "conversations" / "00000" / "turns.parquet").write_bytes(b"")
    assert cli(["audit", "verify", path]) == 4
    assert cli(["export", path, "--format", "messages", "--out", str(run.path / "x.jsonl")]) == 4


def test_merge_takes_them_over_and_judges_them_again(
    run: Run, tmp_path: Path, generate: Generate
) -> None:
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    other, _ = generate(tmp_path / "other", stop__target=6, seed=1, **values)
    chat(other, saying(*SAID))
    merged = merge([run, other, run], tmp_path / "merged")
    assert replay(merged) == []
    chats = chats_of(merged)
    assert len(chats) == 18
    assert len({one.id for one in chats}) == 18
    # The third run repeats the first: its tasks are none here, nor what they open.
    assert {(one.reason, one.exchanges) for one in chats[12:]} == {("opening_rejected", 0)}
    assert set(outcomes(turns_of(merged, chats[12].id))) == {"opening_rejected"}
    tasks = {row.id for row in export_rows(merged)}
    accepted = [one for one in chats if one.reason is None]
    assert {one.instance_id for one in accepted} <= tasks
    carried = sum(bool(row.turns) for row in export_rows(merged, conversations=True))
    assert carried == len(accepted) >= 6
    # It is a run like any other: gone on with, only what is missing is asked for.
    assert chat(merged, saying(*SAID)).owed == len(
        {row.instruction_id for row in export_rows(merged)}
    ) - len(accepted)
    assert replay(merged) == []


def test_other_thresholds_judge_them_again(run: Run, tmp_path: Path) -> None:
    looser = save_what_if(run, Thresholds(min_logprob=-1.5), tmp_path / "judged")
    assert replay(looser) == []
    reasons = set(outcomes([turn for turn in turns_of(looser) if turn.number > 1]))
    assert "low_likelihood" in reasons or "opening_rejected" in reasons
    assert [one.id for one in chats_of(looser)] == [one.id for one in chats_of(run)]


def test_training_on_a_run_learns_whole_conversations(run: Run) -> None:
    [first, *_] = chats_of(run)
    drop(run, first.id, by="ann")
    rows = {row.id: row for row in read_rows(run.path).rows}
    assert len(rows[first.instance_id].messages) == 2
    others = [rows[chat.instance_id] for chat in chats_of(run)[1:]]
    assert all(len(row.messages) == 6 for row in others)
    said = [turn["content"] for turn in others[0].messages[2:]]
    assert said == list(SAID)


def test_replay_finds_what_was_changed(run: Run) -> None:
    text = (run.path / "run.yaml").read_text()
    (run.path / "run.yaml").write_text(text.replace("max_words: 150", "max_words: 5"))
    forget_seals(run.path)
    found = {(one.field, one.recorded, one.replayed) for one in replay(open_run(run.path))}
    assert ("reason", None, "too_long") in found
