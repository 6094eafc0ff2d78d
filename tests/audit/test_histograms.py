"""Histograms hold every candidate once, with the thresholds of the run."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from selfinstruct.audit.histograms import histogram, seed_similarity
from selfinstruct.audit.search import Filter
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.layout import HEADS
from selfinstruct.verdicts.pool import first_index


@pytest.mark.parametrize("table", ["instructions", "instances"])
@pytest.mark.parametrize("column", ["rouge_l", "mean_logprob", "num_tokens", "words"])
def test_every_candidate_is_in_one_bin(small: Run, table: str, column: str) -> None:
    if (table, column) == ("instances", "rouge_l"):
        with pytest.raises(
            ConfigError, match="is not a score of instances; there are: mean_logprob"
        ):
            histogram(small, column, Filter(table))
        return
    found = histogram(small, column, Filter(table), bins=7)
    rows = [row for n in small.rounds() for row in getattr(small, table)(n)]
    assert sum(found.accepted) + sum(found.rejected) + found.unscored == len(rows)
    assert sum(found.accepted) <= sum(row.verdict == ACCEPTED for row in rows)
    assert len(found.accepted) == len(found.rejected) == len(found.edges) - 1 <= 7
    assert found.edges == sorted(set(found.edges))


def test_bins_by_hand(small: Run) -> None:
    found = histogram(small, "rouge_l", bins=10)
    scores = [row.rouge_l for n in small.rounds() for row in small.instructions(n) if row.reason]
    counts = Counter(min(9, int(score * 10)) for score in scores if not math.isnan(score))
    assert found.rejected == [counts[place] for place in range(10)]
    assert found.unscored == sum(
        math.isnan(row.rouge_l) for n in small.rounds() for row in small.instructions(n)
    )
    assert found.thresholds == {"novelty.threshold": 0.7}


def test_whole_numbers_have_bins_of_their_own(small: Run) -> None:
    found = histogram(small, "words", bins=40)
    counts = Counter(len(row.text.split()) for n in small.rounds() for row in small.instructions(n))
    both = [one + other for one, other in zip(found.accepted, found.rejected, strict=True)]
    assert {int(edge): n for edge, n in zip(found.edges, both, strict=False) if n} == dict(counts)
    assert found.thresholds == {"rules.min_words": 4.0, "rules.max_words": 150.0}


def test_the_thresholds_of_likelihood_are_those_of_the_last_round(small: Run) -> None:
    least = small.info(small.rounds()[-1])["likelihood"]
    assert histogram(small, "mean_logprob").thresholds == {"instruction": least["instruction"]}
    found = histogram(small, "mean_logprob", Filter("instances")).thresholds
    assert found == {k: v for k, v in least.items() if k != "instruction" and v is not None}


def test_filters_apply(small: Run) -> None:
    found = histogram(small, "num_tokens", Filter(reason="not_novel"))
    assert sum(found.accepted) == 0
    rows = [row for n in small.rounds() for row in small.instructions(n)]
    assert sum(found.rejected) == sum(row.reason == "not_novel" for row in rows)
    assert sum(histogram(small, "num_tokens", Filter(round=99)).rejected) == 0


def test_a_run_without_rounds_has_an_empty_one(small: Run) -> None:
    for number in small.rounds():
        small.round_path(number).rename(small.path / f"gone{number}")
    (small.path / HEADS).unlink()
    assert histogram(small, "rouge_l").accepted == [0]
    assert sum(seed_similarity(small).accepted) == 0


def test_distance_from_the_seeds(small: Run) -> None:
    found = seed_similarity(small, bins=10)
    accepted = [
        row.text for n in small.rounds() for row in small.instructions(n) if row.verdict == ACCEPTED
    ]
    pool = [(seed.pool_id, seed.instruction) for seed in stored_inputs(small).seeds]
    index = first_index(pool, stored_config(small))
    matches = [index.nearest(text, 0.0) for text in accepted]
    counts = Counter(min(9, int(match.score * 10)) if match else 0 for match in matches)
    assert found.accepted == [counts[place] for place in range(10)]
    assert sum(seed_similarity(small, limit=5).accepted) == 5
