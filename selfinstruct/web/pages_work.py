"""Pages that start work and follow it: new runs, what-if, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.prompts.language import languages
from selfinstruct.store import Run, run_exists
from selfinstruct.web.api_jobs import judged
from selfinstruct.web.bodies import RunWanted, StopRules, WhatIfQuery, WhatIfSaved
from selfinstruct.web.forms import FormOf, explained, filled, run_values
from selfinstruct.web.jobs import Job
from selfinstruct.web.render import page
from selfinstruct.web.root import run_path
from selfinstruct.web.service import RunOf, Service, ServiceOf
from selfinstruct.web.work import complete_run, known_models, resume_run, save_what_if, start_run

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

# Changes that a what-if page lists; it counts the rest.
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Slider:
    """A threshold: the run's value (`was`; None: off), and the one to try."""

    name: str
    title: str
    low: float
    high: float
    step: float
    was: float | None
    value: float | None
    note: str = ""


@router.get("/new")
def new_page(service: ServiceOf) -> HTMLResponse:
    """The form for a new run."""
    return _new(service, {})


@router.post("/new", response_model=None)
def new_run(service: ServiceOf, form: FormOf) -> Response:
    """Start a run; then show its job."""
    try:
        new = RunWanted.model_validate(filled(form))
        job = start_run(service.jobs, service.root, new.new_run(), service.endpoints)
    except (ValidationError, ConfigError) as error:
        return _new(service, form, explained(error))
    return _to(job)


@router.post("/runs/{name}/resume", response_model=None)
def resumed(service: ServiceOf, run: RunOf, form: FormOf) -> Response:
    """Continue a run; then show its job."""
    try:
        rules = StopRules.model_validate(filled(form))
    except ValidationError as error:
        raise ConfigError(explained(error)) from error
    return _to(resume_run(service.jobs, run, rules.model_dump()))


@router.post("/runs/{name}/complete", response_model=None)
def completed(service: ServiceOf, run: RunOf) -> Response:
    """Write the missing instances; then show the job."""
    return _to(complete_run(service.jobs, run))


@router.get("/runs/{name}/what-if")
def what_if_page(run: RunOf, request: Request) -> HTMLResponse:
    """The verdicts of the thresholds in the address."""
    return _what_if(run, filled(dict(request.query_params)))


@router.post("/runs/{name}/what-if", response_model=None)
def what_if_saved(service: ServiceOf, run: RunOf, form: FormOf) -> Response:
    """Write it as a new run; then show the job."""
    form_values = filled(form)
    try:
        saved = WhatIfSaved.model_validate(form_values)
        job = save_what_if(service.jobs, service.root, run, saved.thresholds(), saved.name)
    except (ValidationError, ConfigError) as error:
        form_values.pop("name", None)
        return _what_if(run, form_values, explained(error))
    return _to(job)


@router.get("/jobs")
def jobs_page(service: ServiceOf) -> HTMLResponse:
    """The jobs that were started here."""
    return page("jobs", {"here": "jobs", "jobs": service.jobs.all()})


@router.get("/jobs/{id}")
def job_page(service: ServiceOf, id: str) -> HTMLResponse:
    """One job and what it printed."""
    job = service.jobs.get(id)
    values = {
        "here": "jobs",
        "job": job,
        "log": service.jobs.log(id),
        "has_run": run_exists(run_path(service.root, job.run)),
    }
    return page("job", values)


@router.post("/jobs/{id}/stop", response_model=None)
def stopped(service: ServiceOf, id: str) -> Response:
    """Ask a job to stop; then show it."""
    return _to(service.jobs.stop(id))


def _to(job: Job) -> Response:
    return RedirectResponse(f"/jobs/{job.id}", status_code=303)


def _new(
    service: Service, form_values: Mapping[str, str], problem: str | None = None
) -> HTMLResponse:
    fields = dict.fromkeys(RunWanted.model_fields, "")
    values = {
        "here": "new",
        "given": {**fields, **form_values},
        "models": known_models(service.root, service.endpoints),
        "languages": languages(),
        "defaults": RunConfig(),
        "problem": problem,
    }
    return page("new", values, 422 if problem else 200)


def _what_if(run: Run, form_values: Mapping[str, str], problem: str | None = None) -> HTMLResponse:
    query, result = WhatIfQuery(), None
    try:
        query = WhatIfQuery.model_validate(form_values)
        if query != WhatIfQuery():  # its own thresholds would change nothing
            result = judged(run, query.thresholds())
    except (ValidationError, ConfigError) as error:
        problem = explained(error)
    values = {
        "sliders": _sliders(run, query),
        "judged": result,
        "shown": _SHOWN,
        "outcomes": lambda before, after: sorted(
            {*before, *after}, key=lambda word: (word != "accepted", -before[word], word)
        ),
        "new_name": f"{run.name}-judged",
        "problem": problem,
    }
    return page("what_if", {**run_values(run, "what-if"), **values}, 422 if problem else 200)


def _sliders(run: Run, query: WhatIfQuery) -> list[Slider]:
    config = stored_config(run)
    note = "set from its first candidates" if config.likelihood.quantile else ""
    return [
        Slider(
            "rouge", "novelty: highest ROUGE-L", 0, 1, 0.01, config.novelty.threshold, query.rouge
        ),
        Slider(
            *("quantile", "likelihood: share to reject as least likely", 0.01, 0.5, 0.01),
            config.likelihood.quantile,
            query.quantile,
        ),
        Slider(
            *("min_logprob", "or lowest nats per token", -6, 0, 0.05),
            config.likelihood.min_logprob,
            query.min_logprob,
            note,
        ),
        Slider(
            *("max_logprob", "highest nats per token", -3, 0, 0.02),
            config.likelihood.max_logprob,
            query.max_logprob,
        ),
    ]
