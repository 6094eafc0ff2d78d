"""The options that all commands of `selfinstruct train` share, as records of options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    ValidationDataOption,
    reading_of,
)
from selfinstruct.cli.help import default
from selfinstruct.cli.options import ADAPTERS, ANSWERS, FIELDS, LOCAL_MODEL, TRAINING

if TYPE_CHECKING:
    from selfinstruct.inputs.read_data import ReadAs
    from selfinstruct.train.adapter import Adapter

ModelOption = Annotated[str, typer.Option("--model", help=f"MODEL to train: {LOCAL_MODEL}.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the trained model.")]
AdapterOnlyOption = Annotated[
    bool,
    typer.Option(
        "--adapter-only", help="Save only the adapter; do not merge it.", rich_help_panel=ADAPTERS
    ),
]
BetaOption = Annotated[
    float,
    typer.Option(
        "--beta",
        min=1e-4,
        help="How close to stay to the reference (the model before training); larger is closer.",
        rich_help_panel=TRAINING,
    ),
]
PromptsOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="DATA[@WEIGHT]",
        help=f"Prompts to answer: {DATA}. May be repeated.",
    ),
]
StepsOption = Annotated[
    int, typer.Option("--steps", min=1, help="Steps to train.", rich_help_panel=TRAINING)
]
AnswerTokensOption = Annotated[
    int,
    typer.Option(
        "--answer-tokens", min=1, help="Maximum tokens per answer.", rich_help_panel=ANSWERS
    ),
]
FreshOption = Annotated[
    int,
    typer.Option(
        "--fresh",
        min=1,
        help="Prompts to answer at each evaluation, to watch the training.",
        rich_help_panel=ANSWERS,
    ),
]
HeldOutOption = Annotated[
    float | None,
    typer.Option(
        "--held-out",
        min=0,
        max=0.5,
        help="Share to hold out if the data is a file; a folder of `prefer` has its own."
        + default("0.2"),
    ),
]


def epochs_option(meaning: str) -> Any:
    """Return the option `--epochs` of a recipe with this default."""
    return typer.Option(
        "--epochs", min=0.01, help="Maximum epochs." + default(meaning), rich_help_panel=TRAINING
    )


def rate_option(meaning: str) -> Any:
    """Return the option `--learning-rate` of a recipe with this default."""
    return typer.Option(
        "--learning-rate",
        min=0,
        help="Peak learning rate." + default(meaning),
        rich_help_panel=TRAINING,
    )


@dataclass(frozen=True, slots=True)
class Adapters:
    """The options of what is trained: all weights, or an adapter, and its shape."""

    lora: Annotated[
        bool,
        typer.Option(
            "--lora/--full",
            help="Train LoRA adapters (--lora) or all weights (--full).",
            rich_help_panel=ADAPTERS,
        ),
    ] = True
    load_in_4bit: Annotated[
        bool,
        typer.Option(
            "--load-in-4bit", help="QLoRA: needs a GPU and bitsandbytes.", rich_help_panel=ADAPTERS
        ),
    ] = False
    rank: Annotated[
        int, typer.Option("--lora-r", min=1, help="Rank of the adapters.", rich_help_panel=ADAPTERS)
    ] = 16
    alpha: Annotated[
        int | None,
        typer.Option(
            "--lora-alpha",
            min=1,
            help="Scale of the adapters." + default("twice the rank"),
            rich_help_panel=ADAPTERS,
        ),
    ] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            "--lora-dropout",
            min=0,
            max=0.99,
            help="Dropout on the adapters' inputs." + default("0"),
            rich_help_panel=ADAPTERS,
        ),
    ] = None
    targets: Annotated[
        str | None,
        typer.Option(
            "--lora-targets",
            metavar="NAME,…",
            help="Layers with adapters, such as q_proj,v_proj." + default("all linear layers"),
            rich_help_panel=ADAPTERS,
        ),
    ] = None
    dora: Annotated[
        bool,
        typer.Option(
            "--dora",
            help="Train DoRA adapters (direction and magnitude are trained separately).",
            rich_help_panel=ADAPTERS,
        ),
    ] = False

    def method(self, adapter_only: bool = False) -> str:
        """Return `lora`, `qlora` or `full`.

        Raises:
            ConfigError: options contradict each other.
        """
        from selfinstruct.common.errors import ConfigError

        if self.lora:
            return "qlora" if self.load_in_4bit else "lora"
        if self.load_in_4bit or adapter_only:
            raise ConfigError("--full: trains all weights, without an adapter; leave the other out")
        if self.shape() is not None:
            raise ConfigError(
                "--full: trains all weights, without an adapter; leave --lora-alpha, "
                "--lora-dropout, --lora-targets and --dora out"
            )
        return "full"

    def shape(self) -> Adapter | None:
        """Return the shape of the adapter; None where all of it is default.

        Raises:
            ConfigError: it names no layer.
        """
        from selfinstruct.common.errors import ConfigError
        from selfinstruct.train.adapter import Adapter

        names = None
        if self.targets is not None:
            names = tuple(filter(None, map(str.strip, self.targets.split(","))))
        if names == ():
            raise ConfigError("--lora-targets: names no layer; give some, as q_proj,v_proj")
        shape = Adapter(self.alpha, self.dropout, names, self.dora or None)
        return None if shape == Adapter() else shape


@dataclass(frozen=True, slots=True)
class Common:
    """The options of the training itself that every recipe has."""

    max_length: Annotated[
        int,
        typer.Option(
            "--max-length",
            min=16,
            help="Maximum tokens per row; longer rows are left out and counted.",
            rich_help_panel=TRAINING,
        ),
    ] = 1024
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=0,
            help="Stop after this many evaluations in a row without a lower loss; 0: never.",
            rich_help_panel=TRAINING,
        ),
    ] = 1
    attention: Annotated[
        str | None,
        typer.Option(
            "--attention",
            metavar="NAME",
            help="How attention is computed: sdpa, eager, flex_attention, flash_attention_2, or a "
            "kernel of the "
            "hub."
            + default("flash_attention_3 or _2 if the GPU and a package allow it, otherwise sdpa"),
            rich_help_panel=TRAINING,
        ),
    ] = None
    eos_token: Annotated[
        str | None,
        typer.Option(
            "--eos-token", help="The token that ends an answer, if the template's is wrong."
        ),
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = (
        False
    )
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print rows, steps, memory and settings; load and write nothing.",
        ),
    ] = False
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="YAML with fields of TRL's configuration; command-line options override it.",
            rich_help_panel=FIELDS,
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="One field of TRL's configuration, such as warmup_steps=10. May be repeated.",
            rich_help_panel=FIELDS,
        ),
    ] = None

    def trl_fields(self, epochs: float | None, learning_rate: float | None) -> dict[str, Any]:
        """Return fields of TRL's configuration: of a file, over them those of options.

        Raises:
            ConfigError: the file or an option cannot be read.
        """
        from selfinstruct.config.values import parse_settings, read_yaml

        fields: dict[str, Any] = read_yaml(self.config) if self.config is not None else {}
        fields |= parse_settings(self.settings or [])
        fields = {key: _number(value) for key, value in fields.items()}
        for key, value in (("num_train_epochs", epochs), ("learning_rate", learning_rate)):
            if value is not None:
                fields[key] = value
        return fields


@dataclass(frozen=True, slots=True)
class Reading:
    """The options of how the data is read, and what is validated on."""

    format: FormatOption = None
    columns: ColumnsOption = None
    skip_invalid: SkipInvalidOption = False
    validation_data: ValidationDataOption = None

    def rows(self) -> ReadAs:
        """Return how rows are read.

        Raises:
            ConfigError: an option cannot be used.
        """
        return reading_of(self.format, self.columns, self.skip_invalid)


def shared_settings(
    common: Common,
    adapters: Adapters,
    epochs: float | None,
    learning_rate: float | None,
    *,
    adapter_only: bool = False,
) -> dict[str, Any]:
    """Return the fields that the settings of all recipes have, by their names.

    Raises:
        ConfigError: options contradict each other, or a file of them cannot be read.
    """
    return {
        "method": adapters.method(adapter_only),
        "lora_r": adapters.rank,
        "adapter": adapters.shape(),
        "attention": common.attention,
        "patience": common.patience,
        "max_length": common.max_length,
        "seed": common.seed,
        "eos_token": common.eos_token,
        "options": common.trl_fields(epochs, learning_rate),
    }


def _number(value: Any) -> Any:
    """Return 2e-4, which YAML takes for text, as the number that it is."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value
