"""Formats of single tasks: an instruction with an answer, a prompt, a question, a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.records import Message
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats.base import Fields, Format, Kind
from selfinstruct.inputs.formats.tools import TOOLS, tools_of
from selfinstruct.inputs.formats.turns import check_order, divided, turns_of
from selfinstruct.prompts.canonical import unframed, user_text

_SYSTEM = ("system", "system_prompt")


def _turn(role: str, text: str) -> Message:
    return Message(role=role, content=text)


def _system(fields: Fields) -> list[Message]:
    """Return the system prompt of a row as a turn, if it has one."""
    text = fields.optional("system")
    return [_turn("system", text)] if text.strip() else []


def _history(fields: Fields) -> list[Message]:
    """Return earlier turns, which are written as pairs of the user's text and the answer.

    Raises:
        BadRowError: a pair is none.
    """
    value = fields.get("history")
    turns: list[Message] = []
    for place, pair in enumerate(value if isinstance(value, list) else [value] if value else []):
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRowError(
                fields.where,
                f'"history[{place}]" is {shown(pair)}; give a pair of texts',
                "history: no pair",
            )
        for role, text in zip(("user", "assistant"), pair, strict=True):
            turns.append(_turn(role, fields.checked(text, f"history[{place}]")))
    return turns


def _answered(text: str) -> tuple[Message, ...] | None:
    return (_turn("assistant", text),) if text.strip() else None


def _alpaca(fields: Fields, row: DataRow) -> list[DataRow]:
    instruction, input = fields.text("instruction"), fields.optional("input")
    before = [*_system(fields), *_history(fields)]
    user = _turn("user", user_text(instruction, input))
    return [
        replace(
            row,
            prompt=(*before, user),
            answer=_answered(fields.text("output")),
            instruction=instruction,
            input=input,
            tools=tools_of(fields),
        )
    ]


def _release(fields: Fields, row: DataRow) -> list[DataRow]:
    instruction = fields.text("instruction")
    instances = fields.get("instances")
    if not isinstance(instances, Sequence) or isinstance(instances, str) or not instances:
        state = "missing" if instances is None else "empty" if instances == [] else "not a list"
        raise fields.bad("instances", f'is {state}; give at least one {{"input", "output"}}', state)
    rows = []
    for place, instance in enumerate(instances):
        input, output = _instance(fields, instance, f"instances[{place}]")
        rows.append(
            replace(
                row,
                id=row.id if len(instances) == 1 else ids.example(row.id, place),
                place=place,
                prompt=(_turn("user", user_text(instruction, input)),),
                answer=_answered(output),
                instruction=instruction,
                input=input,
            )
        )
    return rows


def _instance(fields: Fields, instance: Any, place: str) -> tuple[str, str]:
    """Return input and output.

    Raises:
        BadRowError: there is no output, or one is no text.
    """
    if not isinstance(instance, Mapping) or not {"input", "output"} & set(instance):
        text = f"is {shown(instance)}, but"
        raise BadRowError(
            fields.where,
            f'"{place}" {text} must be an object {{"input", "output"}}',
            "instances: no object",
        )
    input, output = instance.get("input"), instance.get("output")
    if output is None:
        raise BadRowError(
            fields.where, f'"{place}.output" is missing; give a text', "output: missing"
        )
    input = "" if input is None else fields.checked(input, f"{place}.input")
    return input, fields.checked(output, f"{place}.output")


def _prompt_completion(fields: Fields, row: DataRow) -> list[DataRow]:
    prompt = turns_of(fields, "prompt")
    completion = turns_of(fields, "completion", "assistant")
    if isinstance(fields.get("prompt"), str) and len(prompt) == 1:
        # An export for a base model has the whole prompt, with what the user wrote in it.
        prompt = unframed(prompt[0]["content"])
    if isinstance(fields.get("completion"), str) and len(completion) == 1:
        completion = tuple(_turn("assistant", turn["content"].strip()) for turn in completion)
    turns = (*_system(fields), *prompt, *completion)
    check_order(fields, turns, fields.column("prompt"))
    before, answer = divided(turns)
    empty = answer is not None and not answer[-1]["content"].strip()
    answered = None if empty else answer
    return [replace(row, prompt=before, answer=answered, tools=tools_of(fields))]


def _question_answer(fields: Fields, row: DataRow) -> list[DataRow]:
    question, context = fields.text("question"), fields.optional("context")
    answer = fields.get("answer")
    if isinstance(answer, Mapping):  # as in SQuAD: the first of several spans
        answer = answer.get("text")
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if answer is None:
        raise fields.bad("answer", "holds no answer; give a text", "missing")
    column = fields.column("answer")
    return [
        replace(
            row,
            prompt=(*_system(fields), _turn("user", user_text(question, context))),
            answer=_answered(fields.checked(answer, column)),
            instruction=question,
            input=context,
        )
    ]


def _text(fields: Fields, row: DataRow) -> list[DataRow]:
    turns = turns_of(fields, "text")
    check_order(fields, turns, fields.column("text"))
    before, answer = divided(turns)
    if fields.has("input") and len(turns) == 1:
        input = fields.optional("input")
        instruction = turns[0]["content"]
        user = _turn("user", user_text(instruction, input))
        return [replace(row, prompt=(*_system(fields), user), instruction=instruction, input=input)]
    return [replace(row, prompt=(*_system(fields), *before), answer=answer)]


RELEASE = Format(
    name="tasks",
    kind=Kind.TASKS,
    names={"instruction": ("instruction",), "instances": ("instances",)},
    needs=("instruction", "instances"),
    convert=_release,
    help="`instruction`, `instances` with `input` and `output`: seed files, the data of the "
    "Self-Instruct paper",
    example={
        "instruction": "Say the colour in one word.",
        "instances": [{"input": "fresh snow", "output": "white"}],
    },
)

ALPACA = Format(
    name="alpaca",
    kind=Kind.TASKS,
    names={
        "instruction": ("instruction",),
        "input": ("input", "context"),
        "output": ("output", "response", "answer", "completion"),
        "system": _SYSTEM,
        "history": ("history",),
        "tools": TOOLS,
    },
    needs=("instruction", "output"),
    convert=_alpaca,
    help="`instruction`, `input`, `output`; also `context` and `response` (Dolly), `system`, "
    "`history`",
    example={
        "instruction": "Turn the sentence into a question.",
        "input": "The ferry leaves at noon.",
        "output": "When does the ferry leave?",
    },
)

PROMPT_COMPLETION = Format(
    name="prompt-completion",
    kind=Kind.TASKS,
    names={
        "prompt": ("prompt",),
        "completion": ("completion", "response", "output", "answer"),
        "system": _SYSTEM,
        "tools": TOOLS,
    },
    needs=("prompt", "completion"),
    convert=_prompt_completion,
    help="`prompt` and `completion`, each a text or turns; also `response`",
    example={"prompt": "Name a fruit that grows on a vine.", "completion": "A grape."},
)

QUESTION_ANSWER = Format(
    name="question-answer",
    kind=Kind.TASKS,
    names={
        "question": ("question", "query", "problem", "input"),
        "answer": ("answer", "response", "solution", "answers", "output"),
        "context": ("context", "passage"),
        "system": _SYSTEM,
    },
    needs=("question", "answer"),
    convert=_question_answer,
    help="`question` and `answer`; also `query`, `problem`, `response`, `solution`, `context`",
    example={"question": "How many legs does a spider have?", "answer": "Eight."},
)

TEXTS = Format(
    name="texts",
    kind=Kind.TEXTS,
    names={
        "text": ("instruction", "prompt", "question", "query", "problem", "text", "topic"),
        "input": ("input", "context"),
        "system": _SYSTEM,
    },
    needs=("text",),
    convert=_text,
    help="one text per line, or a single column `instruction`, `prompt`, `question` or `text`; "
    "there are no answers",
    example={"instruction": "Describe the smell of rain to a friend."},
)
