"""REST and pages: a run's self-chats, their turns with verdicts, and what people decide of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import Field, ValidationError

from selfinstruct.audit.chats import ChatDetail, count_chats, find_chats, show_chat
from selfinstruct.audit.search import Filter
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.overrides import fold
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run
from selfinstruct.web.api import PROBLEMS
from selfinstruct.web.api_decisions import decide
from selfinstruct.web.bodies import Asked, Decision, Id, Place
from selfinstruct.web.errors import NotFoundError
from selfinstruct.web.forms import FormOf, explained, remember_name, run_values, who
from selfinstruct.web.render import page, run_address
from selfinstruct.web.service import RunOf

router = APIRouter(prefix="/runs/{name}/conversations", responses=PROBLEMS)
pages = APIRouter(
    prefix="/runs/{name}/conversations",
    include_in_schema=False,
    default_response_class=HTMLResponse,
)


class ChatQuery(Asked):
    """Which conversations, and which page of them."""

    verdict: Literal["accepted", "rejected"] | None = None
    reason: Annotated[str, Field(max_length=40)] | None = None
    text: Annotated[str, Field(max_length=500)] | None = None
    offset: Place = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 50


@dataclass(frozen=True)
class ChatsFound:
    """Conversations `offset` to `offset + len(rows)` of `total`, each with its turns' texts.

    counts: of all conversations and turns of the run, by verdict or reason.
    """

    rows: list[dict[str, Any]]
    total: int
    offset: int
    counts: Mapping[str, Mapping[str, int]]


@router.get("", tags=["conversations"])
def get_conversations(run: RunOf, query: Annotated[ChatQuery, Query()]) -> ChatsFound:
    """Find conversations; pages of up to 500."""
    return _find(run, query)


@router.get("/{id}", tags=["conversations"])
def get_conversation(run: RunOf, id: str) -> ChatDetail:
    """Return a conversation with its turns; with the id of a turn, also that turn's prompt."""
    return _chat_of(run, id)


@pages.get("")
def conversations_page(run: RunOf, request: Request) -> HTMLResponse:
    """Conversations, as the address says."""
    parameters = {name: value for name, value in request.query_params.items() if value != ""}
    try:
        query = ChatQuery.model_validate(parameters)
        matches, problem = _find(run, query), None
    except (ValidationError, ConfigError) as error:
        query, matches, problem = ChatQuery(), None, explained(error)
    more = matches is not None and query.offset + query.limit < matches.total
    values = {
        "query": query,
        "found": matches,
        "problem": problem,
        "reasons": list(count_chats(run)["conversations"]),
        "reason_help": reasons(),
        "earlier": _turned(parameters, query, -query.limit) if query.offset else None,
        "later": _turned(parameters, query, query.limit) if more else None,
    }
    status = 422 if problem else 200
    return page("conversations", {**run_values(run, "conversations"), **values}, status)


@pages.get("/{id}")
def conversation_page(run: RunOf, id: str, request: Request) -> HTMLResponse:
    """One conversation, or one of its turns within it."""
    return _conversation(run, id, request)


@pages.post("/{id}", response_model=None)
def decide_page(run: RunOf, id: str, request: Request, form: FormOf) -> Response:
    """Drop a conversation or its end, or undo that; then show it as it is now."""
    try:
        decision = Decision.model_validate({"id": id, **form})
        decide(run, decision)
    except (ValidationError, ConfigError) as error:
        return _conversation(run, id, request, explained(error))
    response = RedirectResponse(_address(run, id), status_code=303)
    remember_name(response, decision.by)
    return response


def _conversation(run: Run, id: str, request: Request, problem: str | None = None) -> HTMLResponse:
    detail = _chat_of(run, id)
    values = {
        "detail": detail,
        "row": detail.row,
        "id": id,
        "own_outcome": next(
            (turn["outcome"] for turn in detail.turns if turn["id"] == id), detail.outcome
        ),
        "is_dropped": id in fold(detail.overrides),
        "problem": problem,
        "reason_help": reasons(),
        "who": who(request),
        "here_url": _address(run, id),
    }
    values |= run_values(run, "conversations")
    return page("conversation", values, 422 if problem else 200)


def _find(run: Run, query: ChatQuery) -> ChatsFound:
    wanted = Filter("conversations", query.verdict, query.reason, text=query.text)
    rows = list(find_chats(run, wanted))
    shown = rows[query.offset : query.offset + query.limit]
    return ChatsFound(shown, len(rows), query.offset, count_chats(run))


def _chat_of(run: Run, id: Id) -> ChatDetail:
    """Return a conversation by its id or a turn's.

    Raises:
        NotFoundError: the run has none of this id.
    """
    try:
        return show_chat(run, id)
    except ConfigError as error:
        raise NotFoundError(str(error)) from error


def _address(run: Run, id: str) -> str:
    return f"{run_address(run.name)}/conversations/{quote(id, safe='')}"


def _turned(parameters: Mapping[str, str], query: ChatQuery, by: int) -> str:
    return urlencode({**parameters, "offset": max(0, query.offset + by)})
