"""Assemble the commands, and turn errors into messages and exit codes."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence

import typer
from rich.logging import RichHandler

from selfinstruct import __version__
from selfinstruct.cli import (
    align,
    answer,
    audit,
    best_of,
    compact,
    complete,
    converse,
    evaluate,
    export,
    generate,
    import_dataset,
    init,
    merge,
    models,
    plan,
    prefer,
    revise,
    serve,
    train,
    train_distill,
    train_dpo,
    train_kto,
    train_merge,
    train_reward,
    train_rl,
    train_sft,
)
from selfinstruct.cli.console import stderr
from selfinstruct.cli.help import add, ending
from selfinstruct.cli.usage import Commands
from selfinstruct.common.errors import SelfInstructError

app = typer.Typer(
    name="selfinstruct",
    cls=Commands,
    help="Grow a few seed tasks into a filtered instruction dataset, and audit every reject.",
    epilog=ending("selfinstruct generate --out outputs/first"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add(app, "init", init.init)
add(app, "generate", generate.generate)
add(app, "import", import_dataset.import_dataset)
app.add_typer(audit.app, name="audit")
add(app, "align", align.align)
add(app, "answer", answer.answer)
add(app, "complete", complete.complete)
add(app, "converse", converse.converse)
add(app, "revise", revise.revise)
add(app, "merge", merge.merge)
add(app, "compact", compact.compact)
add(app, "plan", plan.plan)
add(app, "export", export.export)
add(train.app, "sft", train_sft.sft)
add(train.app, "dpo", train_dpo.dpo)
add(train.app, "kto", train_kto.kto)
add(train.app, "reward", train_reward.reward)
add(train.app, "rl", train_rl.rl)
add(train.app, "distill", train_distill.distill)
add(train.app, "merge", train_merge.merge)
app.add_typer(train.app, name="train")
add(app, "prefer", prefer.prefer)
add(app, "best-of", best_of.best_of)
add(app, "evaluate", evaluate.evaluate)
add(app, "serve", serve.serve)
app.add_typer(models.app, name="models")


# What a mistyped path can cause in any command.
_BAD_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.ENOTDIR)


def _version(value: bool) -> None:
    if value:
        print(f"selfinstruct {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log decisions and their reasons."),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    handler = RichHandler(console=stderr, show_path=False, show_time=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("selfinstruct").setLevel(logging.DEBUG if verbose else logging.INFO)


# Options that may stand alone, and what they then mean.
_ALONE = {"--with-seeds": "1"}


def with_values(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which each option that may stand alone has a value."""
    after = [*arguments, "-"][1:]
    return [
        f"{word}={_ALONE[word]}" if word in _ALONE and following.startswith("-") else word
        for word, following in zip(arguments, after, strict=True)
    ]


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. A traceback means a bug in selfinstruct (1)."""
    try:
        app(args=with_values(arguments), prog_name="selfinstruct")
    except SelfInstructError as error:
        stderr.print("[bold red]error:[/] ", end="")
        stderr.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except OSError as error:
        if error.errno not in _BAD_PATHS:
            raise
        stderr.print("[bold red]error:[/] ", end="")
        name = str(error.filename)[:80]
        stderr.print(f"{name}: {error.strerror}; check the path", markup=False, highlight=False)
        return 2
    except SystemExit as done:  # usage errors (2), Ctrl-C (130) and typer.Exit end up here
        return done.code if isinstance(done.code, int) else 0
    return 0
