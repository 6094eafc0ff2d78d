"""Several copies of a model on this machine, asked in different ways, beside one copy.

    python scripts/bench_replicas.py [--turns 3] [--model bundled] [--ways one,http,dp,ray]

- `one`: one engine in this process, on all cores.
- `http`: two servers of vLLM, on half of the cores each (`--base-url` twice).
- `dp`: one server with vLLM's own data parallel of 2.
- `ray`: two replicas of `--engine ray`.

The same run is generated each time, with as many requests in flight. Timed are its rounds: tokens a
second, without loading. The ways take turns; a ratio is to `one` of the same turn. On one machine
nothing can be gained by copies; what is measured is the cost of the way.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench_generate import CONTEXT, KV_CACHE_GB, VALUES, loop
from vllm_server import VllmServer

from selfinstruct.config.values import overlay
from selfinstruct.engines.kept import kept
from selfinstruct.engines.machine import detect_machine
from selfinstruct.engines.registry import build_engine
from selfinstruct.models import resolve_model
from selfinstruct.models.endpoint import with_endpoint

WAYS = ("one", "http", "dp", "ray")
COPIES, IN_FLIGHT, PER_ROUND, ROUNDS = 2, 64, 16, 2


@contextmanager
def servers(way: str, model: str, folder: Path) -> Iterator[list[str]]:
    """Start what a way needs; yield the addresses."""
    count = {"http": COPIES, "dp": 1}.get(way, 0)
    cores = detect_machine().cores
    path = resolve_model(model, lambda *_: None).path
    more = {"data-parallel-size": COPIES} if way == "dp" else {}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                VllmServer(
                    path,
                    model,
                    folder / f"{way}-{number}.log",
                    sequences=IN_FLIGHT // COPIES,
                    context=CONTEXT,
                    cores=",".join(map(str, cores[number::count])) if way == "http" else None,
                    kv_cache_gb=max(1, KV_CACHE_GB // COPIES),
                    more=more,
                    shares=False,
                )
            )
            for number in range(count)
        ]
        yield [server.url for server in started]


def values_of(way: str, model: str, urls: list[str]) -> dict[str, Any]:
    """Return the config of a way."""
    each = IN_FLIGHT // COPIES
    gigabytes = max(1, KV_CACHE_GB // COPIES)
    ways: dict[str, dict[str, Any]] = {
        "one": {"max_num_seqs": IN_FLIGHT, "kv_cache_gb": KV_CACHE_GB},
        "http": {"base_url": urls, "max_num_seqs": each},
        "dp": {"base_url": urls, "max_num_seqs": IN_FLIGHT},
        "ray": {"name": "ray", "replicas": COPIES, "max_num_seqs": each, "kv_cache_gb": gigabytes},
    }
    engine = ways[way]
    sized = {"propose": {"per_round": PER_ROUND}, "stop": {"max_rounds": ROUNDS}}
    values = overlay(overlay(VALUES, {"model": {"name": model}, "engine": engine}), sized)
    return with_endpoint(values) if urls else values


def measure(way: str, model: str, turn: int) -> dict[str, float]:
    """Generate the run of a turn; return its sums."""
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = stack.enter_context(servers(way, model, folder))
        make = stack.enter_context(kept(build_engine))
        values = values_of(way, model, urls)
        loop(folder / "first", overlay(values, {"stop": {"max_rounds": 1}}), make)
        warm = time.perf_counter() - began
        sums = loop(folder / "run", overlay(values, {"seed": turn + 1}), make)
    return {**sums, "speed": sums["tokens"] / sums["seconds"], "warm": warm}


def apart(way: str, model: str, turn: int) -> dict[str, float]:
    """Measure in a process of its own: Ray and vLLM stay in a process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, way, model, turn).result()


def table(rows: Mapping[str, list[dict[str, float]]]) -> str:
    """Return medians in Markdown; ratios as median (least to most)."""
    lines = ["| | tokens/s | ÷ one | idle |", "|---|---:|---|---:|"]
    for way, runs in rows.items():
        parts = [own["speed"] / one["speed"] for own, one in zip(runs, rows["one"], strict=False)]
        of = f"{statistics.median(parts):.2f} ({min(parts):.2f} to {max(parts):.2f})"
        speed = statistics.median(run["speed"] for run in runs)
        idle = statistics.median(run["idle"] for run in runs)
        lines.append(f"| {way} | {speed:.0f} | {of} | {idle:.1%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for turn in range(options.turns):
        for way in options.ways.split(","):
            found = apart(way, options.model, turn)
            rows.setdefault(way, []).append(found)
            print(f"{way}: {found}", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
