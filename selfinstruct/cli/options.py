"""What the commands that run a model share: options, and what a signal does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Dtype(StrEnum):
    """Types of weights and activations."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Prompting(StrEnum):
    """How the model is spoken to."""

    AUTO = "auto"
    BASE = "base"
    CHAT = "chat"


DtypeOption = Annotated[
    Dtype | None, typer.Option("--dtype", help="float32 repeats a run exactly on a CPU.")
]
PromptingOption = Annotated[
    Prompting | None,
    typer.Option("--prompting", help="Raw text, chat template, or what suits the model."),
]
SystemOption = Annotated[
    str | None,
    typer.Option("--system", help="System prompt for chat prompting: a text, or a file of it."),
]


def text_or_file(value: str) -> str:
    """Return the content of a file of that name if there is one, else the text itself."""
    from selfinstruct.errors import ConfigError

    try:
        path = Path(value).expanduser()
        if not path.is_file():
            return value
    except (OSError, RuntimeError, ValueError):  # no name of a file: it is a text
        return value
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check --system") from error


def interrupt(_number: int, _frame: object) -> None:
    """Treat a request to terminate as Ctrl-C: what is committed stays, how to resume is said."""
    raise KeyboardInterrupt
