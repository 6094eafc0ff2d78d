"""A run's folder: the commit, the lock, damage, and what a reader refuses."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError, StoreError, WriteError
from selfinstruct.common.records import Completion, InstanceCandidate, InstructionCandidate
from selfinstruct.store import Run, open_run, schema
from tests.recommit import recommit

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=60, propose__per_round=12)[0]


def test_a_run_is_self_contained(run: Run) -> None:
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*")}
    assert {"run.yaml", "status.json", "inputs/seeds.jsonl", "rounds/00000/round.json"} <= names
    assert "inputs/prompts/propose.base.jinja" in names
    meta = yaml.safe_load((run.path / "run.yaml").read_text())
    assert meta["schema_version"] == schema.SCHEMA_VERSION
    assert meta["packages"]["rouge-score"]
    assert meta["config"]["engine"]["context_length"] == 2048


@pytest.mark.parametrize(
    ("file", "expected", "record"),
    [
        ("instructions.parquet", schema.INSTRUCTIONS, InstructionCandidate),
        ("instances.parquet", schema.INSTANCES, InstanceCandidate),
        ("completions.parquet", schema.COMPLETIONS, Completion),
    ],
)
def test_columns_on_disk(run: Run, file: str, expected: object, record: type) -> None:
    stored = pq.read_schema(run.round_path(0) / file)
    assert stored.names == expected.names  # type: ignore[attr-defined]
    if record is not Completion:
        assert stored.names == [field.name for field in fields(record)]


def test_records_survive_the_disk(run: Run, tmp_path: Path) -> None:
    completions = run.completions(0)
    schema.write_completions(tmp_path / "c.parquet", completions)
    assert schema.read_completions(tmp_path / "c.parquet") == completions
    candidates = run.instructions(0)
    assert any(math.isnan(c.rouge_l) or c.rouge_l >= 0 for c in candidates)
    schema.write_instructions(tmp_path / "i.parquet", candidates)
    again = schema.read_instructions(tmp_path / "i.parquet")
    assert [repr(c) for c in again] == [repr(c) for c in candidates]


def test_a_span_is_the_raw_text_and_its_tokens_give_the_score(run: Run) -> None:
    completions = {c.id: c for n in run.rounds() for c in run.completions(n)}
    checked = 0
    for number in run.rounds():
        for row in run.instructions(number):
            completion = completions[row.completion_id]
            assert completion.text[row.char_start : row.char_end] == row.raw_text
            if row.unscored_reason is None:
                checked += 1
                assert completion.token_logprobs is not None
                inside = [
                    logprob
                    for logprob, start, end in zip(
                        completion.token_logprobs,
                        completion.token_starts,
                        completion.token_ends,
                        strict=True,
                    )
                    if set(range(start, end)) & set(range(row.char_start, row.char_end))
                ]
                assert row.num_tokens == len(inside)
                assert row.mean_logprob == pytest.approx(sum(inside) / len(inside), abs=1e-12)
    assert checked > 20


def test_unscorable_is_nan_with_a_reason(run: Run) -> None:
    rows = [row for n in run.rounds() for row in run.instructions(n)]
    assert any(row.unscored_reason for row in rows)
    for row in rows:
        assert math.isnan(row.mean_logprob) == (row.unscored_reason is not None)


def test_a_column_that_was_added_later_is_no_obstacle(run: Run) -> None:
    path = run.round_path(0) / "instructions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("mood", [["calm"] * len(table)]), path)
    recommit(run.round_path(0))
    assert len(run.instructions(0)) == len(table)
    pq.write_table(table.drop_columns(["threshold"]), path)
    recommit(run.round_path(0))
    assert run.instructions(0)[0].threshold is None


def test_a_newer_schema_is_refused(run: Run) -> None:
    file = run.path / "run.yaml"
    file.write_text(file.read_text().replace("schema_version: 1", "schema_version: 99"))
    with pytest.raises(StoreError, match="newer than this program knows"):
        open_run(run.path)


def test_a_missing_round_is_named(run: Run) -> None:
    assert len(run.rounds()) > 1
    (run.path / "rounds" / "00000").rename(run.path / "moved")
    with pytest.raises(StoreError, match="round 00000 is missing"):
        run.rounds()


def test_a_changed_file_does_not_verify(run: Run) -> None:
    run.verify()
    file = run.round_path(0) / "completions.parquet"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(StoreError, match=r"completions\.parquet: is not what was committed"):
        run.verify()


def test_damaged_metadata_is_a_damaged_run(run: Run) -> None:
    (run.round_path(0) / "round.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        run.info(0)
    (run.path / "run.yaml").write_bytes(b"\xff\x00")
    with pytest.raises(StoreError, match="is damaged"):
        open_run(run.path)


def test_a_folder_without_run_yaml_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run"):
        open_run(tmp_path)


def test_a_round_that_cannot_be_written_leaves_the_committed_ones(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data = run.read_round(0)
    before = run.rounds()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "write_instances", full)
        with pytest.raises(WriteError, match=r"No space left on device.*--resume"):
            run.commit(replace(data, number=len(before)))
        patched.setattr(atomic, "write_json", full)
        run.write_status("running")  # advisory: logged, no more
    assert run.rounds() == before
    run.discard_torn()
    run.verify()


def test_status_is_advisory(run: Run) -> None:
    assert run.status()["state"] == "stopped"
    (run.path / "status.json").write_text("not json")
    assert run.status() == {"state": "unknown"}
    run.write_status("running", tasks=3)
    assert json.loads((run.path / "status.json").read_text())["tasks"] == 3
