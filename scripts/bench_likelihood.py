"""What the likelihood filter costs: the same run without log-probabilities, with, with gain.

    python scripts/bench_likelihood.py [--rounds 3] [--per-round 16] [--repeat 3]

All three write the same requests on the bundled model: the filter scores and judges every
candidate by a threshold that nothing falls below. Each run is a process of its own, in turn
A B C A B C, and the table has medians. The calibration on seed tasks, once for a model, its
seeds and prompts, is timed apart, without its cache.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

MAIN = "from selfinstruct.cli import main; main()"
# The loop always asks for log-probabilities; here is what it would be without.
WITHOUT = """
import selfinstruct.engines.vllm as vllm
asked = vllm.sampling_arguments
def bare(request, room):
    return {key: value for key, value in asked(request, room).items() if key != "logprobs"}
vllm.sampling_arguments = bare
from selfinstruct.generate import open_round
open_round.missing_scores = lambda builder, completion: []  # nor are they scored afterwards
"""
WAYS = {
    "without log-probabilities": (WITHOUT + MAIN, {"quantile": "null", "seed_bound": "false"}),
    "likelihood filter": (MAIN, {"min_logprob": "-1000"}),
    "and conditional gain": (MAIN, {"min_logprob": "-1000", "gain": "true"}),
}


def run_once(out: Path, way: str, rounds: int, per_round: int) -> dict[str, float]:
    """Generate and return what all rounds took."""
    code, likelihood = WAYS[way]
    settings = {f"likelihood.{key}": value for key, value in likelihood.items()}
    settings["propose.per_round"] = str(per_round)
    arguments = ["generate", "--out", str(out), "--target", "100000", "--max-rounds", str(rounds)]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    infos = [json.loads(p.read_text()) for p in sorted(out.glob("rounds/*/round.json"))]
    seconds = sum(info["seconds"] for info in infos)
    tokens = sum(info["tokens"]["generated"] for info in infos)
    candidates = sum(sum(info["instructions"].values()) for info in infos)
    return {"seconds": seconds, "tokens/s": tokens / seconds, "candidates": candidates}


def calibration_seconds(folder: Path) -> float:
    """Return how long a calibration takes that nobody has done before."""
    calibrations = folder / "cache" / "calibration"
    models = Path(os.environ.get("SELFINSTRUCT_CACHE") or Path.home() / ".cache/selfinstruct")
    calibrations.mkdir(parents=True)
    for part in ("models", "numba"):
        (folder / "cache" / part).symlink_to(models / part)
    arguments = ["generate", "--out", str(folder / "calibrated"), "--target", "1"]
    arguments += ["--set", "propose.per_round=1"]
    environment = {**os.environ, "SELFINSTRUCT_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", MAIN, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found = re.search(r"calibrated .*\(in ([\d.]+) s", done.stdout + done.stderr)
    assert found is not None, done.stderr
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        turns = [(turn, way) for turn in range(options.repeat) for way in WAYS]
        for turn, way in track(turns, "running", console=console):
            out = Path(folder) / f"{turn}-{way.replace(' ', '-')}"
            results[way].append(run_once(out, way, options.rounds, options.per_round))
        calibration = calibration_seconds(Path(folder))
    table = Table(title=f"{options.rounds} rounds of {options.per_round} proposals")
    for name in ("", *WAYS):
        table.add_column(name, justify="right")
    base = next(iter(WAYS))
    middle = {
        way: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for way, runs in results.items()
    }
    for key in middle[base]:
        table.add_row(key, *(f"{middle[way][key]:.1f}" for way in WAYS))
    ratios = (middle[way]["seconds"] / middle[base]["seconds"] for way in WAYS)
    table.add_row("time, ratio", *(f"{ratio:.3f}" for ratio in ratios))
    Console().print(table)
    print(f"calibration on seed tasks, once: {calibration:.1f} s")


if __name__ == "__main__":
    main()
