"""One conversation to learn, and the check of turns that come from somebody's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import why
from selfinstruct.common.records import Message
from selfinstruct.prompts.chat_template import Tools, has_tools

ROLES = ("system", "user", "assistant", "tool")
# Other names of a role.
_ROLE_NAMES = {"developer": "system", "human": "user", "gpt": "assistant", "observation": "tool"}


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One conversation to learn, which ends with an answer; a task is one turn and its answer.

    `instruction` is what the conversation is compared with others by. `proposal` is the proposal
    that a task came from, whose rows stay together. It is empty for rows of a file and for seeds.
    `tools` are the functions that the model may call. A row that was imported has the id of its
    `item` of the data, and those of the items that it has as worked examples (`shown`).
    """

    id: str
    instruction: str
    messages: tuple[Message, ...]
    round: int = 0
    proposal: str = ""
    tools: Tools = ()
    item: str = ""
    shown: tuple[str, ...] = ()

    @property
    def users(self) -> list[str]:
        """What the user writes, turn by turn."""
        return [message["content"] for message in self.messages if message["role"] == "user"]

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.messages[-1]["content"]

    @property
    def is_task(self) -> bool:
        """Whether it is one turn of the user and one of the assistant, in plain text."""
        roles = [message["role"] for message in self.messages]
        plain = not self.tools and not any(map(has_tools, self.messages))
        return plain and roles == ["user", "assistant"]


def task_row(
    id: str, instruction: str, user: str, answer: str, round: int = 0, proposal: str = ""
) -> TrainRow:
    """Return the row of one task: what a user writes, and the answer."""
    turns = (Message(role="user", content=user), Message(role="assistant", content=answer))
    return TrainRow(id, instruction, turns, round, proposal)


def conversation_row(id: str, messages: Sequence[Message]) -> TrainRow:
    """Return the row of a conversation that `turns_of` has checked."""
    first = next((turn["content"] for turn in messages if turn["role"] == "user"), "")
    return TrainRow(id, first, tuple(messages))


def turns_of(turns: Any, *, role: str = "role", content: str = "content") -> tuple[Message, ...]:
    """Return the turns of a conversation in somebody's data.

    Args:
        turns: a list of objects; a turn may have `tool_calls`, `tool_call_id` and `name`.
        role: the key of the role.
        content: the key of the text.

    Raises:
        ValueError: they are none. Says which turn, and why.
    """
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"the turns are {json.dumps(turns, default=str)[:60]}, not a list")
    return tuple(_turn(turn, number, role, content) for number, turn in enumerate(turns, 1))


def learnable(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Return turns that end with an answer, and have something to answer before it.

    Raises:
        ValueError: they do not, or a template could not show them. Says why.
    """
    if turns[-1]["role"] != "assistant":
        raise ValueError(
            f"the last turn is of the role {turns[-1]['role']!r}, and nothing follows that could "
            "be learnt; end the conversation with a turn of the assistant"
        )
    _check_order(turns)
    return tuple(turns)


def answerable(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Return turns that end with something to answer.

    Raises:
        ValueError: they do not, or a template could not show them. Says why.
    """
    if turns[-1]["role"] not in ("user", "tool"):
        raise ValueError(
            f"the last turn is of the role {turns[-1]['role']!r}; end the prompt with a turn of "
            "the user"
        )
    _check_order(turns)
    return tuple(turns)


def answer_of(turns: Sequence[Message]) -> str:
    """Return the text of an answer to compare with others, which is one turn of the assistant.

    Raises:
        ValueError: it is more than that, or calls tools.
    """
    roles = [turn["role"] for turn in turns]
    if roles != ["assistant"] or has_tools(turns[0]):
        calls = " with tool calls" if any(map(has_tools, turns)) else ""
        raise ValueError(
            f"an answer has turns of {', '.join(roles) or 'nobody'}{calls}; give one turn of the "
            "assistant without calls: what both answers share belongs into the prompt"
        )
    return turns[0]["content"]


def _check_order(turns: Sequence[Message]) -> None:
    roles = [turn["role"] for turn in turns]
    if "user" not in roles or "assistant" in roles[: roles.index("user")]:
        raise ValueError(
            f"the roles are {', '.join(roles)[:80]}: the first answer has no turn of a user "
            "before it; begin with one"
        )
    if "system" in roles[1:]:
        raise ValueError("a system prompt stands within the conversation; put it first")
    for number, turn in enumerate(turns, 1):
        if not turn["content"].strip() and not has_tools(turn):
            raise ValueError(f"turn {number} ({turn['role']}) is empty; fill or drop it")


def _turn(turn: Any, number: int, role: str, content: str) -> Message:
    if not isinstance(turn, Mapping):
        raise ValueError(f"turn {number} is {json.dumps(turn, default=str)[:60]}, not an object")
    name = turn.get(role)
    known = _ROLE_NAMES.get(str(name), str(name))
    if known not in ROLES:
        raise ValueError(f"turn {number} has the role {name!r}; the roles are {', '.join(ROLES)}")
    calls = turn.get("tool_calls")
    text = turn.get(content)
    if text is None and calls:
        text = ""
    if not isinstance(text, str):
        raise ValueError(
            f"turn {number} ({known}): its {content!r} is {json.dumps(text, default=str)[:60]}, "
            "not a text"
        )
    message = Message(role=known, content=text)
    if calls:
        message["tool_calls"] = [_call(call, number) for call in calls]
    if turn.get("tool_call_id"):
        message["tool_call_id"] = str(turn["tool_call_id"])
    if turn.get("name"):
        message["name"] = str(turn["name"])
    return message


def _call(call: Any, number: int) -> dict[str, Any]:
    """Return a call as chat templates take it: its arguments are an object, not JSON in a text."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise ValueError(
            f"turn {number}: a tool call is {json.dumps(call, default=str)[:60]}; give "
            '{"type": "function", "function": {"name", "arguments"}}'
        )
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise ValueError(
                f"turn {number}: the arguments of the call of {function['name']!r} are no JSON "
                f"({why(error)})"
            ) from error
    own = {key: call[key] for key in ("id",) if "function" in call and call.get(key)}
    written = {"name": str(function["name"]), "arguments": arguments}
    return {**own, "type": "function", "function": written}
