"""REST: runs and their candidates, read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask

from selfinstruct.audit.candidate import Detail, show_candidate
from selfinstruct.audit.queries import Summary, summarise
from selfinstruct.audit.search import Page, count_by_reason, search
from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers
from selfinstruct.store import Run
from selfinstruct.web.bodies import CandidateQuery
from selfinstruct.web.charts import Charts, charts_of
from selfinstruct.web.errors import NotFoundError
from selfinstruct.web.events import changes, event_stream
from selfinstruct.web.live import is_over, run_progress
from selfinstruct.web.root import RunLine, list_runs
from selfinstruct.web.service import RunOf, ServiceOf


class Problem(BaseModel):
    """Why a request was refused, and what to do next."""

    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "the token is missing or wrong"},
    404: {"model": Problem, "description": "no run, candidate or job of that name"},
    409: {"model": Problem, "description": "the run is damaged, or a job is in the way"},
    422: {"model": Problem, "description": "a value cannot be used"},
}
router = APIRouter(responses=PROBLEMS)


@dataclass(frozen=True)
class Found:
    """A page of candidates, and the counts of all matches by outcome."""

    page: Page
    by_reason: Mapping[str, int]


@router.get("/runs", tags=["runs"])
def get_runs(service: ServiceOf) -> list[RunLine]:
    """List the runs, the newest first."""
    return list_runs(service.root)


@router.get("/runs/{name}", tags=["runs"])
def get_run(run: RunOf) -> Summary:
    """Count a run's candidates by verdict and reason."""
    return summarise(run)


@router.get("/runs/{name}/charts", tags=["runs"])
def get_charts(run: RunOf) -> Charts:
    """Return the distributions that the run's page draws."""
    return charts_of(run)


@router.get("/runs/{name}/events", tags=["runs"], response_class=StreamingResponse)
def get_run_events(run: RunOf, service: ServiceOf) -> StreamingResponse:
    """Stream the progress of a run: server-sent events `change`, and at last `end`."""

    def look() -> dict[str, Any]:
        return run_progress(service, run.name)

    return event_stream(changes(look, is_over))


@router.get("/runs/{name}/candidates", tags=["candidates"])
def get_candidates(run: RunOf, query: Annotated[CandidateQuery, Query()]) -> Found:
    """Find candidates; pages of up to 500."""
    return find(run, query)


@router.get("/runs/{name}/candidates/{id}", tags=["candidates"])
def get_candidate(run: RunOf, id: str) -> Detail:
    """Return everything about one candidate."""
    return candidate_of(run, id)


@router.get("/runs/{name}/export", tags=["exports"], response_class=FileResponse)
def get_export(
    run: RunOf, format: Format = Format.MESSAGES, answers: Answers = Answers.OWN
) -> FileResponse:
    """Download the dataset of a run, with people's decisions applied."""
    folder = tempfile.TemporaryDirectory(prefix="selfinstruct-")
    path = Path(folder.name) / f"export.{format.suffix}"
    try:
        export(run, format, path, answers)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path,
        filename=f"{run.name}-{format}.{format.suffix}",
        media_type="application/jsonl" if format.suffix == "jsonl" else "application/octet-stream",
        background=BackgroundTask(folder.cleanup),
    )


def candidate_of(run: Run, id: str) -> Detail:
    """Return everything about one candidate.

    Raises:
        NotFoundError: the run has none of this id.
    """
    try:
        return show_candidate(run, id)
    except ConfigError as error:
        raise NotFoundError(str(error)) from error


def find(run: Run, query: CandidateQuery) -> Found:
    """Return a page of candidates.

    Raises:
        ConfigError: no such reason or column.
    """
    filter = query.filter()
    page = search(
        run,
        filter,
        sort=query.sort,
        descending=query.descending,
        offset=query.offset,
        limit=query.limit,
    )
    return Found(page, count_by_reason(run, filter))
