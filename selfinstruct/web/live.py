"""The progress of a run or a job, which a live page watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfinstruct.web.root import open_named, run_line
from selfinstruct.web.service import Service


def run_progress(service: Service, name: str) -> dict[str, Any]:
    """Return the state of a run and of the job that writes it, as JSON values."""
    run = open_named(service.root, name)
    line = run_line(run)
    job = service.jobs.of_run(name)
    return {
        "state": line.state,
        "reason": line.reason,
        "tasks": line.tasks,
        "target": line.target,
        "rounds": line.rounds,
        "tokens": line.tokens,
        "job": job_progress(service, job.id) if job is not None else None,
    }


def job_progress(service: Service, id: str) -> dict[str, Any]:
    """Return the state of a job and the end of what it printed."""
    job = service.jobs.get(id)
    return {"id": job.id, "state": job.state, "going": job.going, "log": service.jobs.log(id)}


def is_over(progress: Mapping[str, Any]) -> bool:
    """Whether the state is final: neither the run nor a job of it is running."""
    job = progress["job"]
    return progress["state"] != "running" and not (job and job["going"])
