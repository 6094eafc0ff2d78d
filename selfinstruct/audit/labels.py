"""A person's ratings, on the scale of the paper (§4.3 of arXiv:2212.10560).

`labels.jsonl` holds one rating a line and only grows. A rater's last rating of an id counts;
`undo` takes it back. Good is A or B. Several raters settle a label by majority of good and
bad; a tie settles nothing, and another rater decides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from selfinstruct.audit.sample import Sample
from selfinstruct.store import Run
from selfinstruct.store.journal import DamagedLine


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


def read_labels(run: Run) -> Labels:
    """Return the ratings of a run; a line that cannot be read is reported and skipped.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    raise NotImplementedError


def rate(run: Run, id: str, rating: Rating, rater: str) -> Label:
    """Record a rating; it takes the place of an earlier one of this rater.

    Raises:
        ConfigError: the id is not in the newest sample, or the rater has no name.
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def undo_rating(run: Run, rater: str) -> Label | None:
    """Take back a rater's last rating, and return it; None where there is none.

    Raises:
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def progress(sample: Sample, labels: Labels, rater: str, skip: Sequence[str] = ()) -> Progress:
    """Return how far a rater is; `skip` holds ids to pass over for now."""
    raise NotImplementedError


def settled(labels: Labels) -> dict[str, bool]:
    """Return for each rated id whether it is good, by majority; ties are left out."""
    raise NotImplementedError


def agreement(labels: Labels) -> float | None:
    """Return Krippendorff's ordinal alpha of all raters; None where no two rated the same.

    1 is full agreement, 0 that of chance.
    """
    raise NotImplementedError
