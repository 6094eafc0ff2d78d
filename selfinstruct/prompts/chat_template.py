"""A model's own chat template. What it can do is found out by trying it.

Templates differ: some have no system role, want the roles to alternate, switch thinking by a
variable or by a keyword, open the thinking part, or put a space before an answer. A template raises
for what it does not know, or leaves it out without a word.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

import jinja2

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Message

log = logging.getLogger(__name__)

# A text that no template writes by itself.
_PROBE = "Qx7 probe"
_PROBE_TOOL, _PROBE_CALL = "qx7_probe", "qx7Call01"
_TOOL_PROBE = (
    Message(role="user", content="u"),
    Message(
        role="assistant",
        content="",
        tool_calls=[
            {
                "id": _PROBE_CALL,
                "type": "function",
                "function": {"name": _PROBE_TOOL, "arguments": {"a": 1}},
            }
        ],
    ),
    Message(role="tool", content=_PROBE, name=_PROBE_TOOL, tool_call_id=_PROBE_CALL),
)
_LAST_TAG = re.compile(r"<([\w:]++)>\s*\Z")
_THINK, _NO_THINK = "/think", "/no_think"
# Some templates write today's date. A run that goes on tomorrow must ask as it did today.
_DAY = datetime(2025, 1, 1)
# What a template may raise: jinja's errors, and those of the Python that it calls.
_REFUSALS = (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError)


class ChatTemplate:
    """Renders conversations with a tokenizer's chat template.

    Args:
        tokenizer: a transformers tokenizer that has a chat template.
        name: of the model that writes, for messages; empty where a model is trained.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._whose = f"model {name!r}: its chat template" if name else "the chat template"

    def text(self, messages: Sequence[Message], opened: str = "", *, thinking: bool = False) -> str:
        """Return a conversation up to the model's own turn, and the beginning of that turn.

        Args:
            messages: the turns before it.
            opened: the beginning of the model's turn; the turn gets no end mark.
            thinking: whether the model may think first. Otherwise its thinking part is switched
                off where the template can do that, and is empty before an opened turn.

        Raises:
            ConfigError: the template refuses the conversation.
        """
        text = self._rendered(messages, thinking=thinking, asks=True)
        if not opened:
            return text
        return f"{text}{self._lead_thinking if thinking else self._lead}{opened}"

    def finished(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """Return a conversation that ends with the model's own turn, and the end of that turn.

        Raises:
            ConfigError: the template refuses the conversation.
        """
        return self._rendered(messages, thinking=thinking, asks=False)

    def _rendered(self, messages: Sequence[Message], *, thinking: bool, asks: bool) -> str:
        if any(map(has_tools, messages)) and not self.takes_tools:
            raise ConfigError(
                f"{self._whose} has no form for tool calls and their results; use a model that was "
                "made for tools, or leave these conversations out"
            )
        turns = self._turns(messages, thinking=thinking)
        try:
            return self._apply(turns, thinking=thinking, asks=asks)
        except _REFUSALS as error:
            roles = ", ".join(message["role"] for message in turns)
            way_out = "change the turns, or use another model"
            if self._name:
                way_out = "change the turns of your templates (--prompts), or use --prompting base"
            raise ConfigError(
                f"{self._whose} refuses a conversation of the roles {roles}: {why(error)}; "
                f"{way_out}"
            ) from error

    def _turns(self, messages: Sequence[Message], *, thinking: bool) -> list[Message]:
        """Return the turns as the template takes them."""
        turns = list(messages)
        if self._has_keyword and (_THINK in self._source or not thinking):
            turns = with_system(turns, _THINK if thinking else _NO_THINK)
        if not self.takes_system:
            turns = system_in_first_turn(turns)
        return merged(turns) if self._alternates else turns

    @cached_property
    def takes_system(self) -> bool:
        """Whether it has a system role. If not, the system text goes before the first user turn."""
        probe = Message(role="system", content=_PROBE)
        takes = _PROBE in (self._tried([probe, Message(role="user", content="u")]) or "")
        if not takes:
            log.info(
                "the chat template of %s has no system role: system text is put before the first "
                "user turn",
                self._name or "the model",
            )
        return takes

    @cached_property
    def takes_tools(self) -> bool:
        """Whether it writes the calls of tools, and their results."""
        text = self._tried(_TOOL_PROBE) or ""
        return _PROBE_TOOL in text and _PROBE in text

    @cached_property
    def _alternates(self) -> bool:
        """Whether it refuses two turns of one role in a row."""
        turn = Message(role="user", content="u")
        return self._tried([turn]) is not None and self._tried([turn, turn]) is None

    @cached_property
    def _has_keyword(self) -> bool:
        """Whether thinking is switched by a keyword in the text, and by no variable."""
        turn = Message(role="user", content="u")
        off, on = self._tried([turn]), self._tried([turn], thinking=True)
        return off == on and _NO_THINK in self._source

    @cached_property
    def _lead(self) -> str:
        return self._lead_of(thinking=False)

    @cached_property
    def _lead_thinking(self) -> str:
        return self._lead_of(thinking=True)

    def _lead_of(self, *, thinking: bool) -> str:
        """Return what stands between the start of the model's turn and the text of an answer.

        The template writes finished answers too; most write nothing there, some a space.
        """
        asked = self._turns([Message(role="user", content="u")], thinking=thinking)
        start = self._tried(asked, thinking=thinking) or ""
        answer = Message(role="assistant", content=_PROBE)
        finished = self._tried([*asked, answer], thinking=thinking, asks=False) or ""
        before, probe, _ = finished.rpartition(_PROBE)
        lead = before[len(start) :] if probe and before.startswith(start) else ""
        tag = _opened_thinking(start + lead)
        return f"{lead}\n</{tag}>\n\n" if tag and not thinking else lead

    @property
    def _source(self) -> str:
        return str(self._tokenizer.chat_template)

    def _tried(
        self, turns: Sequence[Message], *, thinking: bool = False, asks: bool = True
    ) -> str | None:
        """Return the text of a conversation, or None if the template refuses it."""
        try:
            return self._apply(turns, thinking=thinking, asks=asks)
        except _REFUSALS:
            return None

    def _apply(self, turns: Sequence[Message], *, thinking: bool, asks: bool = True) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                [dict(turn) for turn in turns],
                tokenize=False,
                add_generation_prompt=asks,
                # The two names of the variable that switches thinking; a template knows one.
                enable_thinking=thinking,
                thinking=thinking,
                strftime_now=_DAY.strftime,
            )
        )


@lru_cache(maxsize=8)
def chat_template(tokenizer: Any, name: str = "") -> ChatTemplate:
    """Return a tokenizer's chat template; it is tried once for each tokenizer."""
    return ChatTemplate(tokenizer, name)


def with_system(messages: Sequence[Message], system: str) -> list[Message]:
    """Put a system prompt before a conversation, and before its own system prompt if it has one."""
    if messages and messages[0]["role"] == "system":
        own = messages[0]["content"]
        return [Message(role="system", content=f"{system}\n\n{own}"), *messages[1:]]
    return [Message(role="system", content=system), *messages]


def system_in_first_turn(messages: Sequence[Message]) -> list[Message]:
    """Return the turns without a system role: its text stands before the first user turn."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, *turns = messages
    if not turns or turns[0]["role"] != "user":
        return [Message(role="user", content=system["content"]), *turns]
    first = f"{system['content']}\n\n{turns[0]['content']}"
    return [Message(role="user", content=first), *turns[1:]]


def has_tools(message: Message) -> bool:
    """Whether a turn calls tools, or is the result of a call."""
    return message["role"] == "tool" or bool(message.get("tool_calls"))


def merged(messages: Sequence[Message]) -> list[Message]:
    """Return the turns with those of one role in a row made one; those of tools stay apart."""
    turns: list[Message] = []
    for message in messages:
        apart = not turns or has_tools(message) or has_tools(turns[-1])
        if not apart and turns[-1]["role"] == message["role"]:
            content = f"{turns[-1]['content']}\n\n{message['content']}"
            turns[-1] = Message(role=message["role"], content=content)
        else:
            turns.append(message)
    return turns


def _opened_thinking(text: str) -> str | None:
    """Return the tag that opens thoughts at the end of a text, such as `think`; None without."""
    tag = _LAST_TAG.search(text)
    return tag[1] if tag and "think" in tag[1].rpartition(":")[2] else None
