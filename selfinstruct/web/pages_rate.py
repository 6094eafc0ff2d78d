"""The page on which a person rates a sample, seeing the texts and nothing else."""

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
    """The next text for a rater; `skip` in the address holds those left for later."""
    rater = request.query_params.get("rater", "").strip()[:80]
    return _rate(run, request, rater, _skipped(request))


@router.post("/runs/{name}/rate", response_model=None)
def rated(run: RunOf, request: Request, form: FormOf) -> Response:
    """Record a rating or take one back; then the next text."""
    given = filled(form)
    if given.get("rating") == "undo":
        given = {"rater": given.get("rater", "")}
    try:
        wanted = RatingGiven.model_validate(given)
        if wanted.rating is None or wanted.id is None:
            undo_rating(run, wanted.rater)
        else:
            rate(run, wanted.id, wanted.rating, wanted.rater)
    except (ValidationError, ConfigError) as error:
        return _rate(run, request, given.get("rater", ""), [], explained(error))
    query = urlencode({"rater": wanted.rater, "skip": _skipped(request)}, doseq=True)
    address = f"{run_address(run.name)}/rate?{query}"
    response = RedirectResponse(address, status_code=303)
    remember_name(response, wanted.rater)
    return response


@router.post("/runs/{name}/sample", response_model=None)
def sampled(run: RunOf, request: Request, form: FormOf) -> Response:
    """Draw a sample; then the page to rate it."""
    given = filled(form)
    tables = given.pop("tables", "instructions")
    both = ["instructions", "instances"]
    try:
        wanted = SampleWanted.model_validate(
            {**given, "tables": both if tables == "both" else [tables]}
        )
        draw_sample(run, wanted.per_reason, wanted.seed, wanted.tables)
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
