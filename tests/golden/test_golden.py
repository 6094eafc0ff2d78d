"""Runs of the past: they replay, export the same files, and go on as they would have gone on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.labels import read_labels
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.filters.rule import Of
from selfinstruct.filters.rules import RULES
from selfinstruct.store import open_run
from selfinstruct.verdicts.replay import replay
from tests.golden import workshop
from tests.golden.runs import EXPECTED, GOLDEN, HERE, RUNS

NAMES = sorted(GOLDEN)
# Version of the rules that recorded them.
RECORDED_BY = 3
# Runs by version 1 of the rules. The code that recorded how they grow gave new rounds the scores
# of version 2 (NaN, not 0, where nothing is near); the verdicts are the same.
FIRST_RULES = ("old_chat", "old_first")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs name their model by a path that starts in this folder.

    Copies need no fsync, and the same YAML is read hundreds of times: by libyaml, if it is there.
    """
    monkeypatch.chdir(HERE)
    monkeypatch.setattr("os.fsync", lambda handle: None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    monkeypatch.setattr("yaml.safe_load", partial(yaml.load, Loader=loader))


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def copy(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS / name, tmp_path / name))


def test_every_folder_is_a_golden_run() -> None:
    assert sorted(path.name for path in RUNS.iterdir()) == NAMES
    assert sorted(path.stem for path in EXPECTED.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_replays(name: str) -> None:
    assert replay(open_run(RUNS / name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_all_that_was_recorded_is_read(name: str) -> None:
    run = open_run(RUNS / name)
    run.verify()
    assert workshop.read_back(run) == expected(name)["read"]


@pytest.mark.parametrize("name", NAMES)
def test_exports_are_the_same(name: str, tmp_path: Path) -> None:
    """Of the formats of its time; a format that came later has tests of its own."""
    recorded = expected(name)["exports"]
    formats = {key for part in recorded.values() for key in part}
    assert workshop.exports(open_run(RUNS / name), tmp_path, formats) == recorded


@pytest.mark.parametrize("name", NAMES)
def test_a_what_if_says_the_same(name: str) -> None:
    assert workshop.judged_otherwise(open_run(RUNS / name)) == expected(name)["what_if"]


@pytest.mark.parametrize("name", NAMES)
def test_it_grows_as_it_would_have_grown(name: str, tmp_path: Path) -> None:
    folder = copy(name, tmp_path)
    found, wanted = workshop.grow(folder, GOLDEN[name]), expected(name)["grow"]
    if name in FIRST_RULES:
        for part in (*found["rounds"], *wanted["rounds"]):
            del part["scores"]
    same(found, wanted)
    assert replay(open_run(folder)) == []


@pytest.mark.parametrize(
    ("name", "ask"), [(name, ask) for name in NAMES for ask in GOLDEN[name].asks]
)
def test_what_is_asked_later_is_the_same(name: str, ask: str, tmp_path: Path) -> None:
    found = workshop.ASKS[ask](copy(name, tmp_path), GOLDEN[name])
    same(found, expected(name)[ask])


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare what was asked first, request by request: what is judged follows from it."""
    found = json.loads(json.dumps(found))
    assert list(found["asked"]) != [] or wanted["asked"] == {}
    assert sorted(found["asked"]) == sorted(wanted["asked"])
    for id, request in wanted["asked"].items():
        assert found["asked"][id] == request, id
    assert found == wanted


def test_every_reason_occurs() -> None:
    seen: Counter[str] = Counter()
    for name in NAMES:
        for part in ("rounds", "supplements", "answers"):
            for commit in expected(name)["read"][part]:
                seen.update(commit["instructions"])
                seen.update(commit["instances"])
    # A rule that came after these runs has tests of its own, and a golden run where it needs one.
    tasks = [rule for rule in RULES if rule.of in (Of.INSTRUCTION, Of.INSTANCE)]
    first = {rule.reason for rule in tasks if rule.since <= RECORDED_BY}
    # These are of a model's own answers (tests/generate/test_own_answers.py), which came later.
    first -= {"low_agreement", "no_match", "no_final_answer"}
    assert [reason for reason in first if not seen[reason]] == []
    assert seen[ACCEPTED] > 100


def test_self_chats_end_in_many_ways() -> None:
    seen: Counter[str] = Counter()
    for commit in expected("conversed")["read"]["conversations"]:
        seen.update(commit["chats"])
        seen.update(commit["turns"])
    assert {
        *(ACCEPTED, "short_chat", "user_done", "empty_turn", "repeats_turn", "refusal"),
        *("truncated", "unanswered", "low_likelihood", "after_end"),
    } <= seen.keys()


def test_revisions_end_in_many_ways() -> None:
    seen: Counter[str] = Counter()
    for commit in expected("revised")["read"]["revisions"]:
        seen.update(commit["outcomes"])
    assert {
        *(ACCEPTED, "no_critique", "no_revision", "copies_critique", "about_answer"),
        *("truncated", "refusal"),
    } <= seen.keys()


def test_what_people_decided_is_there() -> None:
    overrides = read_overrides(open_run(RUNS / "decided"))
    actions = Counter(str(entry.action) for entry in overrides.entries)
    assert {"restore", "drop", "edit", "undo"} <= actions.keys()
    assert any(entry.output and entry.input for entry in overrides.entries)
    labels = read_labels(open_run(RUNS / "decided"))
    assert labels.raters == ["ada", "bert"]
    assert overrides.damaged == labels.damaged == []
