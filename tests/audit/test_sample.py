"""Samples are random within strata, weigh up to the population, and hold one another."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.sample import (
    blind_texts,
    draw_sample,
    draw_strata,
    ids_by_outcome,
    newest_sample,
    rating_order,
    sample_path,
)
from selfinstruct.common.errors import ConfigError, StoreError
from selfinstruct.decisions.decide import drop
from selfinstruct.store import Run
from selfinstruct.store.layout import HEADS

populations = st.dictionaries(
    st.tuples(st.just("instructions"), st.sampled_from(["accepted", "not_novel", "too_long"])),
    st.lists(st.text("abc123", min_size=1), unique=True, max_size=40),
)


@given(populations, st.integers(1, 20), st.integers())
def test_weights_sum_to_the_population(
    population: dict[tuple[str, str], list[str]], per_reason: int, seed: int
) -> None:
    strata = draw_strata(population, per_reason, seed)
    assert {(one.table, one.outcome) for one in strata} == {
        k for k, ids in population.items() if ids
    }
    for one in strata:
        ids = population[one.table, one.outcome]
        assert set(one.drawn) <= set(ids)
        assert len(set(one.drawn)) == len(one.drawn) == min(per_reason, len(ids))
        assert one.weight * len(one.drawn) == pytest.approx(len(ids))


@given(populations, st.integers(1, 9), st.integers(0, 9), st.integers())
def test_a_larger_sample_holds_the_smaller_one(
    population: dict[tuple[str, str], list[str]], per_reason: int, more: int, seed: int
) -> None:
    small = draw_strata(population, per_reason, seed)
    large = draw_strata(population, per_reason + more, seed)
    for one, other in zip(small, large, strict=True):
        assert list(other.drawn[: len(one.drawn)]) == list(one.drawn)


def test_each_is_drawn_as_often_as_any_other() -> None:
    ids = [str(number) for number in range(20)]
    counts: Counter[str] = Counter()
    for seed in range(2000):
        [stratum] = draw_strata({("instructions", "accepted"): ids}, 5, seed)
        counts.update(stratum.drawn)
    # Each is drawn 500 times, give or take 19.4 (binomial).
    assert all(abs(counts[id] - 500) < 4 * 19.4 for id in ids)


def test_the_strata_of_a_run_are_its_outcomes(small: Run) -> None:
    sample = draw_sample(small, 5, seed=3, tables=("instructions", "instances"))
    found = summarise(small)
    for table, counts in (("instructions", found.instructions), ("instances", found.instances)):
        strata = [one for one in sample.strata if one.table == table]
        assert {one.outcome: one.size for one in strata} == counts
    assert newest_sample(small) == sample
    assert json.loads(sample_path(small, 0).read_text())["strata"][0]["weight"] == 5.0


def test_the_last_sample_counts_and_overrides_do_not(small: Run) -> None:
    first = draw_sample(small, 5)
    drop(small, first.strata[0].drawn[0], by="ann")
    second = draw_sample(small, 9)
    assert (first.number, second.number) == (0, 1)
    assert newest_sample(small) == second
    assert [one.size for one in first.strata] == [one.size for one in second.strata]


def test_raters_see_texts_alone_in_an_order_of_their_own(small: Run) -> None:
    sample = draw_sample(small, 5, tables=("instructions", "instances"))
    ann, bob = rating_order(sample, "ann"), rating_order(sample, "bob")
    assert sorted(ann) == sorted(bob) == sorted(sample.ids)
    assert ann != bob
    recorded = {row.id: row for n in small.rounds() for row in small.instructions(n)}
    examples = {row.id: row for n in small.rounds() for row in small.instances(n)}
    for text in blind_texts(small, ann):
        if text.table == "instructions":
            assert (text.instruction, text.output) == (recorded[text.id].text, None)
        else:
            row = examples[text.id]
            assert (text.input, text.output) == (row.input, row.output)
            assert text.instruction == recorded[row.instruction_id].text


def test_a_run_always_lists_its_ids_alike(small: Run) -> None:
    found = ids_by_outcome(small, "instructions")
    assert next(iter(found)) == "accepted"
    assert found == ids_by_outcome(small, "instructions")
    for outcome, ids in found.items():
        rows = [row for n in small.rounds() for row in small.instructions(n)]
        assert ids == [row.id for row in rows if (row.reason or row.verdict) == outcome]


def test_what_cannot_be_drawn_is_said(small: Run) -> None:
    with pytest.raises(ConfigError, match="draw at least 1"):
        draw_sample(small, 0)
    with pytest.raises(ConfigError, match="completions: is not a table"):
        draw_sample(small, 5, tables=("completions",))
    assert newest_sample(small) is None
    sample = draw_sample(small, 5)
    sample_path(small, sample.number).write_text("{")
    with pytest.raises(StoreError, match="draw another sample, the ratings stay"):
        newest_sample(small)
    assert draw_sample(small, 5).number == 1
    for number in small.rounds():
        small.round_path(number).rename(small.path / f"gone{number}")
    (small.path / HEADS).unlink()
    with pytest.raises(ConfigError, match="holds no candidate to rate yet"):
        draw_sample(small, 5)
