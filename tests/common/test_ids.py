"""Ids are made and taken apart in one place; their forms are a contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common import ids
from selfinstruct.common.records import Stage

NUMBERS = st.integers(0, 200_000)


def test_the_forms_that_other_programs_rely_on() -> None:
    proposal = ids.proposal(3, 12)
    instruction = ids.instruction(proposal, 4)
    instance = ids.instance(instruction, 0)
    assert (proposal, instruction, instance) == (
        *("r00003-p012", "r00003-p012-i04"),
        "r00003-p012-i04-n0",
    )
    assert ids.answer(instance, 0) == "r00003-p012-i04-n0-a00000"
    assert ids.typed(instruction) == "r00003-p012-i04-typed"
    assert ids.request(proposal, Stage.PROPOSE) == "r00003-p012-propose"
    assert ids.request(instruction, Stage.CLASSIFY) == "r00003-p012-i04-classify"
    assert ids.request(instruction, Stage.INSTANCES) == "r00003-p012-i04-instances"
    assert ids.score(instance) == "r00003-p012-i04-n0-score"
    assert (ids.seed("x"), ids.avoid(2)) == ("seed:x", "avoid:2")
    assert (ids.origin("seed:a:b"), ids.origin("avoid:1")) == ("seed", "avoid")


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_made_is_taken_apart(round: int, number: int, item: int, place: int) -> None:
    proposal = ids.proposal(round, number)
    instruction = ids.instruction(proposal, item)
    instance = ids.instance(instruction, place)
    assert ids.proposal_of(instruction) == proposal
    assert ids.instruction_of(instance) == ids.instruction_of(instruction) == instruction
    assert ids.order(instance) == (round, number, item, place)
    assert ids.is_candidate(instruction)
    assert ids.is_candidate(instance)
    for stage in Stage:
        assert ids.about(ids.request(instance, stage), stage) == instance
    moved = ids.renumbered(instance, 7)
    assert ids.order(moved) == (round + 7, number, item, place)


@pytest.mark.parametrize(
    "id", ["seed:r00001-p000-i00", "avoid:1", "r1-p0-i0", "r00001-p000", "r00001-p000-i00-typed"]
)
def test_what_is_no_candidate(id: str) -> None:
    assert not ids.is_candidate(id)


def test_only_ids_of_rounds_are_renumbered() -> None:
    assert ids.renumbered("seed:r00001", 3) == "seed:r00001"
    assert ids.renumbered("avoid:1", 3) == "avoid:1"
