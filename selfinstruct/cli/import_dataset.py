"""`selfinstruct import`: the rows of a dataset in, a run out; no model is asked."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, stdout, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import FILTERS, interrupt
from selfinstruct.common.errors import ConfigError

# The panel of --help for how rows become tasks.
MADE = "How tasks are made"


def _list_templates(value: bool) -> None:
    """Print the shipped templates, and end."""
    if not value:
        return
    from selfinstruct.inputs.task_templates import shipped_templates

    for one in shipped_templates():
        file = one.content
        _say(f"{file.name}: {file.about}")
        for wording in file.templates:
            forms = {"inverted": wording.inverted, "rationale": wording.rationale}
            also = [name for name, form in forms.items() if form is not None]
            _say(f"   {wording.name}" + (f" ({', '.join(also)})" if also else ""))
    raise typer.Exit


def _show_template(name: str | None) -> None:
    """Print a template file, as a start for one's own, and end."""
    if name is None:
        return
    from selfinstruct.inputs.task_templates import read_templates

    print(read_templates(name).text, end="")
    raise typer.Exit


def import_dataset(
    dataset: Annotated[
        str,
        typer.Argument(help="The data: a file of any kind, a folder, or a name on the hub."),
    ],
    template: Annotated[
        list[str],
        typer.Option(
            "--template",
            metavar="FILE",
            help="Templates: a YAML file, or the name of a shipped one. May be repeated, each with "
            "a weight: qa@2.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run, such as outputs/reviews.")],
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAME=COLUMN",
            help="If columns have other names than in the templates: text=review,label=stars.",
            rich_help_panel=MADE,
        ),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value",
            metavar="NAME=TEXT",
            help="Value for a column that the data lacks, such as language=German.",
            rich_help_panel=MADE,
        ),
    ] = None,
    per_row: Annotated[
        str,
        typer.Option(
            "--per-row",
            metavar="N",
            help="Number of tasks made from each row, each in a different form of the templates, "
            "drawn by weight; or `all` forms.",
            rich_help_panel=MADE,
        ),
    ] = "1",
    inverted: Annotated[
        float | None,
        typer.Option(
            "--inverted",
            help="Share of the rows that get the inverted form (predict the input from the "
            "output), if there is one." + default("what the template says, or 0.3"),
            rich_help_panel=MADE,
        ),
    ] = None,
    rationale: Annotated[
        float | None,
        typer.Option(
            "--rationale",
            help="Share of the remaining (not inverted) rows that get a form whose answer includes "
            "reasons, if there is one." + default("what the template says, or 0.5"),
            rich_help_panel=MADE,
        ),
    ] = None,
    examples: Annotated[
        str,
        typer.Option(
            "--examples",
            metavar="K",
            help="Worked examples before an input: a number, or numbers with weights. With "
            "0=3,2=1, three rows in four get no example and one in four gets two.",
            rich_help_panel=MADE,
        ),
    ] = "0",
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows",
            help="Maximum number of rows, drawn from all." + default("all"),
            rich_help_panel=MADE,
        ),
    ] = None,
    max_instances: Annotated[
        int | None,
        typer.Option(
            "--max-instances",
            help="Maximum instances per instruction." + default("no limit"),
            rich_help_panel=MADE,
        ),
    ] = None,
    max_per_output: Annotated[
        int | None,
        typer.Option(
            "--max-per-output",
            help="Maximum instances per instruction with the same output; balances "
            "labels." + default("no limit"),
            rich_help_panel=MADE,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            help="Seed tasks that no instruction may repeat." + default("none"),
            rich_help_panel=FILTERS,
        ),
    ] = None,
    avoid: Annotated[
        str | None,
        typer.Option(
            "--avoid",
            help="File of texts that no instruction may repeat." + default("none"),
            rich_help_panel=FILTERS,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with rules and thresholds.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the run.")] = 0,
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Leave out rows that a template cannot use."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the import in --out, or start it.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the config, such as novelty.threshold=0.6. May be repeated.",
        ),
    ] = None,
    list_templates: Annotated[
        bool,
        typer.Option(
            "--list-templates",
            callback=_list_templates,
            is_eager=True,
            help="List the shipped templates, their columns and forms, and exit.",
        ),
    ] = False,
    show_template: Annotated[
        str | None,
        typer.Option(
            "--show-template",
            metavar="NAME",
            callback=_show_template,
            is_eager=True,
            help="Print a shipped template file, to copy and change, and exit.",
        ),
    ] = None,
) -> None:
    """Turn a dataset's rows into tasks with templates, and judge them like generated tasks.

    The result is a run: you can audit, merge and export it, and train on it. Stop it with Ctrl-C,
    and continue with --resume.

    Example:
        selfinstruct import reviews.csv --template sentiment --out outputs/reviews
    """
    from selfinstruct import api
    from selfinstruct.cli.bars import Bars
    from selfinstruct.config.values import parse_settings

    signal.signal(signal.SIGTERM, interrupt)
    console = terminal()
    log_to(console)
    with Bars(console) as progress:
        bar = progress.add_task("importing", total=None)
        try:
            run = api.import_dataset(
                dataset,
                out,
                template=template,
                columns=_pairs(_split([columns] if columns else []), "--columns"),
                value=_pairs(value or [], "--value"),
                per_row=None if per_row == "all" else _number(per_row, "--per-row"),
                inverted=inverted,
                rationale=rationale,
                examples=_examples(examples),
                rows=rows,
                max_instances=max_instances,
                max_per_output=max_per_output,
                seeds=seeds,
                avoid=avoid,
                config=config,
                seed=seed,
                skip_invalid=skip_invalid,
                resume=resume,
                settings=parse_settings(settings or []),
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
        except KeyboardInterrupt:
            progress.stop()
            stderr.print("\n[yellow]interrupted[/]; what was committed is safe. Continue with:")
            arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
            _hint(["selfinstruct", *arguments, "--resume"])
            raise
    summary = run.summary()
    rejected = {name: n for name, n in summary.instances.items() if name != "accepted"}
    _say(
        f"{summary.tasks} tasks with {summary.instances.get('accepted', 0)} instances, of "
        f"{summary.candidates} instructions with {sum(summary.instances.values())}"
    )
    if rejected:
        _say("instances rejected: " + ", ".join(f"{name} {n}" for name, n in rejected.items()))
    if waiting := summary.standing.get("pending_instances", 0):
        _say(f"{waiting} instructions wait for an output; have a model write and revise them:")
        _hint(["selfinstruct", "revise", str(out), "--draft", "--model", "MODEL"])
    _hint(["selfinstruct", "audit", "summary", str(out)])


def _split(texts: Iterable[str]) -> list[str]:
    return [part for text in texts for part in text.split(",") if part.strip()]


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE texts as a mapping."""
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise ConfigError(f"{option} {text}: write NAME=VALUE, as in {option} text=review")
        pairs[name.strip()] = value.strip()
    return pairs


def _examples(text: str) -> dict[int, float]:
    """Return the weight of each number of examples: of `2`, or of `0=3,2=1`."""
    weights = {}
    for part in text.split(","):
        number, sign, weight = part.partition("=")
        try:
            weights[int(number)] = float(weight) if sign else 1.0
        except ValueError:
            raise ConfigError(
                f"--examples {text}: write a number, or NUMBER=WEIGHT with commas, as in 0=3,2=1"
            ) from None
    return weights


def _number(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: write a number, or all") from None


def _hint(arguments: list[str]) -> None:
    stderr.print(f"  {shlex.join(arguments)}", markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)
