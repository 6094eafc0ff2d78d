"""Prompts of self-chats: templates for both modes, and their words in each language.

They are no part of a run's own templates: each commit of self-chats keeps those that it was made
with, since runs of any age can have some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from selfinstruct.common.chats import ASSISTANT, USER
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Markers, Message
from selfinstruct.prompts.library import PromptLibrary

SHIPPED = Path(__file__).parent / "self_chat"
BASE_TEMPLATE = "turn.base.jinja"
USER_TEMPLATE = "user.chat.jinja"
WORDS = "words.yaml"
_ENGLISH = "en"
_SENTENCE_END = re.compile(r"(?<=[.:]) |(?<=[。：])|\n")  # noqa: RUF001

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


class _Words(BaseModel):
    """The content of a file of words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: _Text
    assistant: _Text
    ends: list[_Text]
    polite: list[_Text]
    answers: list[_Text]
    intro: _Text
    subjects: list[_Text]
    examples: list[list[_Text]]
    before: _Text
    after: _Text


@dataclass(frozen=True)
class Turn:
    """A turn as a template shows it."""

    role: str
    text: str


@dataclass(frozen=True)
class ChatPrompts:
    """The templates and words of self-chats; `files` maps each file name to its text, as used.

    speakers: the name before the turns of each role.
    ends, polite: phrases by which the user ends a conversation (filters/turns.py).
    answers: phrases by which an answer starts, and no turn of the user.
    subjects: words that the examples are about.
    shown: turns of the examples, and sentences of what is asked.
    """

    files: Mapping[str, str]
    speakers: Mapping[str, str]
    ends: tuple[str, ...]
    polite: tuple[str, ...]
    answers: tuple[str, ...]
    subjects: tuple[str, ...]
    shown: tuple[str, ...]
    _words: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def text(self, turns: Sequence[Turn], speaker: str) -> str:
        """Return the conversation as raw text, up to the next turn of a speaker."""
        values = {"turns": [asdict(turn) for turn in turns], "speaker": speaker}
        return self._library.text(BASE_TEMPLATE, words=self._words, **values).rstrip()

    def user_messages(self, turns: Sequence[Turn], *, can_open: bool) -> list[Message]:
        """Return the messages that ask for the user's next turn."""
        shown = [asdict(turn) for turn in turns]
        return self._library.messages(
            USER_TEMPLATE, words=self._words, turns=shown, can_open=can_open
        )

    @property
    def _library(self) -> PromptLibrary:
        return PromptLibrary(self.files, Markers(), {}, ())


def _sentences(words: _Words) -> list[str]:
    """Return what the prompts say to the model, sentence by sentence."""
    parts = _SENTENCE_END.split(f"{words.intro}\n{words.before}\n{words.after}")
    return [part.strip() for part in parts if part.strip()]


def load_chat_prompts(language: str | None = None) -> ChatPrompts:
    """Load the shipped prompts of self-chats.

    Args:
        language: code of a language; None for English.

    Raises:
        ConfigError: there are no words in this language.
    """
    code = language or _ENGLISH
    words = SHIPPED / f"{code}.yaml"
    if not words.is_file():
        known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
        raise ConfigError(
            f"language {code!r}: self-chats have no words in it; there are: {known} "
            "(docs/conversations.md: to add one)"
        )
    names = (BASE_TEMPLATE, USER_TEMPLATE)
    files = {name: (SHIPPED / name).read_text(encoding="utf-8") for name in names}
    return chat_prompts_from({**files, WORDS: words.read_text(encoding="utf-8")})


def chat_prompts_from(files: Mapping[str, str]) -> ChatPrompts:
    """Build the prompts from the texts themselves, as a commit keeps them.

    Raises:
        ConfigError: a file is missing or wrong.
    """
    try:
        words = _Words.model_validate(yaml.safe_load(files[WORDS]))
    except (KeyError, ValidationError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{WORDS} of self-chats: cannot be used: {why(error)}") from error
    prompts = ChatPrompts(
        dict(files),
        {USER: words.user, ASSISTANT: words.assistant},
        tuple(words.ends),
        tuple(words.polite),
        tuple(words.answers),
        tuple(words.subjects),
        (*(text for example in words.examples for text in example), *_sentences(words)),
        words.model_dump(),
    )
    prompts._library.check_syntax()
    return prompts
