"""REST: what people decide and find: overrides, samples, ratings, error rates."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from selfinstruct.audit.error_rates import Measured, measure
from selfinstruct.audit.rating import RaterProgress, rate, rater_progress, undo_rating
from selfinstruct.audit.sample import BlindText, Sample, blind_texts, draw_sample, newest_sample
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.decide import Words, drop, edit, restore, undo
from selfinstruct.decisions.labels import Label, Labels, agreement, read_labels
from selfinstruct.decisions.overrides import Action, Override, read_overrides
from selfinstruct.store import Run
from selfinstruct.web.api import PROBLEMS
from selfinstruct.web.bodies import Decision, RatingGiven, SampleWanted
from selfinstruct.web.errors import NotFoundError
from selfinstruct.web.service import RunOf

router = APIRouter(prefix="/runs/{name}", responses=PROBLEMS)


@dataclass(frozen=True)
class Ratings:
    """All ratings of a run, and how far its raters agree (Krippendorff's ordinal alpha)."""

    entries: list[Label]
    raters: list[str]
    agreement: float | None


@dataclass(frozen=True)
class Turn:
    """What a rater is to rate next, and how far they are; `text` is None at the end."""

    progress: RaterProgress
    text: BlindText | None


@router.get("/overrides", tags=["overrides"])
def get_overrides(run: RunOf) -> list[Override]:
    """List every decision about a run's candidates, the oldest first."""
    return list(read_overrides(run).entries)


@router.post("/overrides", tags=["overrides"], status_code=201)
def post_override(run: RunOf, decision: Decision) -> Override:
    """Restore, drop or edit a candidate, or take the last decision about it back."""
    return decide(run, decision)


@router.get("/sample", tags=["labels"])
def get_sample(run: RunOf) -> Sample:
    """Return the sample that is being rated."""
    return sample_of(run)


@router.post("/sample", tags=["labels"], status_code=201)
def post_sample(run: RunOf, wanted: SampleWanted) -> Sample:
    """Draw a stratified sample to rate; ratings of the one before go on counting."""
    return draw_sample(run, wanted.per_reason, wanted.seed, wanted.tables)


@router.get("/labels", tags=["labels"])
def get_labels(run: RunOf) -> Ratings:
    """List every rating."""
    labels = read_labels(run)
    return Ratings(list(labels.entries), labels.raters, agreement(labels))


@router.get("/labels/next", tags=["labels"])
def get_next(run: RunOf, rater: str) -> Turn:
    """Return the next text of the sample for a rater: the text alone, so that they rate blind."""
    return turn_of(run, rater)


@router.post("/labels", tags=["labels"], status_code=201)
def post_label(run: RunOf, given: RatingGiven) -> Label | None:
    """Record a rating, or take the rater's last one back (null, if there is none)."""
    if given.rating is None:
        return undo_rating(run, given.rater)
    if given.id is None:
        raise ConfigError("rating: says nothing without the id that it is of")
    return rate(run, given.id, given.rating, given.rater)


@router.get("/error-rates", tags=["labels"])
def get_error_rates(run: RunOf) -> Measured | None:
    """Return how often the filters err, by the ratings so far; null before there are any."""
    return measure(run)


def decide(run: Run, decision: Decision) -> Override:
    """Record a decision.

    Raises:
        ConfigError: it cannot be taken about this candidate.
    """
    id, by, note = decision.id, decision.by, decision.note
    match decision.action:
        case Action.RESTORE:
            return restore(run, id, by=by, note=note)
        case Action.DROP:
            return drop(run, id, by=by, note=note)
        case Action.UNDO:
            return undo(run, id, by=by, note=note)
        case Action.EDIT:
            texts = {"text": decision.text, "input": decision.input, "output": decision.output}
            return edit(run, id, Words(**texts), by=by, note=note)


def sample_of(run: Run) -> Sample:
    """Return the newest sample.

    Raises:
        NotFoundError: none was drawn.
    """
    sample = newest_sample(run)
    if sample is None:
        raise NotFoundError(f"run {run.name!r}: no sample was drawn yet; draw one first")
    return sample


def turn_of(run: Run, rater: str, skip: tuple[str, ...] = ()) -> Turn:
    """Return what a rater is to rate next.

    Raises:
        NotFoundError: no sample was drawn.
    """
    labels: Labels = read_labels(run)
    found = rater_progress(sample_of(run), labels, rater, skip)
    text = blind_texts(run, [found.next_id])[0] if found.next_id else None
    return Turn(found, text)
