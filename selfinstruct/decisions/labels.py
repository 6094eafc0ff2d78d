"""A person's ratings, on the scale of the paper (§4.3 of arXiv:2212.10560).

`labels.jsonl` has one rating per line and only grows. A rater's last rating of an id counts;
`undo` takes it back. A and B are good. If several people rate, the majority of good or bad settles
a label; a tie needs another rater.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from selfinstruct.common.agreement import ordinal_alpha
from selfinstruct.common.jsonlines import DamagedLine, append_line, parse_lines
from selfinstruct.store import Run
from selfinstruct.store.layout import LABELS

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
    """A line of labels.jsonl; rating None undoes the rater's last rating of the id."""

    id: str
    rater: str
    rating: Rating | None
    at: str


@dataclass(frozen=True)
class Labels:
    """All ratings of a run; `current` is by (id, rater), in order of time."""

    entries: Sequence[Label]
    current: Mapping[tuple[str, str], Rating]
    damaged: Sequence[DamagedLine]

    @property
    def raters(self) -> list[str]:
        """All raters with a rating that counts, in alphabetical order."""
        return sorted({rater for _, rater in self.current})


def labels_path(run: Run) -> Path:
    return run.path / LABELS


def read_labels(run: Run) -> Labels:
    """Return the ratings of a run; a line that cannot be read is reported and skipped.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    entries, damaged = parse_lines(labels_path(run), _parse, "rating")
    return Labels(entries, fold_labels(entries), damaged)


def fold_labels(entries: Sequence[Label]) -> dict[tuple[str, str], Rating]:
    """Return the rating that counts for each (id, rater), the latest last.

    An undo restores the rater's previous rating of the id.
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


def settled(labels: Labels) -> dict[str, bool]:
    """Return for each rated id whether it is good, by majority; ties are left out."""
    votes: Counter[str] = Counter()
    for (id, _), rating in labels.current.items():
        votes[id] += 1 if rating.is_good else -1
    return {id: balance > 0 for id, balance in votes.items() if balance}


def agreement(labels: Labels) -> float | None:
    """Return Krippendorff's ordinal alpha of all raters; None if no two rated the same id.

    1 is full agreement, 0 is chance.
    """
    units: dict[str, list[int]] = {}
    scale = list(Rating)
    for (id, _), rating in labels.current.items():
        units.setdefault(id, []).append(scale.index(rating))
    return ordinal_alpha(list(units.values()))


def append_label(run: Run, label: Label) -> Label:
    """Record a line; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses.
    """
    rating = _UNDO if label.rating is None else str(label.rating)
    line = {"id": label.id, "rater": label.rater, "rating": rating, "at": label.at}
    append_line(labels_path(run), line, summed=True)
    return label


def _parse(line: Mapping[str, Any]) -> Label:
    values = [line[name] for name in ("id", "rater", "rating", "at")]
    if not all(isinstance(value, str) for value in values):
        raise TypeError("id, rater, rating and at are texts")
    id, rater, rating, at = values
    return Label(id, rater, None if rating == _UNDO else Rating(rating), at)
