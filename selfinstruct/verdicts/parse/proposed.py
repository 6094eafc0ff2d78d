"""Read proposals of other styles: fields of a task, one rewritten task, a user's message.

`Instruction: … Input: … Constraints: …` may come in any order behind the instruction, and more
than once. The words "none", "n/a" and the like stand for an empty field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from selfinstruct.common.records import ParsedInstruction
from selfinstruct.filters.changes_6 import MOST_CANDIDATES
from selfinstruct.verdicts.parse.chat import closing_start, cut_words, opening_end
from selfinstruct.verdicts.parse.items import Item, clean_item, instruction_of
from selfinstruct.verdicts.parse.many import rest_as_instruction
from selfinstruct.verdicts.parse.spans import NOWHERE, Span, trimmed, without_ornaments

_FIELD = re.compile(
    r"(?:\A|(?<=\n))[ \t]*(?:[-*#>]{1,4}[ \t]*)?(?:\d{1,3}[.)][ \t]*)?(?:\*\*|__)?"
    r"(?:(instruction|input|constraint|output)s?(?:\*\*|__)?[ \t]?[:：](?:\*\*|__)?"
    r"|(example)[ \t]\d{1,3}(?:\*\*|__)?:?[ \t]*(?=\n|\Z))",
    re.IGNORECASE,
)
_NOTHING = frozenset(
    ("none", "n/a", "no", "no input", "no constraints", "no constraint", "empty", "-", "not needed")
)
_SENTENCE_ENDS = (".", "?", "!", ":", "。", "？", "！", "：")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A label at the start of a line: its name, where it starts, and where its value does."""

    name: str
    start: int
    after: int


@dataclass(slots=True)
class _Group:
    """The fields of one task, by name: each the range of its value."""

    values: dict[str, Span] = field(default_factory=dict)


def with_constraints(instruction: str, constraints: str) -> str:
    """Return the text of a task: its instruction, then its constraints as sentences."""
    if not constraints:
        return instruction
    stop = "" if instruction.endswith(_SENTENCE_ENDS) else "."
    return f"{instruction}{stop} {constraints}"


def read_fields(
    text: str, finish_reason: str, *, continues: bool, most: int = MOST_CANDIDATES
) -> list[ParsedInstruction]:
    """Read tasks with their inputs and constraints.

    Args:
        text: the completion.
        finish_reason: "length" marks the last task as truncated.
        continues: the prompt ended with the label of the instruction, so the text starts in it.
        most: tasks that are read.
    """
    marks = _marks(text, continues=continues)
    starts = [place for place, mark in enumerate(marks) if mark.name == "instruction"]
    if not starts:
        return []
    rest = marks[starts[most]].start if len(starts) > most else None
    end = len(text) if rest is None else rest
    marks = [mark for mark in marks if rest is None or mark.start < rest]
    tasks = [task for group in _groups(text, marks, end) if (task := _task(text, group))]
    if not tasks:
        return []
    if rest is not None:
        return tasks + rest_as_instruction(text, rest, len(text))
    if finish_reason == "length":
        tasks[-1] = replace(tasks[-1], truncated=True)
    before = cut_words(text, (0, marks[0].start))
    if before is not None:
        tasks[0] = replace(tasks[0], cut="\n".join(filter(None, (before, tasks[0].cut))))
    return tasks


def _marks(text: str, *, continues: bool) -> list[_Mark]:
    found = [
        _Mark((match[1] or match[2]).casefold(), match.start(), match.end())
        for match in _FIELD.finditer(text)
    ]
    opens = bool(found) and found[0].name == "instruction" and not text[: found[0].start].strip()
    return found if not continues or opens else [_Mark("instruction", 0, 0), *found]


def _groups(text: str, marks: list[_Mark], end: int) -> list[_Group]:
    """Return the fields of each task; a label that its task has already is part of a value."""
    groups: list[_Group] = []
    owner: tuple[_Group, str] | None = None
    for place, mark in enumerate(marks):
        until = marks[place + 1].start if place + 1 < len(marks) else end
        if mark.name == "instruction":
            groups.append(_Group())
        if mark.name == "example" or not groups:
            owner = None
            continue
        if mark.name in groups[-1].values:
            if owner is not None:
                group, name = owner
                span = group.values[name]
                group.values[name] = without_ornaments(text, span.start, until)
            continue
        owner = (groups[-1], mark.name)
        groups[-1].values[mark.name] = without_ornaments(text, mark.after, until)
    return groups


def _task(text: str, group: _Group) -> ParsedInstruction | None:
    own = group.values["instruction"]
    raw = text[own.start : own.end]
    instruction = clean_item(raw)
    if not instruction:
        return None
    input, input_span = _value(text, group.values.get("input", NOWHERE))
    limits, limits_span = _value(text, group.values.get("constraint", NOWHERE))
    constraints = clean_item(limits)
    output = group.values.get("output", NOWHERE)
    return ParsedInstruction(
        own.start,
        own.end,
        raw,
        with_constraints(instruction, constraints),
        truncated=False,
        cut=cut_words(text, output),
        input=input,
        input_span=input_span,
        constraints=constraints,
        constraints_span=limits_span,
    )


def _value(text: str, span: Span) -> tuple[str, Span]:
    """Return a field's text and range; both are empty where its words stand for nothing."""
    value = text[span.start : span.end]
    if not value or value.strip(" .()[]<>*_\"'").casefold() in _NOTHING:
        return "", NOWHERE
    return value, span


def read_task(text: str, finish_reason: str, *, tag: str) -> list[ParsedInstruction]:
    """Read one task that was rewritten; `tag` is the label that its prompt gave to such tasks."""
    start = opening_end(text, 0, len(text))
    end = closing_start(text, start, len(text))
    task = instruction_of(text, Item(1, start, max(start, end)), tag)
    if task is None:
        return []
    cut = cut_words(text, (0, start), (end, len(text)))
    words = "\n".join(filter(None, (cut, task.cut))) or None
    return [replace(task, cut=words, truncated=finish_reason == "length")]


def read_message(text: str, finish_reason: str) -> list[ParsedInstruction]:
    """Read a user's message: the whole text, with its line breaks."""
    span = trimmed(text, 0, len(text))
    raw = text[span.start : span.end]
    if not raw:
        return []
    return [ParsedInstruction(*span, raw, raw, truncated=finish_reason == "length")]
