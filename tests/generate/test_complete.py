"""Complete writes the instances of instructions that passed only when judged again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.cli.app import run as cli
from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, EngineError, StoreError
from selfinstruct.common.records import ACCEPTED, Kind
from selfinstruct.dataset.card import dataset_card
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.engines.scripted import Script, ScriptedEngine
from selfinstruct.filters.rules import passed_text_rules
from selfinstruct.generate.answer import answer
from selfinstruct.generate.complete import Supplemented, complete, pending
from selfinstruct.store import Run, open_run
from selfinstruct.store.supplements import read_supplements
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import PENDING, Thresholds, save_what_if, what_if
from tests.conftest import varied_script
from tests.engines.kinds import stand_in_for_vllm
from tests.recommit import forget_seals

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    """A run judged again by a looser threshold, with instructions that wait."""
    strict, _ = generate(
        tmp_path / "strict", stop__target=25, novelty__threshold=0.3, likelihood__calibration=20
    )
    return save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "run")


def finish(run: Run, script: Script = varied_script, **options: Any) -> Supplemented:
    batch = options.pop("batch_size", 256)
    return complete(
        run,
        make_engine=lambda *_: ScriptedEngine(script, **options),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
        batch_size=batch,
    )


def test_it_writes_what_is_owed(run: Run) -> None:
    before = summarise(run)
    owed = pending(run)
    assert before.instructions[PENDING] == len(owed) > 4
    rows = {row.id for row in export_rows(run)}
    found = finish(run)
    assert found.owed == len(owed)
    assert 0 < found.tasks < found.owed
    assert pending(run) == []
    after = summarise(run)
    assert PENDING not in after.instructions
    assert after.tasks == before.tasks + found.tasks
    assert after.candidates == before.candidates
    new = [row for row in export_rows(run) if row.id not in rows]
    assert {row.instruction_id for row in new} <= {row.id for row in owed}
    assert len({row.instruction_id for row in new}) == found.tasks
    assert finish(run) == Supplemented(0, 0)


def test_the_result_replays_and_is_listed(run: Run) -> None:
    owed = {row.id: row for row in pending(run)}
    finish(run, batch_size=3)
    assert replay(run) == []
    assert what_if(run, Thresholds()).changes == []
    assert what_if(run, Thresholds()).instance_changes == []
    listed = {row["id"]: row for row in candidates(run, Filter())}
    assert list(listed) == [row.id for n in run.rounds() for row in run.instructions(n)]
    for id in owed:
        assert listed[id]["verdict"] == ACCEPTED or listed[id]["reason"] == "no_instances"
    instances = list(candidates(run, Filter("instances")))
    assert set(owed) <= {row["instruction_id"] for row in instances}
    card = dataset_card(run, Format.ALPACA, Answers.OWN)
    assert f"{summarise(run).tasks} tasks" in card
    for outcome, count in summarise(run).instructions.items():
        assert f"| `{outcome}` | {count} |" in card
    added = [row["id"] for row in instances if row["instruction_id"] in owed]
    assert added == sorted(added, key=ids.order)


def test_cut_off_it_goes_on(run: Run) -> None:
    owed = len(pending(run))
    with pytest.raises(EngineError):
        finish(run, batch_size=2, die_after=8)
    left = len(pending(run))
    assert 0 < left < owed
    assert finish(run).owed == left
    assert replay(run) == []


def test_its_instances_are_judged_by_the_thresholds_of_the_run(
    tmp_path: Path, generate: Generate
) -> None:
    strict, _ = generate(
        tmp_path / "strict", stop__target=25, novelty__threshold=0.3, stop__max_rounds=6
    )
    scores = sorted(r.mean_logprob for n in strict.rounds() for r in strict.instances(n))
    middle = scores[len(scores) // 2]
    wanted = Thresholds(rouge=0.6, min_logprob=middle)
    run = save_what_if(strict, wanted, tmp_path / "run")
    finish(run)
    rows = [row for one in read_supplements(run) for row in one.instances]
    assert {row.logprob_threshold for row in rows} == {middle}
    for row in rows:
        if passed_text_rules(row.reason):
            assert (row.reason == "low_likelihood") == (row.mean_logprob < middle)
    assert any(row.reason == "low_likelihood" for row in rows)
    assert replay(run) == []


def test_a_completed_run_grows_answers_and_merges(
    run: Run, tmp_path: Path, generate: Generate
) -> None:
    finish(run)
    tasks = summarise(run).tasks
    target = run.meta["config"]["stop"]["target"]
    grown, _ = generate(run.path, resume=True, stop__target=target + 9)
    assert summarise(grown).tasks == tasks + 9
    assert replay(grown) == []
    folder = tmp_path / "teacher"
    shutil.copytree(Path(run.meta["config"]["model"]["name"]), folder)
    (folder / "model.safetensors").write_bytes(b"teacher")
    answer(
        grown,
        {"model": {"name": str(folder)}},
        make_engine=lambda *_: ScriptedEngine(lambda _: "A calm and clear answer."),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )
    assert len(list(export_rows(grown, Answers.TEACHER))) == len(list(export_rows(grown)))
    assert replay(grown) == []
    other, _ = generate(tmp_path / "other", seed=5)
    merged = merge([grown, other], tmp_path / "both")
    assert replay(merged) == []
    own = {row.instruction_id for row in export_rows(grown)}
    assert own <= {row.instruction_id for row in export_rows(merged)}


def test_another_model_is_refused(run: Run) -> None:
    model = Path(run.meta["config"]["model"]["name"])
    (model / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ConfigError, match="not the one that this run was made with"):
        finish(run)


def test_a_damaged_supplement_is_a_damaged_run(run: Run) -> None:
    finish(run)
    info = run.path / "supplements" / "00000" / "supplements.json"
    forget_seals(run.path)
    told = json.loads(info.read_text())
    info.write_text(json.dumps(told | {"last_round": "six"}))
    with pytest.raises(StoreError, match="no valid last_round"):
        replay(run)
    info.write_text(json.dumps(told | {"last_round": 99}))
    with pytest.raises(StoreError, match="had a round 99, which is missing"):
        replay(run)
    info.write_text(json.dumps(told))
    assert replay(run) == []
    file = run.path / "supplements" / "00000" / "instances.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(StoreError, match="is not what was committed"):
        list(export_rows(run))


def test_the_command_has_nothing_to_do(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    stand_in_for_vllm(monkeypatch)
    run, _ = generate(tmp_path / "run")
    assert cli(["complete", str(run.path)]) == 0
    assert "no instruction waits" in capfd.readouterr().out
    assert cli(["complete", str(tmp_path / "nothing")]) == 2
    assert not open_run(run.path).path.joinpath("supplements").exists()


def test_completed_tasks_survive_a_strict_judgement_and_back(run: Run, tmp_path: Path) -> None:
    finish(run)
    rows = {row.id for row in export_rows(run)}
    strict = save_what_if(run, Thresholds(rouge=0.2), tmp_path / "s")
    assert replay(strict) == []
    assert what_if(strict, Thresholds()).changes == []
    back = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "back")
    assert replay(back) == []
    assert pending(back) == []
    assert {row.id for row in export_rows(back)} == rows


def test_answers_stay_with_what_is_judged_again(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(Path(run.meta["config"]["model"]["name"]), folder)
    (folder / "model.safetensors").write_bytes(b"teacher")
    finish(run)
    answer(
        run,
        {"model": {"name": str(folder)}},
        make_engine=lambda *_: ScriptedEngine(lambda _: "A calm and clear answer."),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )
    strict = save_what_if(run, Thresholds(rouge=0.2), tmp_path / "s")
    assert replay(strict) == []


class Unlikely(ScriptedEngine):
    """A model whose scores are on another scale."""

    def _completion_of(self, request: Any) -> Any:
        found = super()._completion_of(request)
        shifted = tuple(score - 5 for score in found.token_logprobs or ())
        return replace(found, token_logprobs=shifted)


def test_in_a_merged_run_the_writer_is_judged_on_its_own_scale(
    tmp_path: Path, generate: Generate
) -> None:
    small = {"likelihood__calibration": 20, "novelty__threshold": 0.3, "stop__target": 25}
    first, _ = generate(tmp_path / "a", **small)
    second, _ = generate(tmp_path / "b", seed=1, engine={"kind": Unlikely}, **small)
    merged = merge([first, second], tmp_path / "both")
    loose = save_what_if(merged, Thresholds(rouge=0.6), tmp_path / "loose")
    assert pending(loose)
    finish(loose)
    [supplement] = read_supplements(loose)
    least = {row.logprob_threshold for row in supplement.instances if row.kind is Kind.OUTPUT}
    last = len(first.rounds()) - 1
    assert least == {loose.info(last)["likelihood"]["output"]}
    assert replay(loose) == []
    assert what_if(loose, Thresholds()).instance_changes == []
