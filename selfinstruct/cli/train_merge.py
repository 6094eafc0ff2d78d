"""`selfinstruct train merge`: from an adapter and its base model to a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, stdout, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import LOCAL_MODEL
from selfinstruct.cli.training_options import OutOption


def merge(
    adapter: Annotated[
        Path,
        typer.Option(
            "--adapter",
            help="Folder of an adapter, or of a training run whose merge was interrupted.",
        ),
    ],
    out: OutOption,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"Its base MODEL: {LOCAL_MODEL}." + default("the one that the adapter names"),
        ),
    ] = None,
) -> None:
    """Merge an adapter into the model it was trained on, and save the merged model for vLLM.

    The merge needs memory for the model in float32: four bytes for each parameter.

    Example:
        selfinstruct train merge --adapter outputs/adapter --out outputs/merged
    """
    from selfinstruct.train.merge import merge_adapter, model_of, read_adapter

    log_to(terminal())
    folder = read_adapter(adapter)
    merge_adapter(folder, model_of(folder, model), out)
    stdout.print(f"merged into {out}", markup=False, highlight=False, soft_wrap=True)
