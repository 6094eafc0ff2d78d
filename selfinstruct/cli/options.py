"""What the commands that run a model share: options, and what a signal does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.config.engine_options import DEFAULT_ENGINE, ENGINE_OPTIONS

if TYPE_CHECKING:
    from selfinstruct.engines.registry import EngineKind


class Dtype(StrEnum):
    """Types of weights and activations."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Prompting(StrEnum):
    """How prompts reach the model."""

    AUTO = "auto"
    BASE = "base"
    CHAT = "chat"


DtypeOption = Annotated[
    Dtype | None, typer.Option("--dtype", help="float32 repeats a run exactly on a CPU.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Engine that runs the model: "
        + "; ".join(f"{engine.name}, {engine.help}" for engine in ENGINE_OPTIONS.values())
        + f" (default {DEFAULT_ENGINE}).",
    ),
]
BaseUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of a server that serves the model, such as http://host:8000/v1. "
        "Repeat it for several servers.",
    ),
]
PromptingOption = Annotated[
    Prompting | None,
    typer.Option("--prompting", help="Raw text, chat template, or what suits the model."),
]
SystemOption = Annotated[
    str | None,
    typer.Option("--system", help="System prompt for chat prompting: a text, or a file with it."),
]


def required_engine(name: str | None, *models: str | None) -> EngineKind:
    """Return the engine of a name, or the one that suits the models; no package is missing.

    Raises:
        ConfigError: there is none of that name, or it lacks packages.
    """
    from selfinstruct.engines.registry import required_engine as required

    return required(name, *(model for model in models if model is not None))


def text_or_file(value: str) -> str:
    """Return the content of a file of that name if there is one, else the text itself."""
    from selfinstruct.common.errors import ConfigError

    try:
        path = Path(value).expanduser()
        if not path.is_file():
            return value
    except (OSError, RuntimeError, ValueError):  # not a file name: a text
        return value
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check --system") from error


def interrupt(_number: int, _frame: object) -> None:
    """Treat SIGTERM as Ctrl-C: commits stay, and a message says how to resume."""
    raise KeyboardInterrupt
