"""How long the demo's loop takes, over vLLM alone with the very requests that its run holds.

    python scripts/bench_demo.py [--target 20] [--repeat 1]

The bundled model in this process, loaded once; the scores of the seed tasks are known. For each
schedule (`propose.sizes`) the loop makes a run, and then vLLM gets all requests of that run at
once, with an empty prefix cache each. Prints seconds, their ratio, and the share of the tokens
that came back which is in the run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_generate

from selfinstruct.common.progress import Event, Working
from selfinstruct.config.values import overlay
from selfinstruct.generate.launch import launch

SEQUENCES = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    bench_generate.VALUES = {"stop": {"target": options.target}}
    engine = bench_generate.InProcess("bundled", SEQUENCES)
    print("sizes      loop s  alone s  ratio  tokens in the run  rounds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.repeat):
            for sizes in ("equal", "shrinking"):
                out = Path(folder) / f"{sizes}-{turn}"
                values = overlay(engine._values, {"propose": {"sizes": sizes}, "seed": turn})
                _compare(engine, values, sizes, out)


def _compare(
    engine: bench_generate.InProcess, values: dict[str, Any], sizes: str, out: Path
) -> None:
    tokens = [0]

    def listen(event: Event) -> None:
        if isinstance(event, Working):
            tokens[0] = event.tokens

    engine._driver._inbox.put(lambda one: one.reset_prefix_cache())
    started = time.perf_counter()
    run, _ = launch(out, values, resume=False, make_engine=engine._make, listen=listen)
    seconds = time.perf_counter() - started
    level = bench_generate.Level(SEQUENCES, 0, 0, 0)
    alone = engine.measure("ceiling", level, 0, out).seconds
    infos = [run.info(number) for number in run.rounds()]
    kept = sum(info["tokens"]["generated"] for info in infos)
    print(
        f"{sizes:9s} {seconds:7.1f} {alone:8.1f} {seconds / alone:6.2f} "
        f"{kept:6d} of {tokens[0]:6d} ({kept / tokens[0]:4.0%}) {len(infos):6d}",
        flush=True,
    )


if __name__ == "__main__":
    main()
