"""Formats of whole conversations."""

from __future__ import annotations

from dataclasses import replace

from selfinstruct.common.records import Message
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.formats.base import Fields, Format, Kind
from selfinstruct.inputs.formats.tools import TOOLS, tools_of
from selfinstruct.inputs.formats.turns import (
    check_order,
    divided,
    is_transcript,
    transcript,
    turns_of,
)

_TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog")
_NAMES = {"turns": _TURNS, "system": ("system", "system_prompt"), "tools": TOOLS}


def _conversation(fields: Fields, row: DataRow) -> list[DataRow]:
    turns = turns_of(fields, "turns")
    system = fields.optional("system")
    if system.strip() and turns[0]["role"] != "system":
        turns = (Message(role="system", content=system), *turns)
    check_order(fields, turns, fields.column("turns"))
    return [replace(_divided(row, turns), tools=tools_of(fields))]


def _divided(row: DataRow, turns: tuple[Message, ...]) -> DataRow:
    prompt, answer = divided(turns)
    empty = answer is not None and not answer[-1]["content"].strip()
    return replace(row, prompt=prompt, answer=None if empty else answer)


def _transcript(fields: Fields, row: DataRow) -> list[DataRow]:
    turns = transcript(fields, fields.text("text"), fields.column("text"))
    check_order(fields, turns, fields.column("text"))
    return [_divided(row, turns)]


def _is_sharegpt(fields: Fields) -> bool:
    """Whether the turns say who speaks by `from`."""
    value = fields.get("turns")
    if isinstance(value, str):
        return '"from"' in value[:200]
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and "from" in first and "role" not in first


MESSAGES = Format(
    name="messages",
    kind=Kind.TASKS,
    names=_NAMES,
    needs=("turns",),
    convert=_conversation,
    help="`messages` (or `conversations`): turns of `role` and `content`, a system prompt first; "
    "also `system`, `tools`",
    example={
        "messages": [
            {"role": "user", "content": "What do bees collect?"},
            {"role": "assistant", "content": "Nectar and pollen."},
        ]
    },
)

SHAREGPT = Format(
    name="sharegpt",
    kind=Kind.TASKS,
    names=_NAMES,
    needs=("turns",),
    convert=_conversation,
    help="`conversations` (or `messages`): turns of `from` and `value`; also `system`, `tools`",
    example={
        "conversations": [
            {"from": "human", "value": "Which month follows May?"},
            {"from": "gpt", "value": "June."},
        ]
    },
    fits=_is_sharegpt,
)

TRANSCRIPT = Format(
    name="transcript",
    kind=Kind.TASKS,
    names={"text": ("text", "transcript", "conversation", "dialogue")},
    needs=("text",),
    convert=_transcript,
    help="`text`: a conversation in one text, with `Human:` and `Assistant:` before the turns",
    example={"text": "\n\nHuman: Is a whale a fish?\n\nAssistant: No, it is a mammal."},
    fits=lambda fields: is_transcript(fields.get("text")),
)
