"""`selfinstruct init`: a commented config to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.help import default


def init(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="Config file to write, such as mine.yaml.")
    ] = Path("selfinstruct.yaml"),
    presets: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Preset to start from: a name that --list prints. May be repeated, to combine a "
            "model with a domain or a language." + default("bundled"),
        ),
    ] = None,
    list_presets: Annotated[
        bool, typer.Option("--list", help="List the presets, and write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write a commented config to start from, and the example seeds of its preset.

    The file has every key of the configuration: those of the preset are set, the others are
    comments with their defaults.

    Example:
        selfinstruct init mine.yaml --preset 8b-chat-24gb --preset veterinary
    """
    from selfinstruct.config.presets import PRESETS, preset

    if list_presets:
        from rich.table import Table

        table = Table()
        table.add_column("preset", no_wrap=True)
        table.add_column("what it is, and whether it was run", overflow="fold")
        for name in PRESETS:
            table.add_row(name, " ".join(preset(name).head))
        stdout.print(table)
        return
    written = _write(out, presets or ["bundled"], force)
    for file in written:
        stdout.print(str(file), markup=False, highlight=False, soft_wrap=True)
    stderr.print("next:")
    command = f"selfinstruct generate --config {out} --out outputs/{out.stem}"
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _write(out: Path, names: list[str], force: bool) -> list[Path]:
    """Write the config, and the data files of its presets beside it; return their paths."""
    from selfinstruct.common.atomic import refusal, write_bytes
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.config.presets import commented, joined, preset

    start = joined([preset(name, str(out.parent)) for name in dict.fromkeys(names)])
    first = [f"Use it: selfinstruct generate --config {out} --out outputs/{out.stem}"]
    files = {out.parent / name: content for name, content in start.data.items()}
    files[out] = commented(start, first).encode("utf-8")  # last: it names the others
    for path in files:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; name a file, such as mine.yaml")
        if path.exists() and not force:
            raise ConfigError(f"{path}: exists; give another name, or --force to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        with refusal(path):
            write_bytes(path, content)
    return [out, *(path for path in files if path != out)]
