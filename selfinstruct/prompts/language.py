"""Languages: one file each in `languages/`, with the words of prompts, parser and rules.

A file has the language's templates, what it changes in prompts.yaml, and values of the config. It
is laid over what is shipped and under what the user gives. docs/languages.md explains each part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.config.values import overlay
from selfinstruct.filters.novelty.tokens import Tokenizer, tokens_3
from selfinstruct.prompts.settings import SETTINGS

FOLDER = Path(__file__).parent / "languages"


@dataclass(frozen=True)
class Language:
    """What a file of `languages/` says.

    code: the file's name, such as `de`.
    name: in English.
    common_words: words of which most texts in the language have one, as Unicode words.
    config: values of the config, nested.
    settings: what it changes in prompts.yaml.
    templates: texts by file name.
    """

    code: str
    name: str
    common_words: frozenset[str]
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    templates: Mapping[str, str]

    def files(self, shipped: Mapping[str, str]) -> dict[str, str]:
        """Return the shipped files with those of the language in their place.

        Raises:
            ConfigError: a template that no stage uses.
        """
        for name in self.templates:
            if name not in shipped:
                names = ", ".join(sorted(shipped))
                raise ConfigError(f"{self._path}: no stage uses {name!r}; known names: {names}")
        english = yaml.safe_load(shipped[SETTINGS])
        # English patterns say nothing of another language: without its own, the model decides.
        english.pop("classification", None)
        settings = overlay(english, self.settings)
        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False, width=100)
        return {**shipped, **self.templates, SETTINGS: text}

    def is_used_in(self, texts: Sequence[str]) -> bool:
        """Whether at least a third of the texts have a common word of the language."""
        used = sum(
            not self.common_words.isdisjoint(tokens_3(text, Tokenizer.UNICODE)) for text in texts
        )
        return 3 * used >= len(texts)

    @property
    def _path(self) -> Path:
        return FOLDER / f"{self.code}.yaml"


class _File(BaseModel):
    """The content of a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    common_words: list[str]
    config: dict[str, Any]
    prompts: dict[str, Any]
    templates: dict[str, str]


def languages() -> list[str]:
    """Return the code of every language, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_language(code: str) -> Language:
    """Return the language of a code.

    Raises:
        ConfigError: there is none, or its file is wrong.
    """
    if code not in languages():
        raise ConfigError(
            f"language {code!r} is not known; {did_you_mean(code, languages())}there are: "
            f"{', '.join(languages())} (leave --language out for English; docs/languages.md: to "
            "add one)"
        )
    path = FOLDER / f"{code}.yaml"
    try:
        content = _File.model_validate(_joined(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else error
        raise ConfigError(f"{path}: cannot be used: {problem}") from error
    words = frozenset(
        token for word in content.common_words for token in tokens_3(word, Tokenizer.UNICODE)
    )
    return Language(code, content.name, words, content.config, content.prompts, content.templates)


def _joined(value: Any) -> Any:
    """Return a value in which lists of lists, the lines of a long list of words, are one list."""
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return [word for line in value for word in line]
    return value
