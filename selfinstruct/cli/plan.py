"""`selfinstruct plan`: what a larger target will cost, from a small run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.decide import AsJson, RunFolder
from selfinstruct.cli.help import default

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfinstruct.audit.plan import Estimate, Plan


def plan(
    run: RunFolder,
    target: Annotated[int, typer.Option("--target", help="Total number of tasks.", min=1)],
    tokens_per_second: Annotated[
        float | None,
        typer.Option(
            "--tokens-per-second",
            help="Generated tokens per second." + default("as fast as the run was"),
            min=0.001,
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(
            "--price-in", help="Price of a million prompt tokens." + default("the run's"), min=0
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(
            "--price-out", help="Price of a million generated tokens." + default("the run's"), min=0
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            help="Plan from only the first N rounds, and compare the plan with what happened."
            + default("all"),
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write a picture of the yield (SVG).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate the requests, tokens, hours, disk, memory and cost of a larger target.

    The more tasks a run has, the fewer candidates differ enough from them to be accepted. A curve
    is fitted to this decline; intervals show how uncertain the estimate is. The run stays as it is.

    Example:
        selfinstruct plan outputs/first --target 10000
    """
    from selfinstruct.audit.plan import plan as plan_run
    from selfinstruct.store import open_run

    opened = open_run(run)
    result = plan_run(
        opened,
        target,
        tokens_per_second=tokens_per_second,
        price_in=price_in,
        price_out=price_out,
        rounds=rounds,
    )
    if plot is not None:
        _write_plot(result, opened.name, plot)
    if as_json:
        print(json.dumps(_finite(asdict(result)), indent=2, ensure_ascii=False))
        return
    _print_plan(result, opened.name)
    if plot is not None:
        stderr.print(f"picture: {plot}", markup=False, highlight=False, soft_wrap=True)


def _write_plot(result: Plan, name: str, path: Path) -> None:
    from selfinstruct.audit.plan_plot import plan_svg
    from selfinstruct.common import atomic
    from selfinstruct.common.errors import ConfigError

    try:
        atomic.write_text(path, plan_svg(result, name))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); check --plot") from error


def _finite(value: Any) -> Any:
    """Turn infinity, which JSON lacks, into null, at any depth."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_plan(result: Plan, name: str) -> None:
    from rich.table import Table

    has_actual = result.candidates.actual is not None
    stdout.print(
        f"{name}: {result.tasks:,} tasks in {result.rounds:,} rounds; planned for "
        f"{result.target:,} tasks",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    table = Table()
    for column in ("in all", "so far", "likely", "95 % interval", *(["came"] * has_actual)):
        table.add_column(column, justify="left" if column == "in all" else "right")
    for title, estimate, shown in _rows(result):
        cells = [shown(estimate.so_far), shown(estimate.likely)]
        cells.append(f"{shown(estimate.low)} to {shown(estimate.high)}")
        if has_actual:
            cells.append("" if estimate.actual is None else shown(estimate.actual))
        table.add_row(title, *cells)
    stdout.print(table)
    for note in [*_missing(result), *_stops(result), *result.notes]:
        stdout.print(note, markup=False, highlight=False)


def _rows(result: Plan) -> list[tuple[str, Estimate, Callable[[float], str]]]:
    speed = result.per_second or 0.0
    per_second = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    rows: list[tuple[str, Estimate | None, Callable[[float], str]]] = [
        ("candidates", result.candidates, _count),
        ("requests", result.requests, _count),
        ("prompt tokens", result.prompt_tokens, _count),
        ("generated tokens", result.generated_tokens, _count),
        (f"hours, at {per_second} tokens/s", result.hours, _small),
        ("cost", result.cost, _small),
        ("disk", result.disk_bytes, _bytes),
        ("memory of the loop", result.memory_bytes, _bytes),
        ("yield at the end", result.yield_then, _share),
    ]
    return [(title, estimate, shown) for title, estimate, shown in rows if estimate is not None]


def _missing(result: Plan) -> list[str]:
    if result.hours is not None:
        return []
    return ["Hours: the run does not know its speed; give --tokens-per-second."]


def _stops(result: Plan) -> list[str]:
    """Say how likely the run is to end before the target, and where."""
    if result.stops < 0.01:
        return []
    where = ""
    if result.stops_at is not None:
        low, likely, high = result.stops_at
        where = f", at about {likely:,.0f} tasks ({low:,.0f} to {high:,.0f})"
    return [
        f"In {result.stops:.0%} of the fits the yield falls below {result.min_yield:.1%} "
        f"(stop.min_yield) before the target, which ends the run{where}."
    ]


def _count(value: float) -> str:
    return _or_never(value, f"{_rounded(value):,.0f}" if math.isfinite(value) else "")


def _small(value: float) -> str:
    if not math.isfinite(value):
        return _or_never(value, "")
    return f"{_rounded(value):,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(value: float) -> str:
    if not math.isfinite(value):
        return _or_never(value, "")
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _or_never(value: float, shown: str) -> str:
    return shown if math.isfinite(value) else "never"


def _rounded(value: float) -> float:
    """Return three digits of a number above a thousand: a plan knows no more."""
    if not math.isfinite(value) or abs(value) < 1000:
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return round(value / step) * step
