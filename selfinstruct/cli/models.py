"""`selfinstruct models`: list the named models, prepare them, and choose how to prompt one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.help import add, ending
from selfinstruct.cli.options import ANY_MODEL, EngineOption, SeedsOption

app = typer.Typer(
    help="List and prepare models, and try how one is prompted best.",
    epilog=ending("selfinstruct models list"),
    no_args_is_help=True,
)


def list_models() -> None:
    """List the models that have a short name, and whether they are downloaded and converted.

    Example:
        selfinstruct models list
    """
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


def prepare(
    name: Annotated[str, typer.Argument(help="A name of `models list`.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the licence and accept it.")
    ] = False,
) -> None:
    """Prepare a model now instead of on its first use.

    Example:
        selfinstruct models prepare bundled
    """
    from selfinstruct.cli.watch import Watcher
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.common.suggest import did_you_mean
    from selfinstruct.models import CATALOGUE, prepare_model

    entry = CATALOGUE.get(name)
    if entry is None:
        raise ConfigError(
            f"no model {name!r} to prepare; {did_you_mean(name, CATALOGUE)}there are: "
            f"{', '.join(CATALOGUE)}"
        )
    if entry.must_accept and not accept_license:
        raise ConfigError(
            f"model {name!r} comes under the {entry.license} ({entry.must_accept}); "
            f"read them, then: selfinstruct models prepare {name} --accept-license"
        )
    with Watcher(terminal()) as watcher:
        path = prepare_model(entry, watcher.model_progress)
    stdout.print(str(path), markup=False, highlight=False, soft_wrap=True)


def probe(
    model: Annotated[str, typer.Argument(help=f"{ANY_MODEL}.")],
    engine: EngineOption = None,
    seeds: SeedsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Find out which prompting suits a model, from a few proposals and answers in each mode.

    `generate` does the same for a model that is not in `models list`, and keeps the choice in the
    run.

    Example:
        selfinstruct models probe bundled
    """
    from selfinstruct import api
    from selfinstruct.cli.probe import probe_table
    from selfinstruct.cli.watch import Watcher
    from selfinstruct.common.progress import Event, Probed

    log_to(terminal())
    with Watcher(terminal()) as watcher:

        def listen(event: Event) -> None:
            if not isinstance(event, Probed):  # its table goes to stdout
                watcher(event)

        result = api.probe_model(model, engine=engine, seeds=seeds, progress=listen)
    probed, measured = result.probed, result.measured
    if as_json:
        rows = [asdict(row) for row in probed.rows] if probed else []
        modes = dict(probed.modes) if probed else None
        stdout.print_json(data={"rows": rows, "modes": modes, "measured": measured})
        return
    if probed is None:
        stdout.print("no chat template: raw text is the only way to prompt it")
        return
    stdout.print(probe_table(probed))
    if measured is not None:
        kept = ", ".join(f"{stage} {mode}" for stage, mode in measured.items())
        stdout.print(f"--prompting auto keeps what was measured for this model: {kept}")


add(app, "list", list_models)
add(app, "prepare", prepare)
add(app, "probe", probe)
