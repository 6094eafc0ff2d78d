"""What the commands that run a model share: options, and what a signal does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.data_options import DATA
from selfinstruct.cli.help import default
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


# Panels of --help: an option is in the same one in every command.
MODEL, TASKS, STOPS, FILTERS = "The model", "The tasks", "When to stop", "What is rejected"
ANSWERS, LABELS, PAIRS, TRAINING = "The answers", "Who judges answers", "The pairs", "Training"
FIELDS, ADAPTERS = "Fields of TRL", "Adapters"
# Where a command takes any MODEL.
LOCAL_MODEL = "`bundled`, a name from `models list`, a folder or a hub name"
ANY_MODEL = f"{LOCAL_MODEL}, or a server, http://host:8000/v1#name"

DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help=f"Type of the weights: {', '.join(Dtype)}. With float32 on a CPU, a run is exactly "
        "reproducible."
        + default("auto: bfloat16 if the machine computes it fast, otherwise float32"),
        rich_help_panel=MODEL,
    ),
]


def _engine_option(meaning: str) -> Any:
    """Return `--engine`, whose default has this meaning."""
    return typer.Option(
        "--engine",
        metavar="NAME",
        help="Engine that runs the model: "
        + "; ".join(f"{engine.name} ({engine.help})" for engine in ENGINE_OPTIONS.values())
        + f".{default(meaning)}",
        rich_help_panel=MODEL,
    )


EngineOption = Annotated[str | None, _engine_option(DEFAULT_ENGINE)]
RunEngineOption = Annotated[str | None, _engine_option("the run's")]
ConverseEngineOption = Annotated[
    str | None, _engine_option(f"the run's; with --model {DEFAULT_ENGINE}")
]
BaseUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of a server that serves the model, such as http://host:8000/v1. "
        "May be repeated." + default("none"),
        rich_help_panel=MODEL,
    ),
]


@dataclass(frozen=True)
class Cluster:
    """Where the engine `ray` runs the model, as options."""

    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="With --engine ray: the cluster, auto or host:6379."
            + default("RAY_ADDRESS, or Ray on this machine alone"),
            rich_help_panel=MODEL,
        ),
    ] = None
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas",
            min=1,
            help="With --engine ray: copies of the model."
            + default("as many as the cluster's GPUs hold"),
            rich_help_panel=MODEL,
        ),
    ] = None
    gpus_per_replica: Annotated[
        int | None,
        typer.Option(
            "--gpus-per-replica",
            min=1,
            help="With --engine ray: GPUs of a replica, all in one machine."
            + default("1 if the cluster has any"),
            rich_help_panel=MODEL,
        ),
    ] = None

    def values(self) -> dict[str, Any]:
        """Return the section `engine` of the config, with what was given."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        return {"engine": given} if given else {}


PromptingOption = Annotated[
    Prompting | None,
    typer.Option(
        "--prompting",
        help="base: raw text; chat: the model's chat template."
        + default(
            "auto: the mode that suits the model best at each stage; `models probe` shows it"
        ),
        rich_help_panel=MODEL,
    ),
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="DATA",
        help=f"Seed tasks: {DATA}." + default("the shipped ones"),
        rich_help_panel=TASKS,
    ),
]
SystemOption = Annotated[
    str | None,
    typer.Option(
        "--system",
        help="System prompt for chat prompting: a text, or a file with it.",
        rich_help_panel=MODEL,
    ),
]


def required_engine(name: str | None, *models: str | None) -> EngineKind:
    """Return the engine of a name, or the one that suits the models; no package is missing.

    Raises:
        ConfigError: there is none of that name, or it lacks packages.
    """
    from selfinstruct.engines.registry import required_engine as required

    return required(name, *(model for model in models if model is not None))


def text_or_file(value: str) -> str:
    """Return the content of a file of that name if there is one, else the text itself.

    `hhh` and `values` are prompts that come with the project.
    """
    from selfinstruct.common.paths import shipped_prompt
    from selfinstruct.common.texts import read_text

    try:
        path = shipped_prompt(value) or Path(value).expanduser()
        if not path.is_file():
            return value
    except (OSError, RuntimeError, ValueError):  # not a file name: a text
        return value
    return read_text(path, "--system").strip()


def interrupt(_number: int, _frame: object) -> None:
    """Treat SIGTERM as Ctrl-C: commits stay, and a message says how to resume."""
    raise KeyboardInterrupt


def renamed(option: str, **limits: Any) -> Any:
    """Return an option's former name, which still works and is not shown."""
    return typer.Option(option, hidden=True, **limits)
