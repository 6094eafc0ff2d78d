"""`selfinstruct generate`: seed tasks in, a run out."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import log_to, terminal
from selfinstruct.cli.data_options import (
    DATA,
    ColumnsOption,
    FormatOption,
    SkipInvalidOption,
    reading_of,
)
from selfinstruct.cli.help import default
from selfinstruct.cli.options import (
    ANY_MODEL,
    FILTERS,
    MODEL,
    STOPS,
    TASKS,
    BaseUrlOption,
    Cluster,
    DtypeOption,
    EngineOption,
    PromptingOption,
    SeedsOption,
    SystemOption,
    interrupt,
    text_or_file,
)
from selfinstruct.config.styles import SELF_INSTRUCT, STYLES


def generate(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run, such as outputs/first.")],
    target: Annotated[
        int | None, typer.Option("--target", help="Number of tasks to reach." + default("100"))
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file; command-line options override it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the config, such as novelty.threshold=0.6 or engine.threads=4. "
            "May be repeated.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Random seed of the run." + default("0"))
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, or start it.")
    ] = False,
    turns: Annotated[
        int | None,
        typer.Option(
            "--turns",
            min=2,
            help="After generating, continue each task as a conversation of at most this many "
            "exchanges, as `converse` does." + default("none"),
        ),
    ] = None,
    seeds: SeedsOption = None,
    format: FormatOption = None,
    columns: ColumnsOption = None,
    skip_invalid: SkipInvalidOption = False,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language of the tasks and prompts: de, vi, zh. Give seeds in that language."
            + default("English"),
            rich_help_panel=TASKS,
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain", help="Domain of all tasks, such as veterinary care.", rich_help_panel=TASKS
        ),
    ] = None,
    topics: Annotated[
        str | None,
        typer.Option(
            "--topics",
            metavar="DATA",
            help="Topics, one per line; each prompt for new tasks gets one.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    avoid: Annotated[
        str | None,
        typer.Option(
            "--avoid",
            metavar="DATA",
            help=f"Texts that no task may repeat: {DATA}.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(
            "--documents",
            help="File or folder of documents (text, Markdown, PDF, HTML). Each prompt for new "
            "tasks shows one passage, which becomes the input of all its tasks.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            metavar="NAME",
            help="What a prompt for new tasks shows: "
            + "; ".join(f"{style.name} ({style.help})" for style in STYLES.values())
            + f".{default(SELF_INSTRUCT.name)}",
            rich_help_panel=TASKS,
        ),
    ] = None,
    paraphrases: Annotated[
        int | None,
        typer.Option(
            "--paraphrases",
            min=0,
            max=9,
            help="With --style unnatural: ask for this many other wordings of each task."
            + default("0"),
            rich_help_panel=TASKS,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="Folder with your own templates." + default("the shipped ones"),
            rich_help_panel=TASKS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"MODEL that writes the tasks: {ANY_MODEL}." + default("bundled"),
            rich_help_panel=MODEL,
        ),
    ] = None,
    engine: EngineOption = None,
    base_url: BaseUrlOption = None,
    cluster: Cluster = Cluster(),
    dtype: DtypeOption = None,
    prompting: PromptingOption = None,
    system: SystemOption = None,
    max_rounds: Annotated[
        int | None,
        typer.Option(
            "--max-rounds",
            help="Stop after this many rounds." + default("no limit"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            help="Stop after this many generated tokens." + default("no limit"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            help="Stop when the tokens have cost this much; give the prices too."
            + default("no limit"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(
            "--price-in",
            help="Price of a million tokens of prompts, in any currency." + default("none"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(
            "--price-out",
            help="Price of a million generated tokens." + default("none"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    min_yield: Annotated[
        float | None,
        typer.Option(
            "--min-yield",
            help="Stop when the share of candidates that become tasks falls below "
            "this." + default("0.01"),
            rich_help_panel=STOPS,
        ),
    ] = None,
    min_logprob: Annotated[
        float | None,
        typer.Option(
            "--min-logprob",
            help="Reject texts whose mean log-probability is below this, in nats per token, such "
            "as -2.5." + default("set automatically from the first candidates"),
            rich_help_panel=FILTERS,
        ),
    ] = None,
    max_logprob: Annotated[
        float | None,
        typer.Option(
            "--max-logprob",
            help="Reject texts whose mean log-probability is above this, such as -0.05; such texts "
            "mostly repeat themselves." + default("none"),
            rich_help_panel=FILTERS,
        ),
    ] = None,
) -> None:
    """Generate a dataset from seed tasks, until the target is reached or a stop rule applies.

    Stop it with Ctrl-C, and continue with --resume. Raise --target to grow a finished run.

    Example:
        selfinstruct generate --out outputs/first --target 100
    """
    from selfinstruct import api
    from selfinstruct.cli.watch import Watcher
    from selfinstruct.common.errors import EngineError, WriteError
    from selfinstruct.config.values import parse_settings
    from selfinstruct.store import open_run

    parsed = parse_settings(settings or [])
    reading = reading_of(format, columns, skip_invalid)
    signal.signal(signal.SIGTERM, interrupt)
    console = terminal()
    log_to(console)
    with Watcher(console, str(out), _resume_command()) as watcher:
        try:
            run = api.generate(
                out,
                target=target,
                model=model,
                engine=engine,
                base_url=base_url,
                address=cluster.address,
                replicas=cluster.replicas,
                gpus_per_replica=cluster.gpus_per_replica,
                dtype=dtype and str(dtype),
                seeds=seeds,
                format=reading.format,
                columns=reading.columns or None,
                skip_invalid=reading.skip_invalid or None,
                language=language,
                domain=domain,
                topics=topics,
                avoid=avoid,
                documents=documents,
                style=style,
                paraphrases=paraphrases,
                system=system and text_or_file(system),
                prompts=prompts,
                prompting=prompting and str(prompting),
                config=config,
                seed=seed,
                resume=resume,
                min_yield=min_yield,
                min_logprob=min_logprob,
                max_logprob=max_logprob,
                max_rounds=max_rounds,
                max_tokens=max_tokens,
                max_cost=max_cost,
                price_in=price_in,
                price_out=price_out,
                turns=turns,
                settings=parsed,
                progress=watcher,
            )
        except (KeyboardInterrupt, EngineError, WriteError):
            watcher.stopped_early("no round was open; what is committed is safe")
            raise
        watcher.finished(open_run(run.path), str(run.stop_reason))


def _resume_command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["selfinstruct", *arguments, "--resume"])
