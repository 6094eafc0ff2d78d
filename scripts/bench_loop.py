"""What the loop itself costs: a scripted engine answers at once, so that the rest is the driver's.

    python scripts/bench_loop.py                              to 10,000 and 100,000 candidates
    python scripts/bench_loop.py --candidates 1000000 --per-round 16 --ask
    python scripts/bench_loop.py --against FOLDER             with another checkout as the baseline

Each proposal has five instructions of 5 to 40 Zipf words, a fifth of them near-duplicates of
earlier ones. The pool is one in which nothing is near (`--novelty` searches the real one, which
bench_novelty.py measures). A run is written step by step, in a process for each step, and then
asked: it is resumed with nothing to do, replayed, exported and merged with itself, each in a
process of its own, unless `--ask` names fewer. `--questions-until` leaves out the larger steps.

Prints processor seconds without imports and without the engine, the time of the last rounds, the
largest memory, and the files. With `--against` every step is taken by both checkouts in turn, with
a run for each, and the last column is the baseline's time over this one's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_WORDS, _ITEMS = 40_000, 5
_QUESTIONS = ("resume", "replay", "export", "merge")


class Spent:
    """Processor seconds that are spent within some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - started

    def within(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts what it spends."""

        def counting(*args: Any, **options: Any) -> Any:
            with self.counted():
                return function(*args, **options)

        return counting


class Writer:
    """Writes texts of Zipf words; a fifth are an earlier text with one word changed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._words = [f"w{number}" for number in range(_WORDS)]
        weights = [1 / (rank + 10) for rank in range(_WORDS)]
        self._cumulative = [sum(weights[:1])]
        for weight in weights[1:]:
            self._cumulative.append(self._cumulative[-1] + weight)
        self._drawn: deque[str] = deque()
        self._texts: list[list[str]] = []

    def __call__(self, request: Any) -> str:
        if request.stage == "propose":
            first = len(request.parents) + 1
            items = [self._text() for _ in range(_ITEMS)]
            later = [f"{first + n}. {text}" for n, text in enumerate(items[1:], start=1)]
            return "\n".join([f" {items[0]}", *later])
        if request.stage == "classify":
            return " text"
        return "Output: " + " ".join(self._word() for _ in range(30)) + "."

    def _text(self) -> str:
        if self._texts and self._rng.random() < 0.2:
            words = list(self._rng.choice(self._texts))
            words[self._rng.randrange(1, len(words))] = self._word()
        else:
            words = ["Explain", *(self._word() for _ in range(self._rng.randint(4, 39)))]
            if len(self._texts) < 100_000:
                self._texts.append(words)
        return " ".join(words) + "."

    def _word(self) -> str:
        if not self._drawn:
            drawn = self._rng.choices(self._words, cum_weights=self._cumulative, k=100_000)
            self._drawn.extend(drawn)
        return self._drawn.popleft()


def make_engine(spent: Spent, seed: int) -> Callable[..., Any]:
    """Return what makes a scripted engine that keeps no request, and counts what it spends."""
    from selfinstruct.engines.scripted import ScriptedEngine

    writer = Writer(seed)

    def make(*_: Any) -> ScriptedEngine:
        engine = ScriptedEngine(writer, batch=64)
        engine.requests = deque(maxlen=0)  # type: ignore[assignment]  # it would keep them all
        engine.submit = spent.within(engine.submit)  # type: ignore[method-assign]
        engine.collect = spent.within(engine.collect)  # type: ignore[method-assign]
        return engine

    return make


@contextmanager
def pool(spent: Spent, *, real: bool) -> Iterator[None]:
    """Count what is spent on novelty, or have a pool in which nothing is near."""
    from selfinstruct.filters.novelty.index import NoveltyIndex

    names = ("nearest", "held")
    own = {name: spent.within(getattr(NoveltyIndex, name)) for name in names}
    nothing = {name: lambda *_: None for name in names}
    with mock.patch.multiple(NoveltyIndex, **(own if real else nothing)):
        yield


def generated(run: Path, rounds: int, per_round: int, *, novelty: bool) -> dict[str, Any]:
    """Generate up to a number of rounds in this process; return what it took."""
    from selfinstruct.config.values import nested
    from selfinstruct.generate.launch import launch

    model = run.parent / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
    (model / "model.safetensors").write_bytes(b"")
    values: dict[str, Any] = {
        "model.name": str(model),
        "model.prompting": "base",
        "propose.per_round": per_round,
        "propose.sizes": "equal",
        "likelihood.quantile": None,
        "likelihood.seed_bound": False,
        "stop.target": 10**9,
        "stop.max_rounds": rounds,
    }
    engine, near = Spent(), Spent()
    at: list[tuple[int, float, float]] = []  # candidates, clock, processor, after each round
    count = 0

    def listen(event: Any) -> None:
        nonlocal count
        if type(event).__name__ == "RoundCommitted":
            count += sum(event.info["instructions"].values())
            own = time.process_time() - engine.seconds - near.seconds
            at.append((count, time.perf_counter(), own))

    with pool(near, real=novelty):
        launch(
            run,
            nested(values),
            resume=run.exists(),
            make_engine=make_engine(engine, rounds),
            listen=listen,
        )
    first, last = at[len(at) // 20], at[-1]  # the first rounds compile
    tail = at[-max(2, len(at) // 10) :]
    return {
        "ms": (last[2] - first[2]) / max(1, last[0] - first[0]) * 1000,
        "round_ms": (tail[-1][2] - tail[0][2]) / (len(tail) - 1) * 1000,
        "engine": engine.seconds,
        "novelty": near.seconds,
    }


def asked(run: Path, question: str, *, novelty: bool) -> dict[str, Any]:
    """Ask a question of a run in this process; return the processor seconds that it took."""
    from selfinstruct.store import open_run

    opened = open_run(run)
    opened.read_round(0)  # libraries are loaded
    ask = {"resume": _resume, "replay": _replay, "export": _export, "merge": _merge}[question](
        opened
    )
    with pool(Spent(), real=novelty):
        started = time.process_time()
        ask()
    return {"seconds": time.process_time() - started}


def _resume(run: Any) -> Callable[[], object]:
    from selfinstruct.generate.state import committed_state
    from selfinstruct.inputs.run_inputs import stored_config, stored_inputs

    config, inputs = stored_config(run), stored_inputs(run)
    return lambda: committed_state(run, config, inputs.first_pool)


def _replay(run: Any) -> Callable[[], object]:
    from selfinstruct.verdicts.replay import replay

    def ask() -> None:
        assert not replay(run)

    return ask


def _export(run: Any) -> Callable[[], object]:
    from selfinstruct.dataset.export import export
    from selfinstruct.dataset.formats import Format

    return lambda: export(run, Format.MESSAGES, run.path.parent / "tasks.jsonl")


def _merge(run: Any) -> Callable[[], object]:
    from selfinstruct.store import open_run
    from selfinstruct.verdicts.merge import merge

    def ask() -> None:
        with tempfile.TemporaryDirectory(dir=run.path.parent) as folder:
            merge([run, open_run(run.path)], Path(folder) / "merged")

    return ask


def in_process(checkout: Path, options: Sequence[str]) -> dict[str, Any]:
    """Do one step in a process of its own, by the code of a checkout."""
    command = [sys.executable, __file__, *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def one_step(options: argparse.Namespace) -> None:
    """Do what a process was started for, and print it as JSON."""
    run = Path(options.run)
    if options.question:
        result = asked(run, options.question, novelty=options.novelty)
    else:
        result = generated(run, options.rounds, options.per_round, novelty=options.novelty)
    result["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(result))


def steps_to(most: int) -> list[int]:
    """Return the numbers of candidates after which a run is measured."""
    return [count for count in (10_000, 100_000, 300_000, 1_000_000) if count < most] + [most]


class Benchmark:
    """A run for each checkout: the first is measured, another is the baseline."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        own = Path(__file__).resolve().parents[1]
        checkouts = [own, options.against] if options.against else [own]
        self._runs = [(one, scratch / str(n) / "run") for n, one in enumerate(checkouts)]
        for _, run in self._runs:
            run.parent.mkdir()
        self._shared = ["--per-round", str(options.per_round)]
        self._shared += ["--novelty"] if options.novelty else []
        self._per_round = options.per_round

    def grow(self, count: int, made: int) -> None:
        """Let the runs grow to a number of candidates, of which `made` are new."""
        rounds = -(-count // (self._per_round * _ITEMS))
        own, *others = self._results("--rounds", str(rounds))
        files = [path for path in self._runs[0][1].rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        print(
            f"{count:10,} {'generate':>9} {own['ms'] * made / 1000:8.1f} {own['ms']:8.3f} "
            f"{own['round_ms']:12.1f} {own['mb']:6.0f} {len(files):7,} {size:8.0f} "
            + "".join(f"{other['ms'] / own['ms']:9.2f}" for other in others),
            flush=True,
        )

    def ask(self, count: int, question: str) -> None:
        own, *others = self._results("--question", question)
        print(
            f"{count:10,} {question:>9} {own['seconds']:8.1f} "
            f"{own['seconds'] / count * 1000:8.3f} {'':12} {own['mb']:6.0f} {'':16} "
            + "".join(f"{other['seconds'] / own['seconds']:9.2f}" for other in others),
            flush=True,
        )

    def _results(self, *options: str) -> list[dict[str, Any]]:
        return [
            in_process(checkout, ["--run", str(run), *options, *self._shared])
            for checkout, run in self._runs
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--per-round", type=int, default=250, help="proposals of a round")
    parser.add_argument("--novelty", action="store_true", help="search the real pool")
    parser.add_argument("--against", type=Path, help="another checkout, as the baseline")
    parser.add_argument("--ask", nargs="*", choices=_QUESTIONS, default=_QUESTIONS)
    parser.add_argument("--questions-until", type=int, default=10**9, metavar="CANDIDATES")
    for name, kind in (("run", str), ("question", str), ("rounds", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        one_step(options)
        return
    columns = f"{'ms':>8} {'a round, ms':>12} {'MB':>6} {'files':>7} {'disk MB':>8} {'baseline':>9}"
    print(f"{'candidates':>10} {'step':>9} {'CPU s':>8} {columns}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        benchmark = Benchmark(options, Path(scratch))
        before = 0
        for count in steps_to(options.candidates):
            benchmark.grow(count, count - before)
            before = count
            for question in options.ask if count <= options.questions_until else ():
                benchmark.ask(count, question)


if __name__ == "__main__":
    main()
