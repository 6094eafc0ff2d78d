"""How OpenMP's threads wait: the cost on a quiet machine, and the gain on a busy one.

    python scripts/bench_neighbour.py [--turns 2] [--model bundled]

vLLM on a CPU works in OpenMP threads, which meet at the end of each operation. How the first one
waits there is a setting of the environment, read once: it spins (the core is busy), or sleeps (to
wake it takes longer). Each setting has a process of its own, which writes the same completions on
a quiet machine and then beside a process that computes on every core. The settings take turns; a
ratio is to `default` of the same turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from typing import Any

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "active": {"OMP_WAIT_POLICY": "ACTIVE"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "one thread fewer": {"SELFINSTRUCT_BENCH_THREADS": "-1"},
}
REQUESTS, TOKENS = 24, 48


def compute() -> None:
    while True:
        sum(range(100_000))


def write(engine: Any, turn: int) -> float:
    """Write the completions; return the seconds."""
    from selfinstruct.common.records import Form, Reading, Request, Stage
    from selfinstruct.common.sampling import SamplingConfig

    sampling = SamplingConfig(temperature=0.7, max_tokens=TOKENS)
    requests = [
        Request(
            f"{turn}-{n}",
            f"{turn}-{n}",
            Stage.PROPOSE,
            Reading(Form.WHOLE),
            f"{n}. Here is a list of tasks that people ask for:\n1.",
            sampling,
            seed=n,
        )
        for n in range(REQUESTS)
    ]
    started, back = time.perf_counter(), 0
    engine.submit(requests)
    while back < len(requests):
        back += len(engine.collect())
    return time.perf_counter() - started


def measure(model_name: str) -> dict[str, float]:
    """Measure the setting of this process."""
    from selfinstruct.config.schema import EngineConfig, ModelConfig
    from selfinstruct.engines.machine import detect_machine
    from selfinstruct.engines.registry import build_engine
    from selfinstruct.models import resolve_model

    fewer = int(os.environ.get("SELFINSTRUCT_BENCH_THREADS", "0"))
    cores = detect_machine().cores
    threads = max(1, len(cores) + fewer) if fewer else None
    config = EngineConfig(threads=threads, kv_cache_gb=1)
    model = resolve_model(model_name, lambda *_: None)
    engine = build_engine(model, ModelConfig(), config)
    engine.start(512)
    write(engine, 0)
    quiet = write(engine, 1)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=compute, daemon=True) for _ in cores]
    for other in others:
        other.start()
    time.sleep(1)
    busy = write(engine, 2)
    for other in others:
        other.kill()
    engine.close()
    return {"quiet": quiet, "busy": busy}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), help="these settings")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.model)))
        return
    rows: dict[str, list[dict[str, float]]] = {}
    chosen = options.only or list(SETTINGS)
    for turn in range(options.turns):
        for name in chosen:
            unset = {
                k: v
                for k, v in os.environ.items()
                if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
            }
            done = subprocess.run(
                [sys.executable, __file__, "--here", "--model", options.model],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**unset, **SETTINGS[name]},
            )
            found = json.loads(done.stdout.splitlines()[-1])
            rows.setdefault(name, []).append(found)
            print(f"turn {turn}, {name}: {found}", file=sys.stderr, flush=True)
    print("| threads wait | quiet, s | ÷ default | busy, s | ÷ default |")
    print("|---|---:|---:|---:|---:|")
    for name, runs in rows.items():
        cells = []
        for key in ("quiet", "busy"):
            own = statistics.median(run[key] for run in runs)
            ratio = statistics.median(
                run[key] / base[key] for run, base in zip(runs, rows[chosen[0]], strict=True)
            )
            cells += [f"{own:.1f}", f"{ratio:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
