"""Conversations as people write them down, as turns of `role` and `content`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from selfinstruct.common.errors import why
from selfinstruct.common.records import Message
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError
from selfinstruct.inputs.formats.base import Fields

# The names of roles in published data.
_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "instruction"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard", "chatbot", "output"),
        "assistant",
    ),
    **dict.fromkeys(("tool", "observation", "function", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
}
_ROLE_KEYS, _TEXT_KEYS = ("role", "from"), ("content", "value", "text")
# What a chat template takes beside role and content.
_KEPT = ("tool_calls", "tool_call_id", "name")
_SPEAKER = re.compile(r"(?:^|\n)[ \t]*(?:### ?)?(Human|User|Assistant):[ \t]?")
_BEGINS = re.compile(r"\s*(?:### ?)?(?:Human|User):")


def turns_of(fields: Fields, field: str, role: str = "user") -> tuple[Message, ...]:
    """Return a field's turns: a list of them, its JSON, a transcript, or one text.

    Args:
        fields: of the row.
        field: the field.
        role: whose turn one text is.

    Raises:
        BadRowError: a turn cannot be used.
    """
    value, column = fields.get(field), fields.column(field)
    if value is None:
        raise fields.bad(field, "is missing; give a text, or turns", "missing")
    return read_turns(fields, value, column, role)


def read_turns(fields: Fields, value: Any, column: str, role: str) -> tuple[Message, ...]:
    """Return the turns that a value holds, like `turns_of`.

    Raises:
        BadRowError: a turn cannot be used.
    """
    if isinstance(value, str):
        listed = _json_list(value)
        if listed is None:
            return (Message(role=role, content=fields.checked(value, column)),)
        value = listed
    if isinstance(value, Mapping):
        value = [value] if _is_turn(value) else _of_columns(value)
    if not isinstance(value, list | tuple) or not value:
        text = shown(value)
        raise BadRowError(
            fields.where,
            f'"{column}" is {text}; give a text, or turns of {{"role", "content"}}',
            f"{column}: no turns",
        )
    turns = [_turn(fields, turn, f"{column}[{n}]") for n, turn in enumerate(value)]
    return tuple(turn for turn in turns if turn["role"] != "system" or turn["content"].strip())


def is_transcript(value: Any) -> bool:
    """Whether a text is a conversation that begins with `Human:`."""
    return isinstance(value, str) and _BEGINS.match(value) is not None


def transcript(fields: Fields, value: str, column: str) -> tuple[Message, ...]:
    """Return the turns of a text such as `Human: … Assistant: …`, each stripped.

    Raises:
        BadRowError: a turn is empty.
    """
    parts = _SPEAKER.split(fields.checked(value, column))
    roles = ["assistant" if name == "Assistant" else "user" for name in parts[1::2]]
    texts = [text.strip() for text in parts[2::2]]
    return tuple(Message(role=role, content=text) for role, text in zip(roles, texts, strict=True))


def check_order(fields: Fields, turns: Sequence[Message], column: str) -> None:
    """Refuse a conversation that no chat template could write.

    Raises:
        BadRowError: names the first turn out of order, or an empty one.
    """
    before = "system"
    for number, turn in enumerate(turns):
        role, place = turn["role"], f"{column}[{number}]"
        if role == "system" and number:
            problem = "is a system prompt amid the conversation; put it first"
        elif role == "assistant" and before == "system":
            problem = "is a turn of the assistant before the user's first; begin with the user"
        elif role == before and role in ("user", "assistant") and not _calls(turns, number):
            problem = f"is a second turn of the {role} in a row; join them"
        elif role == "tool" and before not in ("assistant", "tool"):
            problem = "is a tool's answer that no turn asked for; remove it"
        elif not turn["content"].strip() and number < len(turns) - 1 and "tool_calls" not in turn:
            problem = "is empty; write the turn, or drop the row"
        else:
            before = role
            continue
        reason = problem.partition(";")[0].removeprefix("is ")
        raise BadRowError(fields.where, f'"{place}" {problem}', f"conversation: {reason}")


def _calls(turns: Sequence[Message], number: int) -> bool:
    """Whether a turn, or the one before it, calls a tool: some data keeps calls apart."""
    return any(turn.get("tool_calls") for turn in turns[number - 1 : number + 1])


def divided(turns: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...] | None]:
    """Return the turns up to the last of the user, and what answers them; None: nothing does."""
    users = [number for number, turn in enumerate(turns) if turn["role"] == "user"]
    last = users[-1] + 1 if users else len(turns)
    answer = tuple(turns[last:])
    return tuple(turns[:last]), answer or None


def _turn(fields: Fields, turn: Any, place: str) -> Message:
    if not isinstance(turn, Mapping):
        text = shown(turn)
        raise BadRowError(
            fields.where,
            f'"{place}" is {text}; give a turn of {{"role", "content"}}',
            "conversation: no turn",
        )
    named = next((turn[key] for key in _ROLE_KEYS if turn.get(key) is not None), None)
    role = _ROLES.get(named.strip().lower()) if isinstance(named, str) else None
    if role is None:
        raise BadRowError(
            fields.where,
            f'"{place}.role" is {shown(named)}; give system, user, assistant or tool',
            "conversation: unknown role",
        )
    if turn.get("weight") in (0, "0") or False in (turn.get("train"), turn.get("training")):
        raise BadRowError(
            fields.where,
            f'"{place}" is marked as not to be learnt (its weight or train); remove the mark, or '
            "cut the conversation before it",
            "conversation: a turn that is not to be learnt",
        )
    content = next((turn[key] for key in _TEXT_KEYS if turn.get(key) is not None), None)
    if role == "call":
        return _call(fields, content, place)
    kept = {key: turn[key] for key in _KEPT if turn.get(key)}
    if turn.get("function_call"):
        kept["tool_calls"] = [{"type": "function", "function": turn["function_call"]}]
    if content is None and "tool_calls" in kept:
        content = ""
    message = {"role": role, "content": _content(fields, content, f"{place}.content"), **kept}
    return cast("Message", message)


def _content(fields: Fields, content: Any, place: str) -> str:
    if isinstance(content, list):
        parts = []
        for part in content:
            text = part.get("text") if isinstance(part, Mapping) else part
            if not isinstance(text, str):
                kind = part.get("type") if isinstance(part, Mapping) else part
                raise BadRowError(
                    fields.where,
                    f'"{place}" has a part of the type {shown(kind)}; only text can be learnt',
                    "conversation: a part that is no text",
                )
            parts.append(text)
        content = "".join(parts)
    if not isinstance(content, str):
        text = shown(content)
        raise BadRowError(
            fields.where,
            f'"{place}" is not a text but {text}; give a text',
            "conversation: no text",
        )
    return fields.checked(content, place)


def _call(fields: Fields, content: Any, place: str) -> Message:
    """Return the assistant's turn for a call of a tool that is written as JSON."""
    try:
        value = json.loads(content) if isinstance(content, str) else content
        calls = value if isinstance(value, list) else [value]
        functions = [
            {"name": call["name"], "arguments": call.get("arguments", {})} for call in calls
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise BadRowError(
            fields.where,
            f'"{place}" is not a tool call ({why(error)}); give JSON with "name" and "arguments"',
            "conversation: a call that is not JSON",
        ) from error
    made = [{"type": "function", "function": function} for function in functions]
    return cast("Message", {"role": "assistant", "content": "", "tool_calls": made})


def _is_turn(value: Mapping[str, Any]) -> bool:
    return any(isinstance(value.get(key), str) for key in _ROLE_KEYS)


def _of_columns(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the turns of a table of roles and texts, as some data sets store them."""
    lists = {key: cells for key, cells in value.items() if isinstance(cells, list)}
    if not lists or len({len(cells) for cells in lists.values()}) != 1:
        return None
    return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]


def _json_list(value: str) -> list[Any] | None:
    """Return the turns of a cell that holds them as JSON; None if it is a text."""
    if not value.lstrip().startswith("[{"):
        return None
    try:
        turns = json.loads(value)
    except (ValueError, RecursionError):
        return None
    is_turns = isinstance(turns, list) and all(isinstance(t, dict) and _is_turn(t) for t in turns)
    return turns if is_turns else None
