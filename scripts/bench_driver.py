"""What the loop itself costs: a scripted engine answers at once, so that all time is the driver's.

    python scripts/bench_driver.py --candidates 100000

Each proposal has five instructions of 5 to 40 Zipf words, a fifth of them near-duplicates of
earlier ones, as in bench_novelty.py. Prints, for each step, the driver's CPU seconds per 1,000
candidates, its largest memory so far, and the bytes on disk.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from selfinstruct.common.progress import Event, RoundCommitted
from selfinstruct.common.records import LocalModel, Request, Stage
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.config.values import nested
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.launch import launch

_WORDS, _ITEMS = 40_000, 5


class Writer:
    """Writes texts of Zipf words; a fifth are an earlier text with one word changed."""

    def __init__(self) -> None:
        self._rng = random.Random(0)
        self._words = [f"w{number}" for number in range(_WORDS)]
        self._weights = [1 / (rank + 10) for rank in range(_WORDS)]
        self._drawn: deque[str] = deque()
        self._texts: list[list[str]] = []

    def __call__(self, request: Request) -> str:
        if request.stage is Stage.PROPOSE:
            first = len(request.parents) + 1
            items = [self._text() for _ in range(_ITEMS)]
            later = [f"{first + n}. {text}" for n, text in enumerate(items[1:], start=1)]
            return "\n".join([f" {items[0]}", *later])
        if request.stage is Stage.CLASSIFY:
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
            self._drawn.extend(self._rng.choices(self._words, self._weights, k=100_000))
        return self._drawn.popleft()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--per-round", type=int, default=250, help="proposals of a round")
    parser.add_argument("--step", type=int, default=10_000)
    options = parser.parse_args()
    writer = Writer()
    spent = [0.0]

    def script(request: Request) -> str:
        started = time.process_time()
        text = writer(request)
        spent[0] += time.process_time() - started
        return text

    def make_engine(_model: LocalModel, _config: ModelConfig, _how: EngineConfig) -> ScriptedEngine:
        engine = ScriptedEngine(script, batch=64)
        engine.requests = deque(maxlen=0)  # type: ignore[assignment]  # it would keep them all
        return engine

    with tempfile.TemporaryDirectory() as folder:
        run, model = Path(folder) / "run", Path(folder) / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
        (model / "model.safetensors").write_bytes(b"")
        seen = {"candidates": 0, "next": options.step}
        last = {"cpu": time.process_time(), "script": 0.0, "candidates": 0}
        print("candidates    tasks  CPU s/1,000  memory MB  disk MB", flush=True)

        def listen(event: Event) -> None:
            if not isinstance(event, RoundCommitted):
                return
            seen["candidates"] += sum(event.info["instructions"].values())
            if seen["candidates"] < seen["next"]:
                return
            seen["next"] += options.step
            cpu = time.process_time()
            count = (seen["candidates"] - last["candidates"]) / 1000
            own = (cpu - last["cpu"] - (spent[0] - last["script"])) / count
            size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print(
                f"{seen['candidates']:10,} {event.tasks:8,} {own:12.2f} "
                f"{memory:10.0f} {size / 1e6:8.0f}",
                flush=True,
            )
            last.update(cpu=time.process_time(), script=spent[0])
            last["candidates"] = seen["candidates"]

        values: dict[str, Any] = {
            "model.name": str(model),
            "model.prompting": "base",
            "propose.per_round": options.per_round,
            "likelihood.quantile": None,
            "likelihood.seed_bound": False,
            "stop.target": 10**9,
            "stop.max_rounds": -(-options.candidates // (options.per_round * _ITEMS)),
        }
        launch(run, nested(values), resume=False, make_engine=make_engine, listen=listen)


if __name__ == "__main__":
    main()
