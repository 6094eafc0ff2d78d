"""`selfinstruct models`: list the named models, and prepare them."""

from __future__ import annotations

from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout, terminal

app = typer.Typer(help="List and prepare the models that come in packages.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """List the models that have a name, and whether they are prepared."""
    from rich.table import Table

    from selfinstruct.models import CATALOGUE, is_prepared, prepared_path

    table = Table()
    for column in ("name", "model", "licence", "prepared"):
        table.add_column(column, overflow="fold")
    for entry in CATALOGUE.values():
        place = str(prepared_path(entry)) if is_prepared(entry) else "not yet"
        table.add_row(entry.name, entry.title, entry.license, place)
    stdout.print(table)
    stderr.print("--model takes a folder or a hub name as well.")


@app.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(help="A name of `models list`.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the licence and accept it.")
    ] = False,
) -> None:
    """Prepare a model now instead of on its first use."""
    from selfinstruct.cli.watch import Watcher
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.models import CATALOGUE, prepare_model

    entry = CATALOGUE.get(name)
    if entry is None:
        known = ", ".join(CATALOGUE)
        raise ConfigError(f"no model {name!r} to prepare; there are: {known}")
    if entry.must_accept and not accept_license:
        raise ConfigError(
            f"model {name!r} comes under the {entry.license} ({entry.must_accept}); "
            f"read them, then: selfinstruct models prepare {name} --accept-license"
        )
    with Watcher(terminal()) as watcher:
        path = prepare_model(entry, watcher.model_progress)
    stdout.print(str(path), markup=False, highlight=False, soft_wrap=True)
