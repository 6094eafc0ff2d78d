"""How much of what an engine writes is in the run, and how long the rounds take it.

    python scripts/bench_rounds.py

A scripted engine writes as vLLM does: one token for each running sequence in each step, up to 128
sequences at once, and what is aborted was written in vain. A step takes 64 ms and 2.5 ms for each
sequence (two CPU cores with SmolLM2-135M: 95 tokens/s at 8 sequences, 330 at 128); no real time
passes. Three models differ in how many instructions a proposal brings and how many of them become
tasks, as measured in docs/engine.md, and one that is poor.

For both schedules (`propose.sizes`), prints the share of all written tokens that is in the run,
and the time of the loop over that of the same engine with all requests of the run at once. Each
is the mean of several seeds, with the worst.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.progress import silent
from selfinstruct.common.records import Completion, LocalModel, Request, Stage
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.config.values import nested
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.launch import launch
from selfinstruct.store import Run

_AT_ONCE, _STEP, _SEQUENCE = 128, 0.064, 0.0025
_WORDS = 40_000


@dataclass(frozen=True)
class Writes:
    """How a model writes.

    items: instructions of a proposal, at least and at most.
    novel: share of them that is like no other. valid: share of those with a valid instance.
    """

    items: tuple[int, int]
    novel: float
    valid: float


MODELS = {
    "bundled": Writes((1, 3), 0.86, 0.75),
    "chat, 0.5 B": Writes((3, 8), 0.8, 0.55),
    "poor": Writes((2, 6), 0.4, 0.3),
}


class Writer:
    """Answers by the request alone, as a model with a seed would."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def __call__(self, request: Request) -> str:
        rng = random.Random(f"{request.id}|{request.seed}")
        if request.stage is Stage.PROPOSE:
            first = len(request.parents) + 1
            items = [self._item(rng) for _ in range(rng.randint(*self._writes.items))]
            later = [f"{first + n}. {text}" for n, text in enumerate(items[1:], start=1)]
            return "\n".join([f" {items[0]}", *later])
        if request.stage is Stage.CLASSIFY:
            return " text"
        if rng.random() > self._writes.valid:
            return "Output: [your answer here]"
        return f"Output: {_words(rng, min(400, round(rng.lognormvariate(4.6, 0.6))))}."

    def _item(self, rng: random.Random) -> str:
        if rng.random() > self._writes.novel:
            return "Explain why the sky is blue at noon and red in the evening."
        return f"Explain {_words(rng, rng.randint(8, 30))}."


def _words(rng: random.Random, count: int) -> str:
    return " ".join(f"w{rng.randrange(_WORDS)}" for _ in range(count))


class Stepping(ScriptedEngine):
    """Writes token by token; `written` counts all tokens, `seconds` is the time that it took."""

    def __init__(self, script: Callable[[Request], str]) -> None:
        super().__init__(script, batch=_AT_ONCE)
        self.written = 0
        self.seconds = 0.0
        self._running: dict[str, tuple[Completion, int]] = {}

    def collect(self) -> list[Completion]:
        while True:
            while self._waiting and len(self._running) < _AT_ONCE:
                completion = self._completion_of(self._waiting.popleft())
                self._running[completion.id] = completion, max(1, completion.num_output_tokens)
            self.seconds += _STEP + _SEQUENCE * len(self._running)
            self.written += len(self._running)
            done = [one for one, left in self._running.values() if left == 1]
            self._running = {
                id: (one, left - 1) for id, (one, left) in self._running.items() if left > 1
            }
            if done:
                self._clock.finished(len(done))
                return done

    def abort(self, ids: Sequence[str]) -> None:
        super().abort(ids)
        for id in ids:
            self._running.pop(id, None)


def measure(
    writes: Writes, target: int, sizes: str, seed: int, folder: Path
) -> tuple[float, float, int]:
    """Return (share of the tokens in the run, time over that of all at once, rounds) of a run."""
    engines: list[Stepping] = []

    def make_engine(_model: LocalModel, _config: ModelConfig, _how: EngineConfig) -> Stepping:
        engines.append(Stepping(Writer(writes)))
        return engines[-1]

    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
    (model / "model.safetensors").write_bytes(b"")
    values: dict[str, Any] = {
        "model.name": str(model),
        "model.prompting": "base",
        "propose.sizes": sizes,
        "seed": seed,
        "stop.target": target,
        "likelihood.seed_bound": False,
    }
    out = folder / f"{sizes}-{target}-{seed}-{writes.items[0]}-{writes.valid}"
    run, reason = launch(out, nested(values), resume=False, make_engine=make_engine, listen=silent)
    assert reason == "target", reason
    kept = completions(run)
    raw = Stepping(Writer(writes))
    raw.submit([completion.request for completion in kept])
    while raw._waiting or raw._running:
        raw.collect()
    [engine] = engines
    tokens = sum(completion.num_output_tokens for completion in kept)
    return tokens / engine.written, engine.seconds / raw.seconds, len(run.rounds())


def completions(run: Run) -> list[Completion]:
    return [one for number in run.rounds() for one in run.completions(number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print("model         target  sizes      in the run (worst)  time / all at once (worst)  rounds")
    with tempfile.TemporaryDirectory() as folder:
        for name, writes in MODELS.items():
            for target in options.targets:
                for sizes in ("equal", "shrinking"):
                    rows = [
                        measure(writes, target, sizes, seed, Path(folder))
                        for seed in range(options.seeds)
                    ]
                    shares, times, rounds = zip(*rows, strict=True)
                    print(
                        f"{name:12s}  {target:6d}  {sizes:9s}  "
                        f"{statistics.fmean(shares):10.1%} ({min(shares):.1%})  "
                        f"{statistics.fmean(times):18.2f} ({max(times):.2f})  "
                        f"{statistics.fmean(rounds):12.1f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
