"""A labelled set of good and bad texts of our own, by versions 2, 3 and 4 of the rules."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.records import Markers
from selfinstruct.common.versions import RULES_VERSION as NEWEST
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.filters.rule import InstanceFacts, InstructionFacts, Of, When, first_failure
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import load_prompts

LABELLED = Path(__file__).parents[1] / "data" / "labelled_texts.jsonl"
ROWS = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
GOOD = [row for row in ROWS if row["label"] == "good"]
BAD = [row for row in ROWS if row["label"] == "bad"]
# Of a model and a pool, which a text alone does not have.
_BY_SCORE = {"scorable", "novelty", "low_likelihood", "max_logprob"}


@cache
def rules(of: Of, version: int) -> list[Any]:
    steps = (When.TEXT, When.NOVELTY) if of is Of.INSTRUCTION else (When.TEXT,)
    own = rules_in_force(of, version)
    return [rule for rule in own if rule.when in steps and rule.name not in _BY_SCORE]


def reason(row: dict[str, Any], version: int) -> str | None:
    """The reason that the rules of a version give for a row."""
    config = RunConfig(rules_version=version)
    if row["kind"] == "instance":
        pair = InstanceFacts(row["instruction"], row["input"], row["output"], markers=Markers())
        failure = first_failure(rules(Of.INSTANCE, version), pair, config)
    else:
        index = NoveltyIndex(version=version)
        index.add_all((str(number), text) for number, text in enumerate(row.get("pool", ())))
        task = InstructionFacts(
            row["instruction"],
            prompt_lines=load_prompts().own_lines(),
            shown=tuple(row.get("shown", ())),
            held=index.held,
        )
        failure = first_failure(rules(Of.INSTRUCTION, version), task, config)
    return failure and failure.reason


def test_there_are_enough_of_both_kinds() -> None:
    for rows in (GOOD, BAD):
        assert len(rows) >= 120
        assert {row["kind"] for row in rows} == {"instruction", "instance"}
    texts = [(row["instruction"], row.get("input"), row.get("output")) for row in ROWS]
    assert len(texts) == len(set(texts))


def test_fewer_than_3_in_200_good_texts_are_rejected() -> None:
    for kind in ("instruction", "instance"):
        rows = [row for row in GOOD if row["kind"] == kind]
        rejected = [(reason(row, NEWEST), row) for row in rows if reason(row, NEWEST)]
        assert len(rejected) < 0.015 * len(rows), rejected
    # What version 3 is for.
    assert sum(reason(row, 2) is not None for row in GOOD) > 0.3 * len(GOOD)


def test_what_version_4_mends() -> None:
    mended = [row for row in GOOD if reason(row, 3) and not reason(row, 4)]
    assert {reason(row, 3) for row in mended} == {"too_short", "prompt_echo", "repetitive"}
    assert [row for row in GOOD if not reason(row, 3) and reason(row, 4)] == []


@pytest.mark.parametrize("expected", sorted({row["reason"] for row in BAD}))
def test_every_bad_text_is_rejected_for_its_reason(expected: str) -> None:
    rows = [row for row in BAD if row["reason"] == expected]
    found = [(row, reason(row, NEWEST)) for row in rows]
    assert [(row, given) for row, given in found if given != expected] == []


@pytest.mark.parametrize("version", range(2, NEWEST))
def test_no_bad_text_passes_that_an_older_version_rejected(version: int) -> None:
    assert [row for row in BAD if reason(row, version) and not reason(row, NEWEST)] == []
