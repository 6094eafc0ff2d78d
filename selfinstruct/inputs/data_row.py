"""One row of somebody's data: the same record for every format that it may come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.prompts.canonical import user_text


class BadRowError(ConfigError):
    """A row that cannot be used; `--skip-invalid` leaves it out, and counts it by `reason`.

    Args:
        where: the row's place, such as `rows.jsonl:7`.
        problem: the field, its value, and what to do.
        reason: a few words that are the same for all rows with this problem.
    """

    def __init__(self, where: str, problem: str, reason: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row of somebody's data.

    Attributes:
        id: the row's own, or made from its number; of one of several instances, with its place.
        group: the same without the place: instances of one row share it.
        where: its place for messages, such as `rows.jsonl:7`.
        number: the line of the file, or the row of a table, from 1.
        place: its place among the instances of its row, from 0.
        prompt: all turns before the answer; a system prompt first, if there is one.
        answer: the last answer, with tool turns that belong to it; None where there is none.
        instruction: where the format keeps instruction and input apart; None: the last turn of
            the user is both.
        input: goes with `instruction`.
        chosen: the better answer to `prompt`.
        rejected: the worse one.
        ranked: several answers to `prompt`, the best first.
        label: whether a person liked the answer (KTO).
        choices: of a question with several answers, or of a text with several endings.
        right: the place of the right one, from 0.
        continues: the choices continue the text of `prompt`; otherwise they answer it.
        tools: the functions that the model may call, as chat templates take them.
        columns: the row as it came, for scores, weights and the like.
    """

    id: str
    where: str
    number: int
    prompt: tuple[Message, ...]
    answer: tuple[Message, ...] | None = None
    instruction: str | None = None
    input: str = ""
    chosen: tuple[Message, ...] | None = None
    rejected: tuple[Message, ...] | None = None
    ranked: tuple[tuple[Message, ...], ...] | None = None
    label: bool | None = None
    choices: tuple[str, ...] | None = None
    right: int | None = None
    continues: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    place: int = 0
    group: str = ""
    format: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def line_id(self) -> str:
        """An id that no other row of the file has, whatever ids the rows bring."""
        return ids.example(ids.line(self.number), self.place)

    @property
    def user(self) -> str:
        """What the user writes last, instruction and input as one text."""
        if self.instruction is not None:
            return user_text(self.instruction, self.input)
        return self.prompt[-1]["content"] if self.prompt else ""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The turns of the answer; none where there is no answer."""
        return self.answer or ()

    @property
    def answer_text(self) -> str:
        """The last answer as a text; empty where there is none."""
        return self.answer[-1]["content"] if self.answer else ""
