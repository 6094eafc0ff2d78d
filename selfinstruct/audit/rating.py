"""Rate the newest sample of a run: the next candidate, and the recorded ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.audit.sample import Sample, newest_sample, rating_order
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.decide import now
from selfinstruct.decisions.labels import Label, Labels, Rating, append_label, read_labels
from selfinstruct.store import Run


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """A rater's progress in a sample; `next_id` is None at its end."""

    rater: str
    rated: int
    total: int
    next_id: str | None


def rate(run: Run, id: str, rating: Rating, rater: str) -> Label:
    """Record a rating; it replaces an earlier one of this rater.

    Raises:
        ConfigError: the id is not in the newest sample, or the rater has no name.
        WriteError: the disk refuses.
    """
    sample = needed_sample(run)
    if id not in sample.ids:
        raise ConfigError(f"{id}: is not in the sample (number {sample.number}) that is rated now")
    if not rater.strip():
        raise ConfigError("the rater has no name; give --rater NAME")
    return append_label(run, Label(id, rater, rating, now()))


def undo_rating(run: Run, rater: str) -> Label | None:
    """Undo a rater's last rating, and return it; None if there is none.

    Raises:
        WriteError: the disk refuses.
    """
    own = [(key[0], rating) for key, rating in read_labels(run).current.items() if key[1] == rater]
    if not own:
        return None
    id, rating = own[-1]
    taken = append_label(run, Label(id, rater, None, now()))
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


def rater_progress(
    sample: Sample, labels: Labels, rater: str, skip: Sequence[str] = ()
) -> RaterProgress:
    """Return a rater's progress; `skip` has ids to pass over for now."""
    order = rating_order(sample, rater)
    open_ids = [id for id in order if (id, rater) not in labels.current]
    passed_over = set(skip)
    following = next((id for id in open_ids if id not in passed_over), None)
    return RaterProgress(rater, len(order) - len(open_ids), len(order), following)
