"""What overlap gains: the same run with it and without, on the bundled model.

    python scripts/bench_overlap.py [--rounds 4] [--per-round 16] [--repeat 2]

Both ways write the same requests; only what runs beside what differs. Each run is a process
of its own, in turn A B A B, and the table has the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

CLI = [sys.executable, "-c", "from selfinstruct.cli import main; main()"]


def run_once(out: Path, overlap: bool, rounds: int, per_round: int) -> dict[str, float]:
    """Generate and return seconds, tokens per second and idle share of all rounds."""
    settings = {"overlap": str(overlap).lower(), "propose.per_round": str(per_round)}
    arguments = ["generate", "--out", str(out), "--target", "100000", "--max-rounds", str(rounds)]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    subprocess.run([*CLI, *arguments], check=True, capture_output=True)
    infos = [json.loads(p.read_text()) for p in sorted(out.glob("rounds/*/round.json"))]
    seconds = sum(info["seconds"] for info in infos)
    idle = sum(info["engine_idle_share"] * info["seconds"] for info in infos)
    tokens = sum(info["tokens"]["generated"] for info in infos)
    return {
        "seconds": seconds,
        "tokens/s": tokens / seconds,
        "idle %": 100 * idle / seconds,
        "tasks": sum(info["tasks"] for info in infos),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--per-round", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    results: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.repeat):
            for overlap in (True, False):
                out = Path(folder) / f"{overlap}-{turn}"
                results[overlap].append(run_once(out, overlap, options.rounds, options.per_round))
    table = Table(title=f"{options.rounds} rounds of {options.per_round} proposals")
    for name in ("", "overlap", "one after the other", "ratio"):
        table.add_column(name, justify="right")
    for key in results[True][0]:
        on, off = (statistics.median(r[key] for r in results[way]) for way in (True, False))
        ratio = f"{on / off:.2f}" if off else "-"
        table.add_row(key, f"{on:.2f}", f"{off:.2f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
