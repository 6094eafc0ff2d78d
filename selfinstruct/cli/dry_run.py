"""`selfinstruct train … --dry-run`: what a training would do, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfinstruct.cli.console import stderr, stdout

if TYPE_CHECKING:
    from selfinstruct.train.planning import Plan

# What each part of the memory holds.
_PARTS = {
    "process": "Python and its libraries",
    "weights": "weights",
    "copies": "weights in 16 bits, for autocast",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "reference": "reference model",
    "teacher": "teacher",
    "activations": "activations",
    "backward": "the backward pass",
    "logits": "logits",
    "kept": "free blocks of other sizes",
}


def print_plan(plan: Plan) -> None:
    """Print rows, tokens and steps; memory by part; what fits; and the settings."""
    from selfinstruct.train.footprint import gigabytes

    fit = plan.fit
    rows: dict[str, Any] = {
        "rows": f"{plan.rows:,}",
        "held out": f"{plan.held_out:,}",
        **{f"dropped: {reason}": f"{n:,}" for reason, n in plan.dropped.items() if n},
        "tokens": f"{plan.tokens:,}",
        "longest row": f"{plan.longest:,} tokens",
        "largest batch": f"{fit.batch.rows} of {fit.batch.length:,} tokens",
        "steps": f"{plan.steps:,}",
    }
    _print("the data", rows)
    memory = fit.memory
    if memory is None:
        stdout.print("memory: transformers cannot build this model, so it is not estimated")
    else:
        parts = memory.parts()
        held = {_PARTS[name]: gigabytes(size) for name, size in parts.items() if size}
        held["at the peak of a step"] = gigabytes(memory.training)
        if memory.watching:
            held["at an evaluation"] = gigabytes(memory.held + memory.watching)
        if memory.merging:
            held["while the adapter is merged"] = gigabytes(memory.merging)
        held["free on this machine"] = gigabytes(fit.machine.memory)
        _print("memory (an estimate)", held)
        _print_ways(plan)
    settings = {"attention": fit.attention, **plan.settings}
    _print("settings", {name: str(value) for name, value in settings.items()})
    stderr.print("a dry run: nothing was loaded, and nothing was written", highlight=False)


def _print(title: str, rows: dict[str, str]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right", no_wrap=True)
    for name, value in rows.items():
        table.add_row(name, value)
    stdout.print(table, highlight=False)


def _print_ways(plan: Plan) -> None:
    from selfinstruct.train.footprint import gigabytes

    way = plan.fit.way
    names = {"full": "--full", "lora": "--lora", "qlora": "--load-in-4bit"}
    rows = {}
    for other in plan.others:
        chosen = way is not None and (other.method, other.checkpointing) == (
            way.method,
            way.checkpointing,
        )
        name = names[other.method] + (", checkpointing" if other.checkpointing else "")
        name += " (chosen)" if chosen else ""
        rows[name] = f"{gigabytes(other.bytes)}, {'fits' if other.fits else 'does not fit'}"
    _print("what fits on this machine", rows)
