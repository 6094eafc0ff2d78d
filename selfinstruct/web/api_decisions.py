"""REST: what people decide and rate: overrides, samples, ratings, error rates."""

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
    """All ratings of a run, and the agreement of its raters (Krippendorff's ordinal alpha)."""

    entries: list[Label]
    raters: list[str]
    agreement: float | None


@dataclass(frozen=True)
class Turn:
    """What a rater rates next, and their progress; `text` is None at the end."""

    progress: RaterProgress
    text: BlindText | None


@router.get("/overrides", tags=["overrides"])
def get_overrides(run: RunOf) -> list[Override]:
    """List every decision about a run's candidates, the oldest first."""
    return list(read_overrides(run).entries)


@router.post("/overrides", tags=["overrides"], status_code=201)
def post_override(run: RunOf, decision: Decision) -> Override:
    """Restore, drop or edit a candidate, or undo the last decision about it."""
    return decide(run, decision)


@router.get("/sample", tags=["labels"])
def get_sample(run: RunOf) -> Sample:
    """Return the sample that is being rated."""
    return sample_of(run)


@router.post("/sample", tags=["labels"], status_code=201)
def post_sample(run: RunOf, body: SampleWanted) -> Sample:
    """Draw a stratified sample to rate; ratings of earlier samples still count."""
    return draw_sample(run, body.per_reason, body.seed, body.tables)


@router.get("/labels", tags=["labels"])
def get_labels(run: RunOf) -> Ratings:
    """List every rating."""
    labels = read_labels(run)
    return Ratings(list(labels.entries), labels.raters, agreement(labels))


@router.get("/labels/next", tags=["labels"])
def get_next(run: RunOf, rater: str) -> Turn:
    """Return the next text of the sample for a rater: only the text, so that they rate blind."""
    return turn_of(run, rater)


@router.post("/labels", tags=["labels"], status_code=201)
def post_label(run: RunOf, body: RatingGiven) -> Label | None:
    """Record a rating, or undo the rater's last one (null if there is none)."""
    if body.rating is None:
        return undo_rating(run, body.rater)
    if body.id is None:
        raise ConfigError("rating: needs the id of its candidate")
    return rate(run, body.id, body.rating, body.rater)


@router.get("/error-rates", tags=["labels"])
def get_error_rates(run: RunOf) -> Measured | None:
    """Return the error rates of the filters, from the ratings so far; null without ratings."""
    return measure(run)


def decide(run: Run, decision: Decision) -> Override:
    """Record a decision.

    Raises:
        ConfigError: this candidate cannot be decided so.
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
    """Return what a rater rates next.

    Raises:
        NotFoundError: no sample was drawn.
    """
    labels: Labels = read_labels(run)
    progress = rater_progress(sample_of(run), labels, rater, skip)
    text = blind_texts(run, [progress.next_id])[0] if progress.next_id else None
    return Turn(progress, text)
