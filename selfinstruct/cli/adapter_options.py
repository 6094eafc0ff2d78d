"""The options of a training's adapter, attention and patience, which all recipes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.help import default
from selfinstruct.cli.options import TRAINING

if TYPE_CHECKING:
    from selfinstruct.train.adapter import Adapter

LoraRankOption = Annotated[
    int, typer.Option("--lora-r", min=1, help="Rank of the adapters.", rich_help_panel=TRAINING)
]
LoraAlphaOption = Annotated[
    int | None,
    typer.Option(
        "--lora-alpha",
        min=1,
        help="Scale of the adapters." + default("twice the rank"),
        rich_help_panel=TRAINING,
    ),
]
LoraDropoutOption = Annotated[
    float | None,
    typer.Option(
        "--lora-dropout",
        min=0,
        max=0.99,
        help="Share of an adapter's inputs that is dropped." + default("0"),
        rich_help_panel=TRAINING,
    ),
]
LoraTargetsOption = Annotated[
    str | None,
    typer.Option(
        "--lora-targets",
        metavar="NAME,…",
        help="Layers with adapters, such as q_proj,v_proj." + default("all linear ones"),
        rich_help_panel=TRAINING,
    ),
]
DoraOption = Annotated[
    bool,
    typer.Option("--dora", help="DoRA: adapters of weights' directions.", rich_help_panel=TRAINING),
]
PatienceOption = Annotated[
    int,
    typer.Option(
        "--patience",
        min=0,
        help="Stop after so many evaluations without a lower loss; 0: never.",
        rich_help_panel=TRAINING,
    ),
]
AttentionOption = Annotated[
    str | None,
    typer.Option(
        "--attention",
        metavar="NAME",
        help="How attention is computed: sdpa, eager, flex_attention, flash_attention_2, or a "
        "kernel of the hub." + default("flash_attention_2 on a GPU that has it, else sdpa"),
        rich_help_panel=TRAINING,
    ),
]


def adapter_of(
    method: str,
    alpha: int | None,
    dropout: float | None,
    targets: str | None,
    dora: bool,
) -> Adapter | None:
    """Return the shape of the adapter; None where all of it is default.

    Raises:
        ConfigError: there is no adapter (`--full`).
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.train.adapter import Adapter

    names = tuple(filter(None, map(str.strip, targets.split(",")))) if targets is not None else None
    shape = Adapter(alpha, dropout, names, dora or None)
    if shape == Adapter():
        return None
    if method == "full":
        raise ConfigError(
            "--full: trains all weights, without an adapter; leave --lora-alpha, --lora-dropout, "
            "--lora-targets and --dora out"
        )
    if names == ():
        raise ConfigError("--lora-targets: names no layer; give some, as q_proj,v_proj")
    return shape
