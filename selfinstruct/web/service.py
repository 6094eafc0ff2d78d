"""The state behind every request: the folder of runs, and the jobs in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from selfinstruct.store import Run
from selfinstruct.web.jobs import Jobs
from selfinstruct.web.root import open_named
from selfinstruct.web.security import Access


@dataclass(frozen=True)
class Service:
    """The state of the service; all but the sessions is on disk."""

    root: Path
    jobs: Jobs
    access: Access
    endpoints: tuple[str, ...] = ()  # addresses of served models that runs may use


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


def run_of(name: str, service: ServiceOf) -> Run:
    """Open the run that an address names."""
    return open_named(service.root, name)


RunOf = Annotated[Run, Depends(run_of)]
