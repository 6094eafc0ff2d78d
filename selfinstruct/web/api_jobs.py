"""REST: work that takes time: new runs, resumed runs, completions, what-if, and their jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, StreamingResponse

from selfinstruct.audit.error_rates import WhatIfRates, what_if_rates
from selfinstruct.audit.sample import newest_sample
from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run
from selfinstruct.verdicts.whatif import Thresholds, WhatIf, what_if
from selfinstruct.web.api import PROBLEMS
from selfinstruct.web.bodies import RunWanted, StopRules, WhatIfQuery, WhatIfSaved
from selfinstruct.web.events import changes, event_stream
from selfinstruct.web.jobs import Job
from selfinstruct.web.live import job_progress
from selfinstruct.web.service import RunOf, ServiceOf
from selfinstruct.web.work import complete_run, resume_run, save_what_if, start_run

router = APIRouter(responses=PROBLEMS)


@dataclass(frozen=True)
class Judged:
    """The verdicts of other thresholds, and their error rates; None without ratings."""

    found: WhatIf
    rates: list[WhatIfRates] | None


@router.post("/runs", tags=["jobs"], status_code=202)
def post_run(service: ServiceOf, body: RunWanted) -> Job:
    """Start a new run."""
    return start_run(service.jobs, service.root, body.new_run(), service.endpoints)


@router.post("/runs/{name}/resume", tags=["jobs"], status_code=202)
def post_resume(service: ServiceOf, run: RunOf, rules: StopRules) -> Job:
    """Continue a run; with a higher target, it generates more tasks."""
    return resume_run(service.jobs, run, rules.model_dump())


@router.post("/runs/{name}/complete", tags=["jobs"], status_code=202)
def post_complete(service: ServiceOf, run: RunOf) -> Job:
    """Write the missing instances of `pending_instances` instructions."""
    return complete_run(service.jobs, run)


@router.get("/runs/{name}/what-if", tags=["what-if"])
def get_what_if(run: RunOf, query: Annotated[WhatIfQuery, Query()]) -> Judged:
    """Judge a run again with other thresholds; nothing is written."""
    result = judged(run, query.thresholds())
    found = result.found
    instances = list(found.instance_changes)
    return replace(
        result, found=replace(found, changes=list(found.changes), instance_changes=instances)
    )


@router.post("/runs/{name}/what-if", tags=["what-if"], status_code=202)
def post_what_if(service: ServiceOf, run: RunOf, body: WhatIfSaved) -> Job:
    """Judge a run again with other thresholds, and save the result as a new run."""
    return save_what_if(service.jobs, service.root, run, body.thresholds(), body.name)


@router.get("/jobs", tags=["jobs"])
def get_jobs(service: ServiceOf) -> list[Job]:
    """List the jobs, the newest first."""
    return service.jobs.all()


@router.get("/jobs/{id}", tags=["jobs"])
def get_job(service: ServiceOf, id: str) -> Job:
    """Return a job as it is now."""
    return service.jobs.get(id)


@router.get("/jobs/{id}/log", tags=["jobs"], response_class=PlainTextResponse)
def get_log(service: ServiceOf, id: str) -> str:
    """Return the end of what a job printed."""
    return service.jobs.log(id)


@router.post("/jobs/{id}/cancel", tags=["jobs"])
def post_cancel(service: ServiceOf, id: str) -> Job:
    """Ask a job to stop, like Ctrl-C; its commits stay."""
    return service.jobs.stop(id)


@router.get("/jobs/{id}/events", tags=["jobs"], response_class=StreamingResponse)
def get_job_events(service: ServiceOf, id: str) -> StreamingResponse:
    """Stream a job's state and output as events: `change` for each change, then `end`."""
    service.jobs.get(id)

    def look() -> dict[str, Any]:
        return job_progress(service, id)

    return event_stream(changes(look, lambda now: not now["going"]))


def judged(run: Run, thresholds: Thresholds) -> Judged:
    """Judge a run again, with error rates if there are ratings."""
    result = what_if(run, thresholds)
    if newest_sample(run) is None:
        return Judged(result, None)
    try:
        return Judged(result, what_if_rates(run, result))
    except ConfigError:  # the run has grown since its sample was drawn
        return Judged(result, None)
