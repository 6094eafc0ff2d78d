"""Prompts that a model answers in training (RL, distillation): in any format, and as tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import Message
from selfinstruct.dataset.read import read_any
from selfinstruct.evaluate.checks import check_of
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.own_folders import HELD_OUT, TRAIN
from selfinstruct.inputs.purposes import RL, Purpose
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.labellers.base import TaskPrompt
from selfinstruct.preferences.sample import prompts_of, task_prompt
from selfinstruct.prompts.template import prompt_text
from selfinstruct.prompts.text_tokens import text_tokens
from selfinstruct.store import open_run, run_exists
from selfinstruct.train.data.encode import prepare_tokenizer, refused_row
from selfinstruct.train.data.mixture import MixedPart, Part, mix_splits
from selfinstruct.train.data.preference_rows import Unusable, is_ours, split_prompts


@dataclass(frozen=True, slots=True)
class RlPrompt:
    """A conversation to answer, its accepted answer, and how an answer is checked.

    `reference` is empty where there is none. `check` is the name of a check and its values
    (`evaluate.checks.check_of`). `expect` is what a good answer does
    (`labellers.expected.Expected`); empty where nothing is said.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str = ""
    check: tuple[str, tuple[str, ...]] | None = None
    expect: str = ""

    @property
    def text(self) -> str:
        """What the user wrote last."""
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class PromptSplit:
    """Prompts to train on, prompts held out, and how many were dropped."""

    train: list[RlPrompt]
    held_out: list[RlPrompt]
    dropped: Counter[str] = field(default_factory=Counter)
    sources: tuple[MixedPart, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as token ids, with room for an answer of at most `room` tokens."""

    prompt: RlPrompt
    ids: list[int]
    room: int

    def sequences(self) -> tuple[int]:
        """Return the most tokens of the prompt with an answer."""
        return (len(self.ids) + self.room,)


def read_rl_prompts(
    data: str | Path,
    *,
    held_out: float = 0.2,
    reading: ReadAs = AS_IT_IS,
    purpose: Purpose = RL,
    option: str = "--data",
) -> PromptSplit:
    """Read prompts: of a run as it stands, of a folder of `prefer`, or of data in any format.

    Args:
        data: the run, folder or file, or a name on the hub.
        held_out: the share of the prompts to hold out, the last ones; those of one instruction of a
            run stay together, and a folder of `prefer` holds out what it held out.
        reading: how to read a file.
        purpose: of the command.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
    """
    path = user_path(data, option)
    if run_exists(path):
        return _of_run(path, held_out)
    if is_ours(path):
        parts = [read_any(path / name, option) for name in (TRAIN, HELD_OUT)]
        train, held = (part.converted(purpose, _checked) for part in parts)
        name = str(data)
    else:
        file = read_any(data, option, reading)
        train, held = split_prompts(file.converted(purpose, _checked), held_out)
        name = file.name
    dropped: Counter[str] = Counter()
    split = [_distinct(map(_prompt, part), dropped) for part in (train, held)]
    return PromptSplit(split[0], split[1], dropped, name=name)


def mix_prompts(
    parts: Sequence[tuple[Part, PromptSplit]],
    seed: int,
    validation: PromptSplit | None = None,
) -> PromptSplit:
    """Put the prompts of several data sets together, and weight those that are trained on.

    Args:
        parts: the data sets, with their prompts.
        seed: of the draws.
        validation: prompts to hold out instead; those of the parts must hold none out.
    """
    mixed = mix_splits(parts, seed, validation)
    return PromptSplit(mixed.train, mixed.held_out, mixed.dropped, mixed.sources, mixed.name)


def encode_prompts(
    prompts: Sequence[RlPrompt], tokenizer: Any, *, max_length: int, room: int
) -> tuple[list[EncodedPrompt], int]:
    """Return prompts as tokens, and how many are too long for an answer to fit.

    Args:
        prompts: what to ask.
        tokenizer: as `encode.prepare_tokenizer` leaves it.
        max_length: of a prompt with its answer.
        room: the most tokens of an answer.

    Raises:
        ConfigError: the template refuses a conversation. Names the row.
    """
    tokens = text_tokens(tokenizer)
    encoded = []
    for prompt in prompts:
        mark = tokens.mark_of(prompt.messages)
        with refused_row(prompt.id):
            text = prompt_text(tokens.marked(list(prompt.messages), mark), tokenizer)
        encoded.append(EncodedPrompt(prompt, tokens.encode(text, mark), room))
    fitting = [row for row in encoded if len(row.ids) + room <= max_length]
    return fitting, len(encoded) - len(fitting)


def encoded_prompts(
    split: PromptSplit, tokenizer: Any, *, max_length: int, room: int, eos_token: str | None
) -> tuple[list[EncodedPrompt], list[EncodedPrompt], Counter[str]]:
    """Return prompts to train on, prompts held out, and what was dropped.

    Gives the tokenizer what it lacks first (`prepare_tokenizer`).

    Raises:
        ConfigError: no prompt to train on is short enough, or nothing could learn to stop.
    """
    prepare_tokenizer(tokenizer, eos_token)
    dropped = Counter(split.dropped)
    parts = []
    for prompts in (split.train, split.held_out):
        fitting, long = encode_prompts(prompts, tokenizer, max_length=max_length, room=room)
        parts.append(fitting)
        dropped[str(Unusable.TOO_LONG)] += long
    if not parts[0]:
        raise ConfigError(
            f"{split.name}: 0 of {len(split.train)} prompts leave room for an answer of {room} "
            f"tokens within --max-length {max_length}; raise that, or lower --answer-tokens"
        )
    return parts[0], parts[1], +dropped


def compared(prompts: Sequence[EncodedPrompt]) -> list[dict[str, Any]]:
    """Return prompts as JSON can hold them, to compare those of a resumed training."""
    return [as_before(asdict(row)) for row in prompts]


def as_before(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as trainings of earlier compared it, where its prompt has nothing newer."""
    if row["prompt"]["expect"]:
        return row
    return {**row, "prompt": {k: v for k, v in row["prompt"].items() if k != "expect"}}


def _of_run(path: Path, share: float) -> PromptSplit:
    """Read the accepted tasks of a run; those of one instruction are never split.

    Raises:
        ConfigError: it has none.
    """
    groups: dict[str, list[TaskPrompt]] = {}
    for task in prompts_of(open_run(path)):
        groups.setdefault(task.group, []).append(task)
    if not groups:
        raise ConfigError(f"{path}: has no accepted task to answer; generate some first")
    order = list(groups.values())
    cut = len(order) - (math.ceil(share * len(order)) if len(order) > 1 else 0)
    dropped: Counter[str] = Counter()
    parts = [
        [RlPrompt(task.id, task.turns, task.reference) for group in part for task in group]
        for part in (order[:cut], order[cut:])
    ]
    train, held = (_distinct(part, dropped) for part in parts)
    return PromptSplit(train, held, dropped, name=path.name)


def _checked(row: DataRow) -> DataRow:
    """Return a row that can be asked.

    Raises:
        BadRowError: it has no prompt, turns of tools, or a check that is none.
    """
    _prompt(row)
    return row


def _prompt(row: DataRow) -> RlPrompt:
    task = task_prompt(row)
    check = row.columns.get("check")
    found = None if check is None else check_of(check, row.where, task.reference)
    return RlPrompt(task.id, task.turns, task.reference, found, task.expect)


def _distinct(prompts: Iterable[RlPrompt], dropped: Counter[str]) -> list[RlPrompt]:
    """Return each prompt once, under an id that no other has, and count what repeats one."""
    known: dict[tuple[tuple[str, str], ...], RlPrompt] = {}
    ids: set[str] = set()
    for number, prompt in enumerate(prompts):
        key = tuple((turn["role"], turn["content"]) for turn in prompt.messages)
        if key in known:
            dropped["same_prompt"] += 1
            continue
        id = prompt.id if prompt.id not in ids else f"{number}:{prompt.id}"
        ids.add(id)
        known[key] = replace(prompt, id=id)
    return list(known.values())
