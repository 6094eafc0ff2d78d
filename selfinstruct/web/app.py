"""The whole service: pages, REST, static files, and errors that say what to do."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from selfinstruct import __version__
from selfinstruct.common.errors import ConfigError, SelfInstructError, StoreError
from selfinstruct.web import (
    api,
    api_decisions,
    api_docs,
    api_jobs,
    chats,
    pages,
    pages_login,
    pages_rate,
    pages_work,
)
from selfinstruct.web.errors import BusyError, NotFoundError
from selfinstruct.web.jobs import Jobs
from selfinstruct.web.render import page
from selfinstruct.web.security import Access, Guard
from selfinstruct.web.service import Service

log = logging.getLogger(__name__)

API = "/api/v1"
_DAY = 24 * 3600
_TITLES = {404: "Not here", 409: "Not now", 422: "That cannot be used", 500: "That went wrong"}


def create_app(
    root: Path,
    access: Access,
    program: Sequence[str] = (sys.executable, "-m", "selfinstruct"),
    endpoints: Sequence[str] = (),
) -> Guard:
    """Return the service over a folder of runs, guarded.

    Args:
        root: the folder; jobs and new runs are written into it.
        access: who may use it (`access_for`).
        program: how jobs call this program.
        endpoints: addresses of served models, which requests may name; no other address.
    """
    app = FastAPI(
        title="selfinstruct",
        version=__version__,
        summary="Runs of instruction data: inspect them, decide, and start new ones.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = Service(root, Jobs(root, program), access, tuple(endpoints))
    for router in (api.router, api_decisions.router, api_jobs.router, chats.router):
        app.include_router(router, prefix=API)
    for router in (api_docs.router, pages_login.router, pages_rate.router, pages_work.router):
        app.include_router(router)
    app.include_router(chats.pages)
    app.include_router(pages.router)
    app.add_api_route("/static/plotly.min.js", _plotly, include_in_schema=False)
    static = resources.files("selfinstruct.web") / "static"
    app.mount("/static", StaticFiles(directory=str(static)), name="static")
    app.add_exception_handler(SelfInstructError, _own_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    # The outermost layer, so that even the response to a bug of ours has its headers.
    return Guard(app, access)


def _plotly() -> FileResponse:
    """Plotly's own script, from the installed package."""
    path = resources.files("plotly") / "package_data" / "plotly.min.js"
    headers = {"Cache-Control": f"private, max-age={_DAY}"}
    return FileResponse(str(path), media_type="text/javascript", headers=headers)


def _own_error(request: Request, error: Exception) -> Response:
    """Turn an error of the program into a status; the message says what to do."""
    if isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, BusyError | StoreError):
        status = 409
    elif isinstance(error, ConfigError):
        status = 422
    else:  # the disk refuses
        log.error("%s", error)
        status = 507
    return _problem(request, status, str(error))


def _bad_request(request: Request, error: Exception) -> Response:
    """Name each wrong field, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()]
    return _problem(request, 422, "\n".join(lines))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = error.detail if error.status_code != 404 else "there is nothing at this address"
    return _problem(request, error.status_code, what, error.headers)


def _bug(request: Request, _: Exception) -> Response:
    return _problem(request, 500, "a bug of ours; the service's own output says where")


def _problem(
    request: Request, status: int, problem: str, headers: Mapping[str, str] | None = None
) -> Response:
    # A lone surrogate, sent in an address or a body, has no UTF-8.
    problem = problem.encode("utf-8", "replace").decode("utf-8")
    if request.url.path.startswith(API):
        return JSONResponse({"detail": problem}, status_code=status, headers=dict(headers or {}))
    values = {"status": status, "title": _TITLES.get(status, str(status)), "problem": problem}
    return page("problem", values, status, headers)
