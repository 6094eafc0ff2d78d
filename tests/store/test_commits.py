"""Commits beside the rounds: every kind of them by the one protocol."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError, StoreError
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.store import Run
from selfinstruct.store.commits import KINDS, SUPPLEMENTS, Commit, CommitKind
from selfinstruct.store.supplements import read_completed
from tests.recommit import rewrite_json

Generate = Callable[..., tuple[Run, str]]
SAMPLES: Mapping[type, Any] = {dict: {}, int: 0, str: "x"}


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=5)[0]


def some_commit(kind: CommitKind) -> Commit:
    info = {key: SAMPLES[type] for key, type in kind.required.items()}
    if kind.model_keys:
        info["model"] = dict.fromkeys(kind.model_keys, "x")
    return Commit([], [], [], info)


def edit(run: Run, kind: CommitKind, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite_json(kind.info_path(run, 0), change)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_commit_is_numbered_whole_and_read_back(run: Run, kind: CommitKind) -> None:
    assert kind.numbers(run) == []
    torn = kind.path(run, 0).with_name(".00000.tmp")
    torn.mkdir(parents=True)
    (torn / "completions.parquet").write_bytes(b"half")
    for number in (0, 1):
        assert kind.next_number(run) == number
        kind.commit(run, some_commit(kind))
    assert kind.numbers(run) == [0, 1]
    assert not torn.exists()
    kind.verify(run)
    info = kind.info(run, 1)
    assert list(some_commit(kind).info) == list(info)[1 : 1 + len(kind.required)]
    tables = {"completions.parquet"}
    tables |= {"instructions.parquet"} if kind.has_instructions else set()
    if kind.has_chats:
        tables |= {"conversations.parquet", "turns.parquet"}
    elif kind.has_judgements:
        tables |= {"judgements.parquet"}
    else:
        tables |= {"revisions.parquet"} if kind.has_revisions else {"instances.parquet"}
    assert set(info["checksums"]) == tables
    assert kind.read_completions(run, 1) == []
    if kind.has_chats:
        assert kind.read_chats(run, 1) == kind.read_turns(run, 1) == []
    elif kind.has_judgements:
        assert kind.read_judgements(run, 1) == []
    elif kind.has_revisions:
        assert kind.read_revisions(run, 1) == []
    elif kind.has_answers:
        assert kind.read_answers(run, 1) == []
    else:
        assert kind.read_instances(run, 1) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_commit_is_refused(run: Run, kind: CommitKind) -> None:
    kind.commit(run, some_commit(kind))
    with pytest.raises(StoreError, match=rf"{kind.name}\.json: is damaged \(no valid seconds\)"):
        kind.info(run, 0, {"seconds": float})
    (kind.path(run, 0) / "completions.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match=r"completions\.parquet: is not what was committed"):
        kind.verify(run)
    for key in kind.required:
        edit(run, kind, lambda info, key=key: info.update({key: ["no"]}))
    with pytest.raises(StoreError, match=rf"no valid {', '.join(kind.required)}"):
        kind.info(run, 0)
    edit(run, kind, lambda info: info.update(schema_version=99))
    with pytest.raises(StoreError, match="newer than this program"):
        kind.verify(run)


def test_a_model_without_its_identity_is_refused(run: Run) -> None:
    for kind in KINDS:
        if kind.model_keys:
            kind.commit(run, some_commit(kind))
            edit(run, kind, lambda info: info["model"].pop("digest"))
            with pytest.raises(StoreError, match="no valid model"):
                kind.info(run, 0)


def test_a_supplement_of_a_round_that_is_gone_is_refused(run: Run) -> None:
    SUPPLEMENTS.commit(run, some_commit(SUPPLEMENTS))
    read_completed(run)
    for number in run.rounds():
        shutil.rmtree(run.round_path(number))
    with pytest.raises(StoreError, match="00000 of 1 are missing"):
        read_completed(run)
    (run.path / ".commits.json").unlink()  # a run that is older than this file
    with pytest.raises(StoreError, match="which is missing"):
        read_completed(run)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_export_does_not_go_into_a_commit(run: Run, kind: CommitKind) -> None:
    with pytest.raises(ConfigError, match="is a part of the run itself"):
        export(run, Format.MESSAGES, run.path / kind.name / "train.jsonl")
