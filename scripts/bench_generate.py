"""How close the loop comes to vLLM itself, and to the original release's way of asking.

    python scripts/bench_generate.py [docs/throughput.json] [--minutes 14] [--quick]

In one run, for 1, 8, 64 and 256 requests in flight (vLLM's `max_num_seqs`):

- `loop`: our loop, vLLM in the same process (`selfinstruct generate`).
- `ceiling`: vLLM alone with all requests of that very run at once, as its ledger has them.
- `original`: some of the same requests as the original release asked: one stage after the other,
  in batches of 5, each once the one before it is back.
- `http`: our loop, and vLLM's own server on this machine (`--servers N`: N of them). The servers
  together compute this number at once. The loop sends twice as many, so that some wait there, as
  in the other arms they wait in the engine.

Each number of requests has one engine in a process of its own, and servers of its own; both are
loaded once. The arms take turns, with an empty prefix cache each, until the time of this number is
up; a ratio is that of two arms that followed each other. With `--in-flight`, the file keeps what it
has of the other numbers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vllm_server import VllmServer

from selfinstruct.common.installing import version_of
from selfinstruct.common.progress import silent
from selfinstruct.common.records import LOOP_STAGES, Request
from selfinstruct.config.values import overlay
from selfinstruct.engines.kept import kept
from selfinstruct.engines.machine import detect_machine, installed_vllm
from selfinstruct.engines.registry import EngineFactory, build_engine
from selfinstruct.engines.stream import batched
from selfinstruct.generate.launch import launch
from selfinstruct.models import CATALOGUE, resolve_model
from selfinstruct.models.endpoint import with_endpoint
from selfinstruct.store import Run, open_run

ARMS = ("loop", "ceiling", "original", "http")
CONTEXT, KV_CACHE_GB = 2048, 2
ORIGINAL_BATCH = 5
_WAITING_TOO = 2  # times the requests that a server computes at once are sent to it
# Short texts, so that every number of requests gets its turn within minutes.
VALUES: dict[str, Any] = {
    "model": {"prompting": "base"},
    "engine": {"context_length": CONTEXT},
    "propose": {"sampling": {"max_tokens": 96}},
    "instances": {"sampling": {"max_tokens": 64}},
    "likelihood": {"calibration": 8},
    "stop": {"target": 1_000_000, "min_yield": 0.0},
}


@dataclass(frozen=True, slots=True)
class Level:
    """Requests in flight, and the work that they are measured on.

    original: requests of each stage that the original's way is measured on.
    """

    in_flight: int
    per_round: int
    rounds: int
    original: int


# A round has as many proposals as `propose.per_round=auto` gives it; with one request in flight
# there is no time for so many.
LEVELS = (Level(1, 2, 1, 2), Level(8, 16, 2, 5), Level(64, 16, 4, 5), Level(256, 64, 2, 5))
QUICK = (Level(8, 2, 2, 5),)


@dataclass(frozen=True, slots=True)
class Measured:
    """One arm, once.

    tokens: that were written. tasks: that were accepted; NaN where the arm judges nothing.
    idle: share of the time without a request in flight.
    cached: share of the prompts' tokens that the prefix cache had.
    """

    arm: str
    in_flight: int
    turn: int
    seconds: float
    tokens: int
    tasks: int
    idle: float
    cached: float

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def requests_of(run: Run) -> list[Request]:
    """Return what a run asked the model to write, in the order of its ledger."""
    completions = (c for number in run.rounds() for c in run.read_round(number).completions)
    return [c.request for c in completions if c.request.stage in LOOP_STAGES]


def original_batches(requests: Sequence[Request], of_a_stage: int) -> Iterable[Sequence[Request]]:
    """Yield some requests of each stage, as the original release sends them."""
    for stage in LOOP_STAGES:
        own = [request for request in requests if request.stage is stage][:of_a_stage]
        yield from batched(own, ORIGINAL_BATCH)


def loop(out: Path, values: Mapping[str, Any], make_engine: EngineFactory) -> dict[str, Any]:
    """Generate a run; return its sums."""
    run, _ = launch(out, values, resume=False, make_engine=make_engine, listen=silent)
    infos = [run.info(number) for number in run.rounds()]
    seconds = sum(info["seconds"] for info in infos)
    return {
        "seconds": seconds,
        "tokens": sum(info["tokens"]["generated"] for info in infos),
        "tasks": sum(info["tasks"] for info in infos),
        "idle": sum(info["engine_idle_share"] * info["seconds"] for info in infos) / seconds,
    }


class InProcess:
    """vLLM in this process. Made in a process of its own, which keeps it (`_here`)."""

    def __init__(self, name: str, in_flight: int) -> None:
        engine = {"max_num_seqs": in_flight, "kv_cache_gb": KV_CACHE_GB}
        self._values = overlay(VALUES, {"model": {"name": name}, "engine": engine})
        self._kept = kept(build_engine)
        self._make = self._kept.__enter__()
        self._cached = self._prompts = 0
        with tempfile.TemporaryDirectory() as folder:  # loads the model, and scores seed tasks
            loop(Path(folder) / "run", _sized(self._values, 1, 1, 0), self._make)
        model = resolve_model(name, lambda *_: None)
        kept_engine: Any = self._make(model, None, None)  # type: ignore[arg-type]
        self._engine = kept_engine.engine
        self._model, self._driver = model, self._engine._driver
        self._next = self._driver.next_output
        self._driver.next_output = self._counted  # what our loop asks is counted too

    def measure(self, arm: str, level: Level, turn: int, out: Path) -> Measured:
        """Measure an arm; `out` is the run that `loop` makes and the others take requests from."""
        self._driver._inbox.put(lambda engine: engine.reset_prefix_cache())
        self._cached = self._prompts = 0
        if arm == "loop":
            values = _sized(self._values, level.per_round, level.rounds, turn)
            sums = loop(out, values, self._make)
        elif arm == "ceiling":
            sums = self._raw([requests_of(open_run(out))])
        else:
            sums = self._raw(original_batches(requests_of(open_run(out)), level.original))
        cached = self._cached / max(1, self._prompts)
        return Measured(arm, level.in_flight, turn, **sums, cached=cached)

    def _raw(self, batches: Iterable[Sequence[Request]]) -> dict[str, Any]:
        """Have vLLM write for batches of requests, one after the other; nothing is judged."""
        items = [[self._item(request) for request in batch] for batch in batches]
        tokens, started = 0, time.perf_counter()
        for batch in items:
            self._driver.submit(batch)
            outputs = [self._driver.next_output() for _ in batch]
            tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": tokens, "tasks": 0, "idle": 0.0}

    def _item(self, request: Request) -> tuple[str, list[int], dict[str, Any]]:
        from selfinstruct.engines.rendering import render_ids
        from selfinstruct.engines.vllm_arguments import sampling_arguments

        _, ids = render_ids(request.prompt, self._model, self._engine._tokenizer)
        room = self._engine.context_length - len(ids)
        return request.id, ids, sampling_arguments(request, room, self._engine._turn_ends)

    def _counted(self, **how: Any) -> Any:
        output = self._next(**how)
        self._cached += output.num_cached_tokens or 0
        self._prompts += len(output.prompt_token_ids or ())
        return output


_here: list[InProcess] = []


def _load(name: str, in_flight: int) -> None:
    _here.append(InProcess(name, in_flight))


def _measure(arm: str, level: Level, turn: int, out: Path) -> Measured:
    return _here[0].measure(arm, level, turn, out)


def over_http(
    name: str, servers: Sequence[VllmServer], level: Level, turn: int, out: Path
) -> Measured:
    """Measure our loop with servers of a model."""
    most = _WAITING_TOO * max(1, level.in_flight // len(servers))
    engine = {"base_url": [server.url for server in servers], "max_num_seqs": most}
    values = with_endpoint(overlay(VALUES, {"model": {"name": name}, "engine": engine}))
    values = _sized(values, level.per_round, level.rounds, turn)
    for server in servers:
        server.reset_prefix_cache()

    def metric(name: str) -> float:
        return sum(server.metric(name) for server in servers)

    names = ("prefix_cache_hits_total", "prefix_cache_queries_total")
    before = [metric(name) for name in names]
    sums = loop(out, values, build_engine)
    hits, queries = (metric(name) - old for name, old in zip(names, before, strict=True))
    return Measured("http", level.in_flight, turn, **sums, cached=hits / max(1.0, queries))


def _sized(values: Mapping[str, Any], per_round: int, rounds: int, seed: int) -> dict[str, Any]:
    sizes = {"propose": {"per_round": per_round}, "stop": {"max_rounds": rounds}, "seed": seed}
    return overlay(values, sizes)


def measure_level(name: str, level: Level, seconds: float, servers: int) -> list[Measured]:
    """Measure every arm in turn, at least once, until the time is up."""
    started, rows = time.perf_counter(), []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, context, _load, (name, level.in_flight))
        stack.callback(pool.shutdown)
        serving = [stack.enter_context(server) for server in _servers(name, level, servers, folder)]
        if serving:  # scores the seed tasks once
            over_http(name, serving, Level(level.in_flight, 1, 1, 0), 0, folder / "first")
        turn, longest = 0, 0.0
        while turn == 0 or time.perf_counter() - started + longest < seconds:
            began = time.perf_counter()
            run = folder / f"run-{turn}"
            for arm in ARMS[:3]:
                rows.append(pool.submit(_measure, arm, level, turn, run).result())
            if serving:
                rows.append(over_http(name, serving, level, turn, folder / f"http-{turn}"))
            turn, longest = turn + 1, max(longest, time.perf_counter() - began)
            print(table(rows), flush=True)
    return rows


def _servers(name: str, level: Level, count: int, folder: Path) -> list[VllmServer]:
    """Return servers that are not started; each is bound to its share of the cores."""
    cores = detect_machine().cores
    model = resolve_model(name, lambda *_: None)
    return [
        VllmServer(
            model.path,
            name,  # what is recommended for the model holds here too
            folder / f"server-{number}.log",
            sequences=max(1, level.in_flight // count),
            context=CONTEXT,
            cores=",".join(map(str, cores[number::count] or cores)),
            kv_cache_gb=KV_CACHE_GB,
            shares=False,
        )
        for number in range(count)
    ]


def ratios(rows: Sequence[Measured], arm: str, in_flight: int) -> list[float]:
    """Return an arm's tokens a second by those of the ceiling, turn by turn."""
    speed = {(row.arm, row.turn): row.speed for row in rows if row.in_flight == in_flight}
    return [value / speed["ceiling", turn] for (name, turn), value in speed.items() if name == arm]


def tasks_a_minute(rows: Sequence[Measured], arm: str, in_flight: int) -> float:
    """Return the median of accepted tasks a minute.

    What judges nothing would get the tasks that the loop got of as many tokens.
    """
    own = [row for row in rows if row.in_flight == in_flight]
    judged = {row.turn: row for row in own if row.arm == "loop"}
    speeds = []
    for row in own:
        if row.arm == arm:
            by = row if arm in ("loop", "http") else judged[row.turn]
            speeds.append(60 * row.speed * by.tasks / by.tokens)
    return statistics.median(speeds)


def table(rows: Sequence[Measured]) -> str:
    """Return a table in Markdown: medians, and ratios as median (least to most)."""
    lines = [
        "| in flight | | tokens/s | of the ceiling | tasks a minute | idle | prefix cache | runs |",
        "|---:|---|---:|---|---:|---:|---:|---:|",
    ]
    for in_flight in sorted({row.in_flight for row in rows}):
        for arm in ARMS:
            own = [row for row in rows if (row.arm, row.in_flight) == (arm, in_flight)]
            if not own:
                continue
            parts = ratios(rows, arm, in_flight)
            of = f"{statistics.median(parts):.0%} ({min(parts):.0%} to {max(parts):.0%})"
            speed = statistics.median(row.speed for row in own)
            idle = statistics.median(row.idle for row in own)
            cached = statistics.median(row.cached for row in own)
            lines.append(
                f"| {in_flight} | {arm} | {speed:.0f} | {'' if arm == 'ceiling' else of} "
                f"| {tasks_a_minute(rows, arm, in_flight):.1f} | {idle:.1%} | {cached:.0%} "
                f"| {len(own)} |"
            )
    return "\n".join(lines) + "\n"


def _title(model: str) -> str:
    return CATALOGUE[model].title if model in CATALOGUE else model


def short_table(rows: Sequence[Measured]) -> str:
    """Return a table in Markdown: tokens a second of the loop, and medians of the ratios."""
    lines = [
        "| requests in flight | `generate`, tokens/s | `generate`, share of vLLM alone | "
        "`generate` over HTTP, share of vLLM alone | original method, share of vLLM alone |",
        "|---:|---:|---:|---:|---:|",
    ]
    for in_flight in sorted({row.in_flight for row in rows}):
        own = [r.speed for r in rows if (r.arm, r.in_flight) == ("loop", in_flight)]
        cells = [f"{in_flight}", f"{statistics.median(own):.0f}"]
        for arm in ("loop", "http", "original"):
            parts = ratios(rows, arm, in_flight)
            cells.append(f"{statistics.median(parts):.0%}" if parts else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _other_levels(out: Path | None, measured: str, now: set[int]) -> list[Measured]:
    """Return what a file has of other numbers of requests in flight, on a machine of this kind."""
    if out is None or not out.is_file():
        return []
    kept = json.loads(out.read_text(encoding="utf-8"))
    if kept["measured"] != measured:
        return []
    return [Measured(**row) for row in kept["rows"] if row["in_flight"] not in now]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=14.0, help="for all of it, about")
    parser.add_argument("--model", default="bundled", help="a name, or a folder")
    parser.add_argument("--servers", type=int, default=1, help="of vLLM; 0: none")
    parser.add_argument("--in-flight", type=int, nargs="+", help="only these of 1, 8, 64, 256")
    parser.add_argument("out", type=Path, nargs="?", help="JSON for scripts/make_docs.py")
    parser.add_argument("--quick", action="store_true", help="one small measurement")
    options = parser.parse_args()
    chosen = options.in_flight or [level.in_flight for level in LEVELS]
    levels = [x for x in (QUICK if options.quick else LEVELS) if x.in_flight in chosen]
    ends, rows = time.monotonic() + 60 * options.minutes, list[Measured]()
    for number, level in enumerate(levels):
        left = (ends - time.monotonic()) / (len(levels) - number)
        rows += measure_level(options.model, level, left, options.servers)
    machine, vllm = detect_machine(), installed_vllm() or ""
    measured = (
        f"{len(machine.cores)} CPU cores, {vllm} {version_of(vllm)}, "
        f"{_title(options.model)} in {machine.dtype}, vLLM servers for HTTP: {options.servers}"
    )
    rows += _other_levels(options.out, measured, {level.in_flight for level in levels})
    report = {
        "measured": measured,
        "table": table(rows),
        "short": short_table(rows),
        "rows": [asdict(row) for row in rows],
    }
    print(table(rows))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
