"""How soon Ctrl-C is answered in a run with an open round.

    python scripts/bench_interrupt.py                      a scripted engine that answers slowly
    python scripts/bench_interrupt.py --model bundled      the real engine on a model
    python scripts/bench_interrupt.py --against FOLDER     with another checkout as the baseline

A run is started, and interrupted once its open round has kept some completions: at another moment
in each repetition. Prints the seconds until the process has said what is committed, what is kept
and how long the rest takes, and until it has ended. The last line is the longest of each; a goal of
2 seconds is for the end. `--commits 1` waits for a committed round first.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GOAL = 2.0  # seconds
# First words of a process that is the command line, on the real engine or a scripted one.
_REAL, _SCRIPTED = "as-cli", "as-scripted-cli"
_FIRST_LINE = 1  # of a journal: how many proposals the round has


@dataclass(frozen=True)
class Answered:
    """Seconds after Ctrl-C, and what was said.

    said: until the message was there. ended: until the process was gone.
    """

    said: float
    ended: float
    message: str


def kept_in(out: Path) -> int:
    """Count the completions in the journals of open rounds."""
    journals = [path.read_bytes() for path in (out / "rounds").glob(".*.open")]
    return sum(max(0, content.count(b"\n") - _FIRST_LINE) for content in journals)


def interrupted(
    command: list[str], out: Path, options: argparse.Namespace, wait: float
) -> Answered:
    """Start a run, press Ctrl-C in its open round, and watch it end."""
    environment = {**os.environ, "PYTHONPATH": str(options.checkout)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=out.parent
    ) as process:
        assert process.stderr is not None
        lines: list[tuple[float, str]] = []

        def read() -> None:
            for line in process.stderr or ():
                lines.append((time.perf_counter(), line))

        reader = threading.Thread(target=read)
        reader.start()
        while len(list(out.glob("rounds/0*"))) < options.commits or kept_in(out) < 1:
            if process.poll() is not None:
                raise SystemExit("the run ended by itself:\n" + "".join(one for _, one in lines))
            time.sleep(0.02)
        time.sleep(wait)
        pressed = time.perf_counter()
        process.send_signal(signal.SIGINT)
        process.wait()
        ended = time.perf_counter()
        reader.join()
    texts = [line.strip() for _, line in lines]
    if process.returncode != 130 or "Continue with:" not in texts:
        raise SystemExit(f"code {process.returncode}:\n" + "\n".join(texts))
    last = texts.index("Continue with:")
    first = next(at for at, text in enumerate(texts) if text.startswith("stopped early"))
    said = lines[last][0] - pressed
    return Answered(said, ended - pressed, " ".join(texts[first:last]))


def as_cli(arguments: list[str]) -> None:
    """Be the command line."""
    from selfinstruct.cli import main as run_cli

    # Shells start background jobs, and so perhaps this script, with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["selfinstruct", *arguments]
    run_cli()


def script_engines() -> None:
    """Put a scripted engine in the place of every other: 0.2 seconds for each completion."""
    from dataclasses import replace

    from selfinstruct.engines.registry import ENGINES
    from selfinstruct.engines.scripted import ScriptedEngine

    rng = random.Random(0)

    def script(request: Any) -> str:
        time.sleep(0.2)
        words = [" ".join(f"w{rng.randrange(5000)}" for _ in range(12)) for _ in range(5)]
        if request.stage == "propose":
            first = len(request.parents) + 1
            later = [f"{first + n}. Explain {text}." for n, text in enumerate(words[1:], start=1)]
            return "\n".join([f" Explain {words[0]}.", *later])
        return " text" if request.stage == "classify" else f"Output: It is {words[0]}."

    def build(*_: Any) -> ScriptedEngine:
        return ScriptedEngine(script, batch=1)

    ENGINES[:] = [replace(kind, require=lambda: None, build=build) for kind in ENGINES]


def command_of(options: argparse.Namespace, out: Path) -> list[str]:
    """Return the command that makes a run which does not end by itself."""
    own = ["--out", str(out), "--target", "100000", "--model", str(options.model or out.parent)]
    own += options.arguments
    if options.model:
        return [sys.executable, __file__, _REAL, "generate", *own]
    (out.parent / "config.json").write_text('{"max_position_embeddings": 8192}')
    (out.parent / "model.safetensors").write_bytes(b"")
    own += ["--set", "likelihood.seed_bound=false", "--set", "propose.per_round=16"]
    own += ["--prompting", "base"]
    return [sys.executable, __file__, _SCRIPTED, "generate", *own]


def main() -> None:
    if sys.argv[1:2] in ([_REAL], [_SCRIPTED]):
        if sys.argv[1] == _SCRIPTED:
            script_engines()
        as_cli(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="run the real engine on this model")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--commits", type=int, default=0, help="rounds that are committed before")
    parser.add_argument("--against", type=Path, help="another checkout, as the baseline")
    parser.add_argument("arguments", nargs="*", help="more arguments of generate, after --")
    options = parser.parse_args()
    own = Path(__file__).resolve().parents[1]
    print(f"{'checkout':12} {'said, s':>8} {'ended, s':>9}  message", flush=True)
    for name, checkout in (("baseline", options.against), ("this", own)):
        if checkout is None:
            continue
        options.checkout = checkout.resolve()
        answers = []
        for turn in range(options.repeat):
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "run"
                wait = random.Random(turn).uniform(0, 3)
                answers.append(interrupted(command_of(options, out), out, options, wait))
            one = answers[-1]
            print(f"{name:12} {one.said:8.2f} {one.ended:9.2f}  {one.message}", flush=True)
        said, ended = (max(getattr(one, key) for one in answers) for key in ("said", "ended"))
        print(f"{name:12} {said:8.2f} {ended:9.2f}  the longest; the goal is {_GOAL:g} s")


if __name__ == "__main__":
    main()
