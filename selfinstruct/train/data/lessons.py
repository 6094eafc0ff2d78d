"""Prompts of a distillation as tokens: as the student reads them, and as the teacher does.

In prompt distillation the teacher reads a text before each prompt that the student never sees
(Askell et al. 2021, arXiv:2112.00861, §2.1, context distillation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_prompt, user_path
from selfinstruct.common.records import LocalModel
from selfinstruct.common.texts import read_text
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.preference_rows import Unusable
from selfinstruct.train.data.prompts import PromptSplit, RlPrompt, as_before, encode_prompts
from selfinstruct.train.network import load_tokenizer


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt as token ids for student and teacher, with room for an answer of `room` tokens."""

    prompt: RlPrompt
    ids: list[int]
    teacher_ids: list[int]
    room: int

    def sequences(self) -> tuple[int]:
        """Return the most tokens of the longer prompt with an answer."""
        return (max(len(self.ids), len(self.teacher_ids)) + self.room,)


@dataclass(frozen=True, slots=True)
class Lengths:
    """The most tokens of a prompt with its answer, and of an answer."""

    most: int
    room: int


def read_prompt(text: str) -> str:
    """Return the text of a prompt for the teacher: of a file, or a shipped one (`hhh`, `values`).

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    path = shipped_prompt(text) or user_path(text, "--prompt")
    prompt = read_text(path, "--prompt").strip()
    if not prompt:
        raise ConfigError(f"{path}: is empty; give --prompt a text for the teacher to read")
    return prompt


def require_one_vocabulary(student: LocalModel, teacher: LocalModel) -> None:
    """Refuse a teacher whose tokens are not the student's.

    Raises:
        ConfigError: a token has another number, or the networks have other numbers of tokens.
    """
    ours, theirs = (load_tokenizer(model).get_vocab() for model in (student, teacher))
    if unlike := [token for token in sorted(theirs) if ours.get(token) != theirs[token]]:
        raise ConfigError(
            f"--teacher {teacher.name}: its tokens are not those of {student.name} "
            f"({len(unlike):,} of {len(theirs):,} differ, {unlike[0]!r} for one); both must share "
            "a vocabulary, as models of one family do. Or train on its answers: `answer`, then "
            "`train sft`"
        )
    sizes = [_words(model) for model in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"--teacher {teacher.name}: its network has {sizes[1]} tokens and that of "
            f"{student.name} {sizes[0]}; give models that have as many"
        )


def _words(model: LocalModel) -> int | None:
    config = model.config.get("text_config") or model.config
    return config.get("vocab_size")


def encoded_lessons(
    split: PromptSplit,
    system: str,
    tokenizers: tuple[Any, Any],
    lengths: Lengths,
    eos_token: str | None,
) -> tuple[list[Lesson], list[Lesson], Counter[str]]:
    """Return prompts to train on, prompts held out, and what was dropped.

    Gives the tokenizers what they lack first (`prepare_tokenizer`). Each model reads a prompt in
    its own chat template.

    Args:
        split: the prompts.
        system: what the teacher reads before each; empty for nothing.
        tokenizers: of student and teacher.
        lengths: what must fit.
        eos_token: the token that ends an answer, by the user's choice.

    Raises:
        ConfigError: no prompt to train on is short enough, nothing could learn to stop, or the
            models end their answers with different tokens.
    """
    for tokenizer in tokenizers:
        prepare_tokenizer(tokenizer, eos_token)
    ours, theirs = (str(tokenizer.eos_token) for tokenizer in tokenizers)
    if ours != theirs:
        raise ConfigError(
            f"the student ends its answers with {ours!r}, and the teacher with {theirs!r}; name "
            f"one for both, such as --eos-token {theirs!r}"
        )
    dropped = Counter(split.dropped)
    parts = []
    for prompts in (split.train, split.held_out):
        lessons = _lessons(prompts, system, tokenizers, lengths)
        parts.append(lessons)
        dropped[str(Unusable.TOO_LONG)] += len(prompts) - len(lessons)
    if not parts[0]:
        with_prompt = " after --prompt" if system else ""
        raise ConfigError(
            f"{split.name}: 0 of {len(split.train)} prompts{with_prompt} leave room for an answer "
            f"of {lengths.room} tokens within --max-length {lengths.most}; raise that, or lower "
            "--answer-tokens"
        )
    return parts[0], parts[1], +dropped


def _lessons(
    prompts: Sequence[RlPrompt], system: str, tokenizers: tuple[Any, Any], lengths: Lengths
) -> list[Lesson]:
    shown = prompts
    if system:
        shown = [
            replace(prompt, messages=tuple(with_system(prompt.messages, system)))
            for prompt in prompts
        ]
    ours, theirs = (
        {
            row.prompt.id: row.ids
            for row in encode_prompts(texts, tokenizer, max_length=lengths.most, room=lengths.room)[
                0
            ]
        }
        for texts, tokenizer in zip((prompts, shown), tokenizers, strict=True)
    )
    return [
        Lesson(prompt, ours[prompt.id], theirs[prompt.id], lengths.room)
        for prompt in prompts
        if prompt.id in ours and prompt.id in theirs
    ]


def compared_lessons(lessons: Sequence[Lesson]) -> list[dict[str, Any]]:
    """Return lessons as JSON can hold them, to compare those of a resumed training."""
    return [as_before(asdict(lesson)) for lesson in lessons]
