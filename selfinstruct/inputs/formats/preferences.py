"""Formats of several answers to one prompt: pairs, ranked lists, and single judgements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common.records import Message
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats.base import Fields, Format, Kind
from selfinstruct.inputs.formats.tools import TOOLS, tools_of
from selfinstruct.inputs.formats.turns import (
    check_order,
    is_transcript,
    read_turns,
    transcript,
    turns_of,
)
from selfinstruct.prompts.canonical import user_text

Turns = tuple[Message, ...]
_PROMPT = ("prompt", "question", "query", "instruction", "conversations")
_SYSTEM = ("system", "system_prompt")
# The roles of turns that are answered.
_ASKS = ("user", "tool")
_LABELS = {"true": True, "1": True, "false": False, "0": False}


def _prompt(fields: Fields) -> Turns | None:
    """Return what is asked, with the system prompt; None if no column says it.

    Raises:
        BadRowError: it does not end with a turn of the user.
    """
    system = fields.optional("system")
    before = (Message(role="system", content=system),) if system.strip() else ()
    if not fields.has("prompt"):
        return None
    value, column = fields.get("prompt"), fields.column("prompt")
    if is_transcript(value):
        turns = tuple(turn for turn in transcript(fields, value, column) if turn["content"])
    else:
        turns = turns_of(fields, "prompt")
        if isinstance(value, str) and len(turns) == 1:
            text = user_text(turns[0]["content"], fields.optional("input"))
            turns = (Message(role="user", content=text),)
    turns = (*before, *turns)
    check_order(fields, turns, column)
    if turns[-1]["role"] not in _ASKS:
        raise fields.bad(
            "prompt", "ends with no turn of the user; end it with one", "no turn of the user last"
        )
    if not turns[-1]["content"].strip():
        raise fields.bad("prompt", "is empty; give a text, or turns", "empty")
    return turns


def _answer(fields: Fields, field: str) -> Turns:
    """Return an answer, or the whole conversation with the answer at its end."""
    value, column = fields.get(field), fields.column(field)
    if is_transcript(value):
        return transcript(fields, value, column)
    return turns_of(fields, field, "assistant")


def _pair(fields: Fields, row: DataRow) -> list[DataRow]:
    prompt = _prompt(fields)
    chosen, rejected = _answer(fields, "chosen"), _answer(fields, "rejected")
    if prompt is None:
        prompt = _shared(fields, chosen, rejected)
    return [
        replace(
            row,
            prompt=prompt,
            chosen=_without(fields, "chosen", prompt, chosen),
            rejected=_without(fields, "rejected", prompt, rejected),
            tools=tools_of(fields),
        )
    ]


def _shared(fields: Fields, chosen: Turns, rejected: Turns) -> Turns:
    """Return the turns that both conversations begin with, up to the last of the user.

    Raises:
        BadRowError: they have none in common.
    """
    length = 0
    for first, second in zip(chosen, rejected, strict=False):
        if first != second:
            break
        length += 1
    system = fields.optional("system")
    while length and chosen[length - 1]["role"] not in _ASKS:
        length -= 1
    if not length:
        raise BadRowError(
            fields.where,
            '"prompt" is missing, and "chosen" and "rejected" do not begin with the same turn of '
            'the user; give "prompt", or whole conversations',
            "prompt: missing",
        )
    prompt = chosen[:length]
    check_order(fields, prompt, "chosen")
    if system.strip() and prompt[0]["role"] != "system":
        prompt = (Message(role="system", content=system), *prompt)
    return prompt


def _without(fields: Fields, field: str, prompt: Turns, turns: Turns) -> Turns:
    """Return an answer without the prompt that it may begin with.

    Raises:
        BadRowError: more or less than one answer is left.
    """
    asked = tuple(turn for turn in prompt if turn["role"] != "system")
    own = tuple(turn for turn in turns if turn["role"] != "system")
    if len(own) > len(asked) and own[: len(asked)] == asked:
        own = own[len(asked) :]
    if len(own) == 1 and own[0]["role"] == "assistant":
        return own
    if any(turn["role"] == "tool" for turn in own) and own[-1]["role"] == "assistant":
        return own
    problem = "ends with no answer" if not own or own[-1]["role"] == "user" else "is not one answer"
    raise fields.bad(
        field,
        f"{problem} to the prompt (its turns: {', '.join(turn['role'] for turn in own)}); give a "
        "text, one turn of the assistant, or the prompt's turns and one",
        "not one answer to the prompt",
    )


def _ranked(fields: Fields, row: DataRow) -> list[DataRow]:
    prompt = _prompt(fields)
    if prompt is None:
        raise fields.bad("prompt", "is missing; give a text, or turns", "missing")
    answers = _in_order(fields)
    if len(answers) < 2:
        raise fields.bad(
            "ranked",
            f"is {shown(fields.get('ranked'))}; give two answers or more, the best first",
            "fewer than two answers",
        )
    column = fields.column("ranked")
    turns = []
    for place, answer in enumerate(answers):
        own = read_turns(fields, answer, f"{column}[{place}]", "assistant")
        turns.append(_without(fields, "ranked", prompt, own))
    return [replace(row, prompt=prompt, ranked=tuple(turns))]


def _in_order(fields: Fields) -> Sequence[Any]:
    """Return the answers, the best first, by the ranks or scores that come with them.

    Raises:
        BadRowError: they do not fit each other.
    """
    answers = fields.get("ranked")
    if not isinstance(answers, list):
        return ()
    if fields.column("ranked") == "ranked":
        return answers
    name, sign = ("ranks", 1) if fields.has("ranks") else ("scores", -1)
    order = fields.get(name)
    is_order = isinstance(order, list) and len(order) == len(answers)
    if not is_order or not all(_is_number(value) for value in order):
        raise fields.bad(
            name,
            f"is {shown(order)}; give a number for each answer",
            "not a number for each answer",
        )
    if len(set(order)) < len(order):
        raise fields.bad(
            name,
            f"is {shown(order)}: two answers are alike; leave one of them out",
            "two answers are alike",
        )
    return [answers[n] for n in sorted(range(len(answers)), key=lambda n: sign * order[n])]


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _judged(fields: Fields, row: DataRow) -> list[DataRow]:
    prompt = _prompt(fields)
    if prompt is None:
        raise fields.bad("prompt", "is missing; give a text, or turns", "missing")
    value = fields.get("label")
    label = value if isinstance(value, bool) else _LABELS.get(str(value).strip().lower())
    if label is None:
        raise fields.bad(
            "label", f"is {shown(value)}; give true or false", "neither true nor false"
        )
    answer = _without(fields, "completion", prompt, _answer(fields, "completion"))
    return [replace(row, prompt=prompt, answer=answer, label=label)]


def _has_label(fields: Fields) -> bool:
    """Whether the label is one of true and false, and not a class."""
    value = fields.get("label")
    return isinstance(value, bool) or str(value).strip().lower() in _LABELS


def turns_example(*turns: str) -> list[Mapping[str, str]]:
    """Return turns of user and assistant in alternation, for examples."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]


PREFERENCE = Format(
    name="preference",
    kind=Kind.PAIRS,
    names={
        "prompt": _PROMPT,
        "chosen": ("chosen",),
        "rejected": ("rejected",),
        "input": ("input", "context"),
        "system": _SYSTEM,
        "tools": TOOLS,
    },
    needs=("chosen", "rejected"),
    convert=_pair,
    help="`prompt`, `chosen`, `rejected`: texts or turns; without `prompt`, both are whole "
    "conversations, and the beginning that they share is the prompt",
    example={
        "chosen": turns_example("Name a warm colour.", "Orange."),
        "rejected": turns_example("Name a warm colour.", "Colours are nice."),
    },
)

RANKED = Format(
    name="ranked",
    kind=Kind.RANKED,
    names={
        "prompt": _PROMPT,
        "ranked": ("ranked", "responses", "answers", "completions"),
        "ranks": ("ranks", "rank"),
        "scores": ("scores",),
        "input": ("input", "context"),
        "system": _SYSTEM,
    },
    needs=("prompt", "ranked"),
    convert=_ranked,
    help="`prompt`, `ranked`: answers, the best first; also `responses` with `scores` or `ranks`",
    example={"prompt": "Name a river.", "ranked": ["The Danube.", "A long one.", "Blue."]},
    fits=lambda fields: "ranked" in fields.columns or fields.has("ranks") or fields.has("scores"),
)

KTO = Format(
    name="kto",
    kind=Kind.LABELS,
    names={
        "prompt": _PROMPT,
        "completion": ("completion", "response", "output", "answer"),
        "label": ("label", "kto_tag"),
        "input": ("input", "context"),
        "system": _SYSTEM,
    },
    needs=("prompt", "completion", "label"),
    convert=_judged,
    help="`prompt`, `completion`, `label`: whether a person liked the answer",
    example={"prompt": "Add 2 and 3.", "completion": "5", "label": True},
    fits=_has_label,
)
