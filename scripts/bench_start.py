"""How soon the demo's main command shows something, from Enter on.

    python scripts/bench_start.py [--repeat 3] [--target 20] [--piped]
    python scripts/bench_start.py --against FOLDER     with another checkout in turns

Each repetition starts the command of scripts/demo.sh as a process of its own, on a terminal, with a
fresh folder for its run. The first one, which is not counted, prepares the model and the compiled
kernels as a first run does; `--no-first` leaves it out. Prints the seconds until the engine
loads, until it is ready, until the first proposal and the first task are on the screen, and until
the end. Run it on an idle machine: on two cores, other work doubles the figures.
"""

from __future__ import annotations

import argparse
import math
import os
import pty
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What is on the screen when a step is reached, in order; and the goal in seconds, if it has one.
STEPS: dict[str, tuple[str, float | None]] = {
    "loading": (r"loading \S+ into", None),
    "ready": (r"engine ready", None),
    "proposal": (r"first proposal, not judged yet", 30.0),
    "task": (r"newest task|\+[1-9][0-9]* of [0-9]+  yield", 45.0),
    "end": (r"audit summary", 60.0),
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def timed(command: list[str], environment: dict[str, str], *, piped: bool) -> dict[str, float]:
    """Run a command to its end; return when each step was on the screen, in seconds.

    NaN for a step that never was: an older checkout does not show the first proposal.

    Raises:
        SystemExit: the command failed; shows the end of what it printed.
    """
    started = time.perf_counter()
    ours, theirs = os.pipe() if piped else pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown, reached = "", dict[str, float]()
        while content := _read(ours):
            shown += content.decode(errors="replace")
            text = _ESCAPES.sub("", shown)
            for step, (pattern, _) in STEPS.items():
                if step not in reached and re.search(pattern, text):
                    reached[step] = time.perf_counter() - started
    os.close(ours)
    reached["end"] = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"code {process.returncode}:\n{shown[-3000:]}")
    return {step: reached.get(step, math.nan) for step in STEPS}


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # a terminal whose process is gone
        return b""


def generated(checkout: Path, options: argparse.Namespace) -> dict[str, float]:
    """Run the demo's command by the code of a checkout, into a fresh folder."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "demo"
        command = [sys.executable, "-m", "selfinstruct", "generate", "--out", str(out)]
        command += ["--target", str(options.target), "--seed", "0", "--resume"]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        environment |= {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
        return timed(command, environment, piped=options.piped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--target", type=int, default=20)
    parser.add_argument("--piped", action="store_true", help="print to a pipe, not a terminal")
    parser.add_argument("--no-first", action="store_true", help="everything is prepared already")
    parser.add_argument("--against", type=Path, help="another checkout, as the baseline")
    options = parser.parse_args()
    checkouts = {"this": Path(__file__).resolve().parents[1]}
    if options.against is not None:
        checkouts["baseline"] = options.against.resolve()
    print(f"{'':10}" + "".join(f"{step:>10}" for step in STEPS), flush=True)
    if not options.no_first:
        for name, checkout in checkouts.items():
            _print(f"{name}, 1st", generated(checkout, options))
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(options.repeat):
        for name, checkout in checkouts.items():
            seconds[name].append(generated(checkout, options))
            _print(name, seconds[name][-1])
    print("medians")
    for name, runs in seconds.items():
        _print(name, {step: statistics.median(run[step] for run in runs) for step in STEPS})
    goals = (f"{goal:10.0f}" if goal else f"{'':10}" for _, goal in STEPS.values())
    print(f"{'goal':10}" + "".join(goals))


def _print(name: str, seconds: dict[str, float]) -> None:
    print(f"{name:10}" + "".join(f"{seconds[step]:10.1f}" for step in STEPS), flush=True)


if __name__ == "__main__":
    main()
