"""Revisions: what is asked, what is judged, and what a stop, a failure or a setting changes."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.verify import verify_run
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError, StoreError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.decide import Words, drop, edit
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import REVISED
from selfinstruct.verdicts.replay import replay
from tests.conftest import Generate
from tests.engines.kinds import stand_in_for_vllm
from tests.generate.chatting import other_model
from tests.generate.revising import TWO, content, outcomes, revise_run, revising, rows_of, saying
from tests.generate.test_failures import Failing

CRITIQUE = "It does not say when the harbour was built."
BETTER = "The harbour was built in 1820 and has two towers."
BEST = "The harbour was built in 1820. Both of its towers are open in summer."


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    return generate(tmp_path / "run", stop__target=6, **values)[0]


def test_every_output_is_revised(run: Run) -> None:
    tasks = list(export_rows(run))
    told: list[tuple[int, int]] = []
    done = revise_run(run, saying(CRITIQUE, BETTER), advance=lambda *step: told.append(step))
    assert (done.owed, done.drafts, done.written, done.accepted) == (6, 6, 6, 6)
    assert told[-1] == (6, 6)
    rows = rows_of(run)
    assert [row.id for row in rows] == [f"{t.id}-v0-s{n}" for t in tasks for n in (0, 1)]
    for task, draft, step in zip(tasks, rows[::2], rows[1::2], strict=True):
        assert (draft.instance_id, draft.text, draft.verdict) == (task.id, task.output, ACCEPTED)
        assert (draft.completion_id, draft.principle) == (None, None)
        assert (step.draft, step.critique, step.text) == (task.output, CRITIQUE, BETTER)
        assert (step.instruction, step.input) == (task.instruction, task.input)
        assert step.mean_logprob < 0
    assert replay(run) == []
    assert verify_run(run).problems == []
    assert str(revise_run(run, saying())) == "every output is revised with these settings"
    assert summarise(run).revisions == {ACCEPTED: 6}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([CRITIQUE, BETTER, CRITIQUE, BEST], [ACCEPTED, ACCEPTED]),
        (["  ", CRITIQUE, BEST], ["no_critique", ACCEPTED]),
        ([CRITIQUE, "", CRITIQUE, BEST], ["no_revision", ACCEPTED]),
        ([CRITIQUE, BETTER, CRITIQUE, f"{BETTER[:-1]}!"], [ACCEPTED, "unchanged"]),
        ([CRITIQUE, f"Right. {CRITIQUE}", CRITIQUE, BEST], ["copies_critique", ACCEPTED]),
        ([CRITIQUE, "Rewrite it kindly.", CRITIQUE, BEST], None),
        ([CRITIQUE, "The answer is already clear and kind."] * 2, ["about_answer"] * 2),
        ([CRITIQUE, ("The harbour was built", "length"), CRITIQUE, BEST], ["truncated", ACCEPTED]),
        ([CRITIQUE, "The answer is 42.", CRITIQUE, BEST], [ACCEPTED, ACCEPTED]),
        (
            [CRITIQUE, "I'm sorry, but I cannot help with that.", CRITIQUE, BEST],
            [ACCEPTED, ACCEPTED],
        ),
    ],
)
def test_verdicts(run: Run, said: list[str | tuple[str, str]], expected: list[str] | None) -> None:
    revise_run(run, saying(*said), revise={"rounds": 2}, principles=TWO)
    [_, *steps] = rows_of(run)[:3]
    if expected is None:  # a sentence of the principle, where that principle was drawn
        named = steps[0].principle == "kind"
        expected = ["copies_critique" if named else ACCEPTED, ACCEPTED]
    assert outcomes(steps) == expected
    # The next step revises the last text that was accepted.
    first = export_rows(run).__next__().output
    assert steps[1].draft == (steps[0].text if expected[0] == ACCEPTED else first)
    # Both principles of a file of two come up, before one comes twice.
    assert {row.principle for row in steps} == {"kind", "short"}
    assert replay(run) == []


def test_declining_can_be_ruled_out(run: Run) -> None:
    said = saying(CRITIQUE, "I'm sorry, but I cannot help with that.")
    done = revise_run(run, said, revise={"may_decline": False})
    assert done.outcomes == {ACCEPTED: 0, "refusal": 6}
    assert "rejected: 6 refusal" in str(done)
    assert replay(run) == []


def test_labels_are_left_as_they_are(tmp_path: Path, generate: Generate) -> None:
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    run = generate(tmp_path / "run", stop__target=20, **values)[0]
    tasks = list(export_rows(run))
    labels = [row.id for row in tasks if row.is_classification]
    assert 0 < len(labels) < len(tasks)
    done = revise_run(run, saying(CRITIQUE, BETTER), revise={"labels": False})
    assert (done.owed, done.labels) == (len(tasks) - len(labels), len(labels))
    assert str(done).endswith(f"; {len(labels)} labels are left as they are")
    mixed = list(export_rows(run, Answers.PREFER_REVISION))
    assert [row.id for row in mixed if row.draft is None] == labels
    # With a setting they are revised, too; what is done already is not done again.
    assert revise_run(run, saying(CRITIQUE, BETTER)).owed == len(labels)


def test_the_model_writes_the_drafts(run: Run) -> None:
    done = revise_run(run, saying("A first answer.", CRITIQUE, BETTER), revise={"draft": True})
    assert (done.drafts, done.accepted) == (6, 6)
    [draft, step, *_] = rows_of(run)
    assert (draft.text, draft.completion_id) == ("A first answer.", f"{draft.id}-answer")
    assert step.draft == "A first answer."
    assert replay(run) == []
    # What cannot be a draft is not revised.
    again = revise_run(run, saying(""), revise={"draft": True, "rounds": 2})
    assert (again.owed, again.drafts, again.written) == (6, 0, 0)
    assert "6 drafts were rejected" in str(again)
    assert outcomes(rows_of(run)[12:]) == ["empty_output"] * 6
    assert replay(run) == []


def test_a_kill_loses_nothing_that_was_committed(run: Run, tmp_path: Path) -> None:
    """Killed and resumed equals uninterrupted, in every row."""
    whole = open_run(Path(shutil.copytree(run.path, tmp_path / "whole")))
    revise_run(whole, batch_size=2, revise={"rounds": 2})
    with pytest.raises(EngineError):
        revise_run(run, batch_size=2, revise={"rounds": 2}, engine={"die_after": 14, "batch": 2})
    done = len({row.series_id for row in rows_of(run)})
    assert 0 < done < 6
    result = revise_run(run, batch_size=2, revise={"rounds": 2}, engine={"shuffle": 3})
    assert result.owed == 6 - done
    assert content(run) == content(whole)
    assert replay(run) == []


def test_what_failed_for_good_is_no_verdict_and_owed_again(run: Run) -> None:
    tasks = [row.id for row in export_rows(run)]
    wrong = f"{tasks[2]}-v0-s1-revise"
    failing = partial(Failing, fails=lambda request, _: request.id == wrong)
    result = revise_run(run, saying(*[CRITIQUE, BETTER] * 9), make=failing)
    assert (result.owed, result.written, result.failed) == (6, 5, 1)
    assert "1 outputs are still missing" in str(result)
    assert tasks[2] not in {row.instance_id for row in rows_of(run)}
    again = revise_run(run, saying(CRITIQUE, BETTER))
    assert (again.owed, again.written, again.failed) == (1, 1, 0)
    assert rows_of(run)[-1].id == f"{tasks[2]}-v0-s1"


def test_another_way_revises_again_and_the_newest_counts(run: Run, tmp_path: Path) -> None:
    revise_run(run, saying(CRITIQUE, BETTER))
    model = {"model": {"name": str(other_model(tmp_path / "other"))}}
    assert revise_run(run, saying(CRITIQUE, BEST), values=model).accepted == 6
    assert {row.output for row in export_rows(run, Answers.REVISION)} == {BEST}
    assert all(row.series_id.endswith("-v1") for row in rows_of(run)[12:])
    # A newer series without an accepted revision leaves the earlier one.
    revise_run(run, saying(CRITIQUE, ""), principles=TWO)
    assert {row.output for row in export_rows(run, Answers.REVISION)} == {BEST}


def test_exports_choose(run: Run, tmp_path: Path) -> None:
    own = list(export_rows(run))
    with pytest.raises(ConfigError, match="has no accepted revision"):
        export(run, Format.ALPACA, tmp_path / "x.jsonl", Answers.REVISION)
    revise_run(run, saying(CRITIQUE, BETTER))
    assert repr(list(export_rows(run))) == repr(own)
    revised = list(export_rows(run, Answers.REVISION))
    assert [row.draft for row in revised] == [row.output for row in own]
    assert {row.output for row in revised} == {BETTER}
    assert [row.instruction_id for row in revised] == [row.instruction_id for row in own]
    # A person's edit is another task: its revision was of the old one.
    edit(run, own[0].instruction_id, Words(text="Name two trees."), by="ann")
    drop(run, own[1].instruction_id, by="ann")
    assert len(list(export_rows(run, Answers.REVISION))) == 4
    mixed = list(export_rows(run, Answers.PREFER_REVISION))
    assert [row.output == BETTER for row in mixed] == [False, True, True, True, True]
    assert revise_run(run, saying(CRITIQUE, BEST)).owed == 1
    assert next(export_rows(run, Answers.REVISION)).output == BEST


def test_pairs_train(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Draft and revision are a pair that the readers of preferences take."""
    from selfinstruct.inputs.formats.preferences import PREFERENCE
    from selfinstruct.train.data.preference_rows import read_pairs

    out = tmp_path / "pairs.jsonl"
    words = ["export", str(run.path), "--as-pairs", "--out", str(out)]
    assert cli(words) == 2
    assert "selfinstruct revise" in capfd.readouterr().err
    own = list(export_rows(run))
    revise_run(run, saying(CRITIQUE, BETTER, CRITIQUE, own[0].output), revise={"rounds": 2})
    assert cli(words) == 0
    pairs = [json.loads(line) for line in out.read_text().splitlines()]
    # Where the last revision is the draft again, there is nothing to prefer.
    kept = [row for row in own if row.output != own[0].output]
    assert [pair["rejected"][0]["content"] for pair in pairs] == [row.output for row in kept]
    assert {pair["chosen"][0]["content"] for pair in pairs} == {own[0].output}
    assert PREFERENCE.name == "preference"
    assert len(read_pairs(out, held_out=0).train) == len(kept)
    for more in (["--format", "alpaca"], ["--answers", "teacher"], ["--for", "trl"]):
        assert cli([*words, *more]) == 2
        assert f"leave {more[0]}" in capfd.readouterr().err


def test_the_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, revising))
    principles = tmp_path / "mine.yaml"
    principles.write_text(
        "- name: kind\n  principle: Be kind.\n  critique: Is it rude?\n  revision: Be kinder.\n"
    )
    words = ["revise", str(run.path), "--principles", str(principles), "--rounds", "2"]
    assert cli(words) == 0
    told = capfd.readouterr()
    assert "revisions accepted; rejected: " in told.out
    assert "--as-pairs" in told.err
    info = REVISED.info(run, 0)
    assert [one["name"] for one in info["settings"]["principles"]] == ["kind"]
    assert cli(words) == 0
    assert "every output is revised" in capfd.readouterr().out
    assert cli(["audit", "list", str(run.path), "--stage", "revisions", "--json"]) == 0
    listed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["id"] for row in listed] == [row.id for row in rows_of(run)]
    assert cli(["audit", "show", str(run.path), listed[1]["id"]]) == 0
    shown = capfd.readouterr().out
    assert "critique by kind" in shown
    assert f"{listed[1]['id']}-critique" in shown
    assert cli(["audit", "show", str(run.path), "r00000-p000-i00-n0-v9-s1"]) == 2
    assert "--stage revisions" in capfd.readouterr().err
    assert cli(["audit", "replay", str(run.path)]) == 0
    assert cli(["audit", "summary", str(run.path)]) == 0
    assert "revisions" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--rounds", "99"], "--rounds"),
        (["--set", "revise.rouds=2"], "revise.rouds: unknown key"),
        (["--set", "novelty.threshold=0.5"], "not a setting of revisions"),
        (["--set", "model.system=x"], "name a model with --model"),
        (["--principles", "nowhere.yaml"], "nowhere.yaml: no such file; check --principles"),
    ],
)
def test_wrong_usage(
    run: Run, more: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(["revise", str(run.path), *more]) == 2
    assert told in capfd.readouterr().err
    assert not (run.path / "revisions").exists()


def test_a_context_that_is_too_short(run: Run) -> None:
    with pytest.raises(ConfigError, match="lower instances"):
        revise_run(run, engine={"context_length": 300})
    # With room for the first step alone, a series ends there.
    long = " ".join(f"word{number}" for number in range(900)) + "."
    settings = {"rounds": 2, "critique_sampling": {"max_tokens": 20}}
    sampling = {"instances": {"sampling": {"max_tokens": 400}}}
    revise_run(
        run,
        saying(CRITIQUE, long),
        revise=settings,
        values=sampling,
        engine={"context_length": 900},
    )
    rows = rows_of(run)
    assert {row.number for row in rows} == {0, 1}
    assert replay(run) == []


def test_revisions_that_were_tampered_with(run: Run, tmp_path: Path) -> None:
    revise_run(run)
    file = run.path / "revisions" / "00000" / "revisions.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StoreError, match="is not what was committed"):
        list(export_rows(run, Answers.REVISION))
    assert cli(["audit", "replay", str(run.path)]) == 4
    assert cli(["audit", "verify", str(run.path)]) == 4
    assert cli(["audit", "repair", str(run.path)]) == 0
    assert cli(["audit", "verify", str(run.path)]) == 0
    assert not rows_of(open_run(run.path))
    assert revise_run(open_run(run.path)).owed == 6


def test_a_merged_run_keeps_them(run: Run, tmp_path: Path, generate: Generate) -> None:
    revise_run(run, revise={"rounds": 2})
    other, _ = generate(tmp_path / "second", stop__target=5, seed=1)
    revise_run(other)
    before = [
        (row.text, outcome)
        for row, outcome in zip(rows_of(run), outcomes(rows_of(run)), strict=True)
    ]
    out = tmp_path / "merged"
    assert cli(["merge", str(other.path), str(run.path), "--out", str(out)]) == 0
    merged = open_run(out)
    rows = rows_of(merged)
    own = [row for row in rows if row.round >= len(other.rounds())]
    assert [(row.text, str(row.reason or row.verdict)) for row in own] == before
    assert replay(merged) == []
    assert verify_run(merged).problems == []
    revised = list(export_rows(merged, Answers.REVISION))
    assert {row.instruction_id for row in revised} <= {
        row.instruction_id for row in export_rows(merged)
    }
    assert len(revised) > len(list(export_rows(run, Answers.REVISION))) / 2
    wide = tmp_path / "wide"
    assert cli(["audit", "whatif", str(run.path), "--rouge", "0.5", "--out", str(wide)]) == 0
    assert len(rows_of(open_run(wide))) == len(rows_of(run))
    assert replay(open_run(wide)) == []


def test_a_compacted_run_keeps_them(run: Run) -> None:
    revise_run(run)
    before = content(run)
    assert cli(["compact", str(run.path)]) == 0
    assert content(open_run(run.path)) == before
    assert replay(open_run(run.path)) == []


def test_prompts_without_outputs_get_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An import of prompts: its tasks wait for outputs, which the model writes and revises."""
    monkeypatch.chdir(tmp_path)
    model = str(other_model(tmp_path / "other"))
    prompts = ("How do bees find their way home?", "Explain how tides come about.")
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))
    Path("prompts.yaml").write_text(
        "name: prompts\nabout: Prompts alone.\ntemplates:\n"
        '  - {name: as-it-is, instruction: "{{ prompt }}"}\n'
    )
    words = ["import", "prompts.jsonl", "--template", "prompts.yaml", "--out", "run"]
    assert cli(words) == 0
    assert "2 instructions wait for an output" in capfd.readouterr().out
    run = open_run(Path("run"))
    assert run.info(0)["instructions"] == {ACCEPTED: 0, "pending_instances": 2}
    assert list(export_rows(run)) == []
    with pytest.raises(ConfigError, match="name the one that writes revisions with --model"):
        revise_run(run)
    left = revise_run(run, values={"model": {"name": model}})
    assert (left.owed, left.undrafted) == (0, 2)
    assert "--draft has the model write them" in str(left)
    script = saying("By the sun and by landmarks.", CRITIQUE, BETTER)
    done = revise_run(run, script, revise={"draft": True}, values={"model": {"name": model}})
    assert (done.owed, done.accepted, done.undrafted) == (2, 2, 0)
    rows = list(export_rows(run, Answers.REVISION))
    assert sorted(row.instruction for row in rows) == sorted(prompts)
    assert {(row.output, row.draft) for row in rows} == {(BETTER, "By the sun and by landmarks.")}
    assert [row.id for row in rows] == [f"{row.instruction_id}-v0-s1" for row in rows]
    assert replay(run) == []
    assert cli(["export", "run", "--as-pairs", "--card", "--out", "out/pairs.jsonl"]) == 0
    assert "Constitutional AI" in Path("out/README.md").read_text()
    Path("wrong.yaml").write_text(
        "name: wrong\nabout: x\ntemplates:\n"
        '  - {name: one, instruction: "{{ prompt }}", input: "{{ prompt }}"}\n'
    )
    assert cli([*words[:3], "wrong.yaml", "--out", "other-run"]) == 2
    assert "has no output, but input" in capfd.readouterr().err
