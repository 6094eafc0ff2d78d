"""Ratings: the last one counts, undo goes one step back, majority settles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.audit.rating import rate, rater_progress, undo_rating
from selfinstruct.audit.sample import draw_sample
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.labels import (
    Label,
    Labels,
    Rating,
    agreement,
    fold_labels,
    labels_path,
    read_labels,
    settled,
)
from selfinstruct.store import Run

ratings = st.builds(
    Label,
    st.sampled_from("xyz"),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(Rating),
    st.just(""),
)
undone = st.builds(
    Label, st.sampled_from("xyz"), st.sampled_from(["ann", "bob"]), st.none(), st.just("")
)
entries = st.lists(ratings | undone)


@given(entries, ratings)
def test_the_last_rating_counts(before: list[Label], last: Label) -> None:
    current = fold_labels([*before, last])
    assert current[last.id, last.rater] is last.rating
    assert list(current)[-1] == (last.id, last.rater)


@given(entries, ratings)
def test_undo_is_the_inverse(before: list[Label], last: Label) -> None:
    taken = Label(last.id, last.rater, None, "")
    assert fold_labels([*before, last, taken]) == fold_labels(before)


def of(*given: tuple[str, str, str]) -> Labels:
    current = {(id, rater): Rating(rating) for id, rater, rating in given}
    return Labels([], current, [])


def test_the_majority_settles_and_a_tie_does_not() -> None:
    votes = [("x", "ann", "A"), ("x", "bob", "B"), ("x", "cid", "D"), ("y", "ann", "C")]
    votes += [("z", "ann", "A"), ("z", "bob", "C")]
    assert settled(of(*votes)) == {"x": True, "y": False}
    assert settled(of(*votes, ("z", "cid", "D"))) == {"x": True, "y": False, "z": False}


def test_agreement_needs_two() -> None:
    assert agreement(of(("x", "ann", "A"), ("y", "ann", "D"))) is None
    same = [(id, rater, rating) for id, rating in zip("xyz", "ABD") for rater in ("ann", "bob")]  # noqa: B905
    assert agreement(of(*same)) == 1.0


def test_rating_goes_on_where_it_was_left(small: Run) -> None:
    sample = draw_sample(small, 3)
    seen: list[str] = []
    for rating in "ABC":
        at = rater_progress(sample, read_labels(small), "ann")
        assert at.rated == len(seen)
        assert at.total == len(sample.ids)
        assert at.next_id is not None
        assert at.next_id not in seen
        seen.append(at.next_id)
        rate(small, at.next_id, Rating(rating), "ann")
    assert rater_progress(sample, read_labels(small), "bob").rated == 0
    skipped = rater_progress(sample, read_labels(small), "ann").next_id
    assert skipped is not None
    assert rater_progress(sample, read_labels(small), "ann", [skipped]).next_id not in (
        *seen,
        skipped,
    )
    taken = undo_rating(small, "ann")
    assert taken is not None
    assert (taken.id, taken.rating) == (seen[2], Rating.C)
    assert rater_progress(sample, read_labels(small), "ann").next_id == seen[2]
    assert undo_rating(small, "bob") is None
    for id in sample.ids:
        rate(small, id, Rating.A, "ann")
    assert rater_progress(sample, read_labels(small), "ann").next_id is None
    assert read_labels(small).raters == ["ann"]


def test_what_cannot_be_rated_is_said(small: Run) -> None:
    with pytest.raises(ConfigError, match="there is no sample to rate; draw one"):
        rate(small, "r00000-p000-i00", Rating.A, "ann")
    sample = draw_sample(small, 1)
    other = next(
        r.id for n in small.rounds() for r in small.instructions(n) if r.id not in sample.ids
    )
    with pytest.raises(ConfigError, match="is not in the sample"):
        rate(small, other, Rating.A, "ann")
    with pytest.raises(ConfigError, match="give --rater NAME"):
        rate(small, sample.ids[0], Rating.A, " ")
    assert not labels_path(small).exists()


def test_odd_lines_are_told_and_skipped(small: Run) -> None:
    sample = draw_sample(small, 1)
    rate(small, sample.ids[0], Rating.B, "ann")
    with labels_path(small).open("a") as handle:
        handle.write('{"id": "x"}\n{"id": "x", "rater": "a", "rating": "E", "at": ""}\n{"id')
    rate(small, sample.ids[1], Rating.D, "ann")
    found = read_labels(small)
    assert [entry.rating for entry in found.entries] == [Rating.B, Rating.D]
    assert [line.number for line in found.damaged] == [2, 3]
