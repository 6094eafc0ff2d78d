"""Error rates: worked by hand, and 500 simulated labelings of a run whose quality is planted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from selfinstruct.audit.error_rates import (
    ErrorRates,
    WhatIfRates,
    error_rates,
    measure,
    rates_after,
    what_if_rates,
)
from selfinstruct.audit.estimates import Estimate
from selfinstruct.audit.intervals import good_in_population
from selfinstruct.audit.rating import rate
from selfinstruct.audit.sample import Sample, draw_sample, draw_strata, ids_by_outcome
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.labels import Rating
from selfinstruct.store import Run
from selfinstruct.store.layout import HEADS
from selfinstruct.verdicts.whatif import PENDING, Thresholds, WhatIf, what_if

TABLE = "instructions"
LABELINGS = 500


def sampled(population: Mapping[str, Sequence[str]], per_reason: int, seed: int = 0) -> Sample:
    strata = draw_strata({(TABLE, key): ids for key, ids in population.items()}, per_reason, seed)
    return Sample(0, seed, per_reason, 1, "", strata)


def shares(found: Estimate) -> tuple[float | None, float, float]:
    return found.value, found.low, found.high


def test_by_hand() -> None:
    population = {ACCEPTED: list("abcd"), "not_novel": list("efghij"), "too_long": list("kl")}
    sample = sampled(population, 9)
    # All rated: 3 of 4 accepted are good, 2 of 6 and 0 of 2 rejected; nothing is left to guess.
    good = {id: id in "abcef" for ids in population.values() for id in ids}
    found = error_rates(sample, TABLE, good)
    assert [one.outcome for one in found.strata] == [ACCEPTED, "not_novel", "too_long"]
    assert shares(found.false_accept) == pytest.approx((1 / 4, 1 / 4, 1 / 4))
    assert shares(found.precision) == pytest.approx((3 / 4, 3 / 4, 3 / 4))
    assert shares(found.false_reject) == pytest.approx((2 / 8, 2 / 8, 2 / 8))
    assert shares(found.recall) == pytest.approx((3 / 5, 3 / 5, 3 / 5))
    assert shares(found.strata[1].share) == pytest.approx((2 / 6, 2 / 6, 2 / 6))
    assert found.unrated == []


def test_strata_count_by_their_size() -> None:
    population = {ACCEPTED: [f"a{n}" for n in range(10)], "not_novel": [f"b{n}" for n in range(90)]}
    sample = sampled(population, 10)
    good = {id: id.startswith("a") or n % 2 == 0 for n, id in enumerate(sample.ids)}
    found = error_rates(sample, TABLE, good)
    assert found.precision == Estimate(1.0, 1.0, 1.0)
    assert found.false_reject.value == 0.5
    assert found.recall.value == pytest.approx(10 / (10 + 45))  # not 10 / 15
    whole = good_in_population(90, 10, 5)
    assert (found.recall.low, found.recall.high) == pytest.approx(
        (10 / (10 + whole.high), 10 / (10 + whole.low))
    )


def test_what_nobody_rated_is_unknown_and_not_guessed() -> None:
    population = {ACCEPTED: list("abcd"), "not_novel": list("efgh"), "too_long": list("kl")}
    good = {id: id in "abce" for id in "abcdefgh"}
    found = error_rates(sampled(population, 9), TABLE, good)
    assert found.unrated == ["too_long"]
    assert found.false_accept.value == pytest.approx(1 / 4)
    assert shares(found.strata[2].share) == (None, 0.0, 1.0)
    # 1 of 6 rejected if none of the two is good, 3 of 6 if both are.
    assert shares(found.false_reject) == pytest.approx((None, 1 / 6, 3 / 6))
    assert (found.recall.value, found.recall.low) == (None, pytest.approx(3 / 6))
    assert found.recall.high == pytest.approx(3 / 4)


def test_nothing_good_and_nothing_accepted() -> None:
    found = error_rates(sampled({"not_novel": list("ab")}, 9), TABLE, {"a": False, "b": False})
    assert shares(found.precision) == (None, 0.0, 1.0)
    assert shares(found.recall) == (None, 0.0, 1.0)
    assert shares(found.false_reject) == (0.0, 0.0, 0.0)


def planted(id: str, outcome: str) -> bool:
    """Whether a candidate is good: as often as its outcome says, at random but always alike."""
    often = {ACCEPTED: 0.85, "not_novel": 0.6, "no_instances": 0.35, "low_likelihood": 0.2}
    number = int.from_bytes(hashlib.sha256(f"truth {id}".encode()).digest()[:4], "big")
    return number / 2**32 < often.get(outcome, 0.02)


def covered(labelings: Iterable[tuple[Estimate, float]]) -> float:
    """The share of intervals that hold the truth."""
    held = [found.low - 1e-9 <= truth <= found.high + 1e-9 for found, truth in labelings]
    assert len(held) == LABELINGS
    return sum(held) / len(held)


def truths(
    kept: Sequence[str], fallen: Sequence[str], is_good: Mapping[str, bool]
) -> dict[str, float]:
    good_kept, good_fallen = (sum(is_good[id] for id in ids) for ids in (kept, fallen))
    return {
        "precision": good_kept / len(kept),
        "false_accept": 1 - good_kept / len(kept),
        "false_reject": good_fallen / len(fallen),
        "recall": good_kept / (good_kept + good_fallen),
    }


def test_intervals_cover_a_planted_truth(large: Run) -> None:
    population = ids_by_outcome(large, TABLE)
    # Strata of few candidates as well, and of rates at either end.
    rows = population["unsuitable_keyword"]
    population |= {"unsuitable_keyword": rows[12:], "too_long": rows[:7], "refusal": rows[7:12]}
    is_good = {id: planted(id, key) for key, ids in population.items() for id in ids}
    is_good |= dict.fromkeys(population["refusal"], True)
    is_good |= dict.fromkeys(population["too_long"][:3], True)
    fallen = [id for key, ids in population.items() if key != ACCEPTED for id in ids]
    found: list[ErrorRates] = []
    for seed in range(LABELINGS):
        sample = sampled(population, 40, seed)
        found.append(error_rates(sample, TABLE, {id: is_good[id] for id in sample.ids}))
    for name, truth in truths(population[ACCEPTED], fallen, is_good).items():
        share = covered((getattr(one, name), truth) for one in found)
        assert 0.90 <= share <= 0.99, (name, share)
    sizes = {}
    for place, stratum in enumerate(found[0].strata):
        ids = population[stratum.outcome]
        truth = sum(is_good[id] for id in ids) / len(ids)
        share = covered((one.strata[place].share, truth) for one in found)
        sizes[stratum.outcome] = (len(ids), stratum.rated)
        if stratum.rated == stratum.size:  # all rated: a point, and the right one
            assert share == 1
            assert stratum.share.low == stratum.share.high == pytest.approx(truth)
        elif 0.1 < truth < 0.9:
            assert 0.90 <= share <= 0.99, (stratum, share)
        else:  # near an end few intervals can miss
            assert share >= 0.90, (stratum, share)
    assert sizes["too_long"] == (7, 7)
    assert sizes["refusal"] == (5, 5)
    assert sum(rated < size for size, rated in sizes.values()) >= 4


@pytest.mark.parametrize(
    "wanted", [Thresholds(rouge=1.0, min_logprob=-3.0), Thresholds(rouge=0.4, min_logprob=-2.0)]
)
def test_intervals_under_other_thresholds_cover_a_planted_truth(
    large: Run, wanted: Thresholds
) -> None:
    population = ids_by_outcome(large, TABLE)
    is_good = {id: planted(id, key) for key, ids in population.items() for id in ids}
    changes = what_if(large, wanted).changes
    assert len(changes) > 20
    now = {id: key for key, ids in population.items() for id in ids}
    now |= {change.id: change.after for change in changes}
    kept = [id for id, outcome in now.items() if outcome in (ACCEPTED, PENDING)]
    fallen = [id for id in now if now[id] not in (ACCEPTED, PENDING)]
    found: list[WhatIfRates] = []
    for seed in range(LABELINGS):
        sample = sampled(population, 40, seed)
        good = {id: is_good[id] for id in sample.ids}
        found.append(rates_after(sample, TABLE, good, changes))
    assert {one.after.kept for one in found} == {len(kept)}
    for name, truth in truths(kept, fallen, is_good).items():
        share = covered((getattr(one.after, name), truth) for one in found)
        assert 0.90 <= share <= 0.99, (name, share)


def label_all(run: Run, is_good: Callable[[str], bool], raters: Sequence[str] = ("ann",)) -> Sample:
    sample = draw_sample(run, 8)
    for id in sample.ids:
        for rater in raters:
            rate(run, id, Rating.B if is_good(id) else Rating.C, rater)
    return sample


def test_a_run_is_measured_from_its_own_files(small: Run) -> None:
    assert measure(small) is None
    draw_sample(small, 2)
    assert measure(small) is None
    sample = label_all(small, lambda name: name.endswith(("0", "2")), raters=("ann", "bob"))
    rate(small, sample.ids[0], Rating.D, "cid")
    found = measure(small)
    assert found is not None
    assert (found.sample, found.rated, found.stale) == (1, len(sample.ids), False)
    assert found.raters == ["ann", "bob", "cid"]
    assert found.agreement is not None
    assert found.agreement > 0.8
    good = {id: id.endswith(("0", "2")) for id in sample.ids}
    assert found.tables == {TABLE: error_rates(sample, TABLE, good)}


def test_raters_who_are_even_settle_nothing(small: Run) -> None:
    sample = draw_sample(small, 2)
    for rater, rating in (("ann", Rating.A), ("bob", Rating.D)):
        rate(small, sample.ids[0], rating, rater)
    found = measure(small)
    assert found is not None
    assert (found.rated, found.unsettled) == (1, 1)
    assert found.tables[TABLE].strata[0].rated == 0


def test_the_recorded_thresholds_change_no_rate(small: Run) -> None:
    assert what_if_rates(small, what_if(small, Thresholds())) == []
    label_all(small, lambda name: name.endswith("0"))
    [found] = what_if_rates(small, what_if(small, Thresholds()))
    measured = measure(small)
    assert measured is not None
    assert found.before == found.after
    assert found.before.recall == measured.tables[TABLE].recall
    assert found.before.kept == 25


def test_a_looser_threshold_keeps_more_of_what_is_good(small: Run) -> None:
    label_all(small, lambda _: True)
    [found] = what_if_rates(small, what_if(small, Thresholds(rouge=0.95)))
    assert found.after.kept > found.before.kept
    assert found.after.recall.value is not None
    assert found.before.recall.value is not None
    assert found.after.recall.value > found.before.recall.value


def test_a_run_that_has_changed_wants_another_sample(small: Run) -> None:
    label_all(small, lambda _: True)
    last = small.rounds()[-1]
    small.round_path(last).rename(small.path / "gone")
    (small.path / HEADS).unlink()
    measured = measure(small)
    assert measured is not None
    assert measured.stale
    found: WhatIf = what_if(small, Thresholds())
    with pytest.raises(ConfigError, match=r"draw another: selfinstruct audit sample .* \(ratings"):
        what_if_rates(small, found)
    draw_sample(small, 8)
    assert what_if_rates(small, found)
