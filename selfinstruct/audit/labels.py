"""A person's ratings, on the scale of the paper (§4.3 of arXiv:2212.10560).

`labels.jsonl` holds one rating a line and only grows. A rater's last rating of an id counts;
`undo` takes it back. Good is A or B. Several raters settle a label by majority of good and
bad; a tie settles nothing, and another rater decides it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from selfinstruct.audit.agreement import ordinal_alpha
from selfinstruct.audit.decisions import now
from selfinstruct.audit.sample import Sample, newest_sample, rating_order
from selfinstruct.errors import ConfigError
from selfinstruct.store import Run
from selfinstruct.store.journal import DamagedLine, append_line, parse_lines

FILE = "labels.jsonl"
_UNDO = "undo"


class Rating(StrEnum):
    """The scale, best first."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"

    @property
    def is_good(self) -> bool:
        return self in (Rating.A, Rating.B)


RATING_HELP: dict[Rating, str] = {
    Rating.A: "valid and satisfying",
    Rating.B: "acceptable, with minor imperfections",
    Rating.C: "relevant, but with significant errors",
    Rating.D: "irrelevant or invalid",
}


@dataclass(frozen=True, slots=True)
class Label:
    """A line of labels.jsonl; rating None takes the rater's last rating of the id back."""

    id: str
    rater: str
    rating: Rating | None
    at: str


@dataclass(frozen=True)
class Labels:
    """All ratings of a run; `current` is by (id, rater), in the order in which they were given."""

    entries: Sequence[Label]
    current: Mapping[tuple[str, str], Rating]
    damaged: Sequence[DamagedLine]

    @property
    def raters(self) -> list[str]:
        """Everyone who has a rating that counts, in alphabetical order."""
        return sorted({rater for _, rater in self.current})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is with a sample; `next_id` is None at its end."""

    rater: str
    rated: int
    total: int
    next_id: str | None


def labels_path(run: Run) -> Path:
    return run.path / FILE


def read_labels(run: Run) -> Labels:
    """Return the ratings of a run; a line that cannot be read is reported and skipped.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    entries, damaged = parse_lines(labels_path(run), _parse, "rating")
    return Labels(entries, fold_labels(entries), damaged)


def fold_labels(entries: Sequence[Label]) -> dict[tuple[str, str], Rating]:
    """Return the rating that counts for each (id, rater), the latest last.

    An undo gives back the rating that the one it takes back had replaced.
    """
    standing: dict[tuple[str, str], list[Rating]] = {}
    for entry in entries:
        key = (entry.id, entry.rater)
        ratings = standing.pop(key, [])
        if entry.rating is not None:
            ratings.append(entry.rating)
        elif ratings:
            ratings.pop()
        if ratings:
            standing[key] = ratings
    return {key: ratings[-1] for key, ratings in standing.items()}


def rate(run: Run, id: str, rating: Rating, rater: str) -> Label:
    """Record a rating; it takes the place of an earlier one of this rater.

    Raises:
        ConfigError: the id is not in the newest sample, or the rater has no name.
        WriteError: the disk refuses.
    """
    sample = needed_sample(run)
    if id not in sample.ids:
        raise ConfigError(f"{id}: is not in the sample (number {sample.number}) that is rated now")
    if not rater.strip():
        raise ConfigError("nobody is named who rates; give --rater NAME")
    return _append(run, Label(id, rater, rating, now()))


def undo_rating(run: Run, rater: str) -> Label | None:
    """Take back a rater's last rating, and return it; None where there is none.

    Raises:
        WriteError: the disk refuses.
    """
    own = [(key[0], rating) for key, rating in read_labels(run).current.items() if key[1] == rater]
    if not own:
        return None
    id, rating = own[-1]
    taken = _append(run, Label(id, rater, None, now()))
    return Label(id, rater, rating, taken.at)


def needed_sample(run: Run) -> Sample:
    """Return the newest sample of a run.

    Raises:
        ConfigError: none was drawn.
        StoreError: it is damaged.
    """
    sample = newest_sample(run)
    if sample is None:
        raise ConfigError(
            f"{run.path}: there is no sample to rate; draw one with: audit sample {run.path}"
        )
    return sample


def progress(sample: Sample, labels: Labels, rater: str, skip: Sequence[str] = ()) -> Progress:
    """Return how far a rater is; `skip` holds ids to pass over for now."""
    order = rating_order(sample, rater)
    open_ids = [id for id in order if (id, rater) not in labels.current]
    passed_over = set(skip)
    following = next((id for id in open_ids if id not in passed_over), None)
    return Progress(rater, len(order) - len(open_ids), len(order), following)


def settled(labels: Labels) -> dict[str, bool]:
    """Return for each rated id whether it is good, by majority; ties are left out."""
    votes: Counter[str] = Counter()
    for (id, _), rating in labels.current.items():
        votes[id] += 1 if rating.is_good else -1
    return {id: balance > 0 for id, balance in votes.items() if balance}


def agreement(labels: Labels) -> float | None:
    """Return Krippendorff's ordinal alpha of all raters; None where no two rated the same.

    1 is full agreement, 0 that of chance.
    """
    units: dict[str, list[int]] = {}
    scale = list(Rating)
    for (id, _), rating in labels.current.items():
        units.setdefault(id, []).append(scale.index(rating))
    return ordinal_alpha(list(units.values()))


def _append(run: Run, label: Label) -> Label:
    rating = _UNDO if label.rating is None else str(label.rating)
    line = {"id": label.id, "rater": label.rater, "rating": rating, "at": label.at}
    append_line(labels_path(run), line)
    return label


def _parse(line: Mapping[str, Any]) -> Label:
    values = [line[name] for name in ("id", "rater", "rating", "at")]
    if not all(isinstance(value, str) for value in values):
        raise TypeError("id, rater, rating and at are texts")
    id, rater, rating, at = values
    return Label(id, rater, None if rating == _UNDO else Rating(rating), at)
