"""The formats that data may come in, as one list: a new format is one more record.

A row is of the first format in the list whose needed columns it has. So those with more columns, or
with columns of a plainer meaning, come first.
"""

from __future__ import annotations

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.formats.base import Format
from selfinstruct.inputs.formats.choices import CHOICES, ENDINGS
from selfinstruct.inputs.formats.conversations import MESSAGES, SHAREGPT, TRANSCRIPT
from selfinstruct.inputs.formats.preferences import KTO, PREFERENCE, RANKED
from selfinstruct.inputs.formats.tasks import (
    ALPACA,
    PROMPT_COMPLETION,
    QUESTION_ANSWER,
    RELEASE,
    TEXTS,
)

FORMATS: tuple[Format, ...] = (
    PREFERENCE,
    ENDINGS,
    CHOICES,
    RANKED,
    KTO,
    RELEASE,
    SHAREGPT,
    TRANSCRIPT,
    MESSAGES,
    ALPACA,
    PROMPT_COMPLETION,
    QUESTION_ANSWER,
    TEXTS,
)


def format_of(name: str, option: str = "--format") -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: there is none.
    """
    for format in FORMATS:
        if format.name == name:
            return format
    known = ", ".join(format.name for format in FORMATS)
    raise ConfigError(f"{option} {name}: no such format; give one of {known}")
