"""An engine that fails in every way but hanging, and what becomes of its run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import EngineError, SelfInstructError
from selfinstruct.common.progress import silent
from selfinstruct.common.records import Completion
from selfinstruct.config.values import nested
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.launch import launch
from selfinstruct.store import open_run
from selfinstruct.verdicts.replay import replay
from tests.conftest import make_seed, varied_script, write_seeds
from tests.faults.compare import damages_of_runs, meanings

Turn = Callable[[Sequence[Completion], random.Random], list[Completion]]


def _some(rng: random.Random, rows: Sequence[Completion], change: Any) -> list[Completion]:
    return [change(row) if rng.random() < 0.1 else row for row in rows]


def _fails(row: Completion) -> Completion:
    empty: dict[str, Any] = {"token_ids": (), "token_logprobs": None, "token_starts": ()}
    return replace(
        row, text="", error="the server hung up", finish_reason="error", token_ends=(), **empty
    )


def _with_scores(row: Completion, change: Callable[[tuple[float, ...]], Any]) -> Completion:
    return (
        row
        if row.token_logprobs is None
        else replace(row, token_logprobs=change(row.token_logprobs))
    )


def _dies(rows: Sequence[Completion], rng: random.Random) -> list[Completion]:
    if rng.random() < 0.2:
        raise EngineError("the engine died")
    return list(rows)


# What an engine does wrong, by name.
FAULTS: Mapping[str, Turn] = {
    "one request in ten fails": lambda rows, rng: _some(rng, rows, _fails),
    "it dies": _dies,
    "it returns completions in another order": lambda rows, rng: rng.sample(rows, len(rows)),
    "it returns a completion twice": lambda rows, rng: [
        *rows,
        *rng.sample(rows, min(1, len(rows))),
    ],
    "it returns nothing at times": lambda rows, rng: list(rows),
    "it returns a completion that was not requested": lambda rows, rng: [
        *rows,
        replace(rows[0], request=replace(rows[0].request, id="r00000-p999-propose")),
    ],
    "it returns too few log-probabilities": lambda rows, rng: _some(
        rng, rows, lambda row: _with_scores(row, lambda scores: scores[:-1])
    ),
    "it returns too many log-probabilities": lambda rows, rng: _some(
        rng, rows, lambda row: _with_scores(row, lambda scores: (*scores, -1.0))
    ),
    "it returns log-probabilities that are NaN": lambda rows, rng: _some(
        rng, rows, lambda row: _with_scores(row, lambda scores: (math.nan,) * len(scores))
    ),
    "it returns infinite log-probabilities": lambda rows, rng: _some(
        rng, rows, lambda row: _with_scores(row, lambda scores: (-math.inf,) * len(scores))
    ),
    "it returns an unknown finish reason": lambda rows, rng: _some(
        rng, rows, lambda row: replace(row, finish_reason="tool_calls")
    ),
}
# After these faults the run is what it is without them.
HARMLESS = ("it returns completions in another order", "it returns nothing at times")


class FaultyEngine(ScriptedEngine):
    """The scripted engine with one fault.

    Args:
        fault: the name of one of `FAULTS`.
        seed: of what it strikes.
    """

    def __init__(self, fault: str, seed: int) -> None:
        super().__init__(varied_script, batch=5)
        self._fault, self._draws = fault, random.Random(seed)

    def collect(self) -> list[Completion]:
        if self._fault == "it returns nothing at times" and self._draws.random() < 0.3:
            return []
        rows = super().collect()
        return FAULTS[self._fault](rows, self._draws) if rows else rows


@dataclass(frozen=True)
class Faulty:
    """What became of a run: the exit code of its first process, what it said, what is wrong."""

    code: int
    told: str
    lost: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    traceback: str = ""


def run_faulty(folder: Path, fault: str, seed: int) -> Faulty:
    """Have a faulty engine write a run, and a good one go on with it.

    Args:
        folder: a new one.
        fault: the name of one of `FAULTS`.
        seed: of the run, and of what the fault strikes.
    """
    folder.mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "model" / "model.safetensors").write_bytes(b"")
    seeds = write_seeds(folder / "seeds.jsonl", [make_seed(number) for number in range(8)])
    values = {
        "model.name": str(folder / "model"),
        "model.prompting": "base",
        "seeds": str(seeds),
        "propose.per_round": 3,
        "stop.target": 6,
        "seed": seed,
    }

    def write(out: Path, engine: ScriptedEngine, resume: bool) -> None:
        given = {"stop.target": 6} if resume else values
        launch(out, nested(given), resume=resume, make_engine=lambda *_: engine, listen=silent)

    run = folder / "run"
    code, told = 0, ""
    try:
        write(run, FaultyEngine(fault, seed), False)
    except SelfInstructError as error:
        code, told = error.exit_code, str(error)
    except Exception as error:  # noqa: BLE001  # what must never come out
        return Faulty(1, "", traceback=f"{type(error).__name__}: {error}")
    before = open_run(run).rounds() if (run / "run.yaml").is_file() else []
    resumed = (run / "run.yaml").is_file()
    write(run, ScriptedEngine(varied_script, batch=5), resumed)
    silent_ones = [f"replay: {one}" for one in replay(open_run(run))[:3]]
    if fault in HARMLESS:
        good = folder / "good"
        write(good, ScriptedEngine(varied_script, batch=5), False)
        if _rounds(good) != _rounds(run):
            silent_ones.append("the run is another than without the fault")
    lost = list(damages_of_runs(folder))
    lost += [f"round {number} is gone" for number in before if number not in open_run(run).rounds()]
    return Faulty(code, told, tuple(lost), tuple(silent_ones))


def _rounds(run: Path) -> dict[str, str]:
    return {name: said for name, said in meanings(run).items() if name.startswith("rounds/")}
