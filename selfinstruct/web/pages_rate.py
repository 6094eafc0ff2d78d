"""The page on which a person rates a sample; it shows only the texts."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from selfinstruct.audit.rating import rate, undo_rating
from selfinstruct.audit.sample import draw_sample, newest_sample
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.labels import RATING_HELP, agreement, read_labels
from selfinstruct.store import Run
from selfinstruct.web.api_decisions import turn_of
from selfinstruct.web.bodies import RatingGiven, SampleWanted
from selfinstruct.web.forms import FormOf, explained, filled, remember_name, run_values, who
from selfinstruct.web.render import page, run_address
from selfinstruct.web.service import RunOf

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_MOST_SKIPPED = 200


@router.get("/runs/{name}/rate")
def rate_page(run: RunOf, request: Request) -> HTMLResponse:
    """The next text for a rater; `skip` in the address has the ids left for later."""
    rater = request.query_params.get("rater", "").strip()[:80]
    return _rate(run, request, rater, _skipped(request))


@router.post("/runs/{name}/rate", response_model=None)
def rated(run: RunOf, request: Request, form: FormOf) -> Response:
    """Record a rating or undo one; then show the next text."""
    fields = filled(form)
    if fields.get("rating") == "undo":
        fields = {"rater": fields.get("rater", "")}
    try:
        rating = RatingGiven.model_validate(fields)
        if rating.rating is None or rating.id is None:
            undo_rating(run, rating.rater)
        else:
            rate(run, rating.id, rating.rating, rating.rater)
    except (ValidationError, ConfigError) as error:
        return _rate(run, request, fields.get("rater", ""), [], explained(error))
    query = urlencode({"rater": rating.rater, "skip": _skipped(request)}, doseq=True)
    address = f"{run_address(run.name)}/rate?{query}"
    response = RedirectResponse(address, status_code=303)
    remember_name(response, rating.rater)
    return response


@router.post("/runs/{name}/sample", response_model=None)
def sampled(run: RunOf, request: Request, form: FormOf) -> Response:
    """Draw a sample; then show the page to rate it."""
    fields = filled(form)
    tables = fields.pop("tables", "instructions")
    both = ["instructions", "instances"]
    try:
        sample = SampleWanted.model_validate(
            {**fields, "tables": both if tables == "both" else [tables]}
        )
        draw_sample(run, sample.per_reason, sample.seed, sample.tables)
    except (ValidationError, ConfigError) as error:
        return _rate(run, request, "", [], explained(error))
    return RedirectResponse(f"{run_address(run.name)}/rate", status_code=303)


def _skipped(request: Request) -> list[str]:
    return request.query_params.getlist("skip")[-_MOST_SKIPPED:]


def _rate(
    run: Run, request: Request, rater: str, skip: list[str], problem: str | None = None
) -> HTMLResponse:
    sample, labels = newest_sample(run), read_labels(run)
    values = {
        "sample": sample,
        "rater": rater,
        "turn": turn_of(run, rater, tuple(skip)) if sample is not None and rater else None,
        "skipped": skip,
        "later": urlencode({"rater": rater, "skip": skip}, doseq=True),
        "raters": labels.raters,
        "agreement": agreement(labels),
        "scale": RATING_HELP,
        "who": who(request),
        "problem": problem,
    }
    return page("rate", {**run_values(run, "rate"), **values}, 422 if problem else 200)
