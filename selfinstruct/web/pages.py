"""Pages: the runs, one run, its candidates, and one candidate with its decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from selfinstruct.audit.candidate import Detail
from selfinstruct.audit.chats import opened_by
from selfinstruct.audit.error_rates import measure
from selfinstruct.audit.queries import summarise
from selfinstruct.audit.rules import instance_rules, instruction_rules
from selfinstruct.audit.search import sort_columns
from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.formats import Format
from selfinstruct.decisions.overrides import Action
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.filters.rules import reasons
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run, run_exists
from selfinstruct.web.api import candidate_of, find
from selfinstruct.web.api_decisions import decide
from selfinstruct.web.bodies import CandidateQuery, Decision
from selfinstruct.web.forms import FormOf, explained, remember_name, run_values, who
from selfinstruct.web.render import page, run_address
from selfinstruct.web.root import list_runs, open_named, run_line, run_path
from selfinstruct.web.service import RunOf, ServiceOf

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_CHARTS = (
    ("yields", "Yield by round", "tasks per instruction candidate"),
    ("rouge_l", "Novelty of instructions", "candidates without a near neighbour have no score"),
    ("instruction_logprob", "Likelihood of instructions", "mean over the tokens"),
    ("output_logprob", "Likelihood of outputs and labels", "mean over the tokens"),
    ("instruction_words", "Length of instructions", "words"),
    ("output_words", "Length of outputs", "words"),
    ("seed_similarity", "Distance to the seeds", "accepted instructions; 1 is a copy of a seed"),
)
_FIRST_FILTERS = {"table", "verdict", "reason", "text", "sort", "descending", "offset", "limit"}


@router.get("/")
def runs_page(service: ServiceOf) -> HTMLResponse:
    """The runs of the root."""
    values = {
        "runs": list_runs(service.root),
        "going": [job for job in service.jobs.all() if job.going],
        "root": service.root,
    }
    return page("runs", {"here": "runs", **values})


@router.get("/runs/{name}", response_model=None)
def run_page(service: ServiceOf, name: str) -> Response:
    """One run; a run that is still starting shows its job."""
    job = service.jobs.of_run(name)
    if job is not None and not run_exists(run_path(service.root, name)):
        return RedirectResponse(f"/jobs/{job.id}", status_code=303)
    run = open_named(service.root, name)
    line, summary, measured = run_line(run), summarise(run), measure(run)
    strata = [one for rates in measured.tables.values() for one in rates.strata] if measured else []
    values = {
        "line": line,
        "found": summary,
        "job": job,
        "live": line.state == "running" or (job is not None and job.going),
        "pending": summary.standing.get(PENDING_INSTANCES.reason, 0),
        "formats": list(Format),
        "charts": _CHARTS,
        "measured": measured,
        "sampled": sum(one.drawn for one in strata),
        "reason_help": reasons(),
    }
    return page("run", {**run_values(run, "run"), **values})


@router.get("/runs/{name}/candidates")
def candidates_page(run: RunOf, request: Request) -> HTMLResponse:
    """Candidates, as the address says."""
    parameters = {name: value for name, value in request.query_params.items() if value != ""}
    try:
        query = CandidateQuery.model_validate(parameters)
        matches = find(run, query)
        problem = None
    except (ValidationError, ConfigError) as error:
        query, matches, problem = CandidateQuery(), None, explained(error)
    values = {
        "query": query,
        "found": matches,
        "problem": problem,
        "reasons": list(reasons()),
        "sorts": ("judged", *sort_columns(query.table)),
        "more_filters": bool(parameters.keys() - _FIRST_FILTERS),
        "narrowed": urlencode(
            {k: v for k, v in parameters.items() if k not in {"reason", "offset"}}
        ),
        "earlier": _turned(parameters, query, -query.limit) if query.offset else None,
        "later": _turned(parameters, query, query.limit)
        if matches and query.offset + query.limit < matches.page.total
        else None,
    }
    status = 422 if problem else 200
    return page("candidates", {**run_values(run, "candidates"), **values}, status)


@router.get("/runs/{name}/candidates/{id}")
def candidate_page(run: RunOf, id: str, request: Request) -> HTMLResponse:
    """One candidate."""
    return _candidate(run, id, request)


@router.post("/runs/{name}/candidates/{id}", response_model=None)
def decide_page(run: RunOf, id: str, request: Request, form: FormOf) -> Response:
    """Restore, drop, edit or undo; then show the candidate as it is now."""
    try:
        decision = _decision(run, id, form)
        decide(run, decision)
    except (ValidationError, ConfigError) as error:
        return _candidate(run, id, request, explained(error))
    response = RedirectResponse(candidate_address(run, id), status_code=303)
    remember_name(response, decision.by)
    return response


def _candidate(run: Run, id: str, request: Request, problem: str | None = None) -> HTMLResponse:
    detail = candidate_of(run, id)
    config, row = stored_config(run), detail.row
    prompts = stored_inputs(run).prompts
    if detail.table == "instructions":
        rules = instruction_rules(row, config, prompts.own_lines(config.rules_version))
    else:
        text = detail.instruction["text"] if detail.instruction else ""
        rules = instance_rules(row, text, config, prompts.markers)
    values = {
        "detail": detail,
        "row": row,
        "rules": rules,
        "texts": _texts(detail),
        "conversations": opened_by(run, row["id"]),
        "problem": problem,
        "reason_help": reasons(),
        "who": who(request),
        "here_url": candidate_address(run, id),
    }
    return page("candidate", {**run_values(run, "candidates"), **values}, 422 if problem else 200)


def _decision(run: Run, id: str, form: Mapping[str, str]) -> Decision:
    """Read a decision from a form; an edit has only the changed texts."""
    decision: dict[str, Any] = {key: form[key] for key in ("action", "by", "note") if key in form}
    if form.get("action") == Action.EDIT:
        shown = _texts(candidate_of(run, id))
        decision |= {key: form[key] for key, text in shown.items() if form.get(key, text) != text}
    return Decision.model_validate({"id": id, **decision})


def _texts(detail: Detail) -> dict[str, str]:
    """Return the initial texts of the edit form: the current edit, or the model's text."""
    names = ("text", "input", "output")
    edits = {name: getattr(detail.override, name, None) for name in names}
    return {
        name: (detail.row.get(name) or "") if edit is None else edit for name, edit in edits.items()
    }


def candidate_address(run: Run, id: str) -> str:
    return f"{run_address(run.name)}/candidates/{quote(id, safe='')}"


def _turned(parameters: Mapping[str, str], query: CandidateQuery, by: int) -> str:
    return urlencode({**parameters, "offset": max(0, query.offset + by)})
