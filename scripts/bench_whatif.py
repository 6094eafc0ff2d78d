"""What questions about a whole run cost: what-if, export, `audit list`, `summary`, compaction.

    python scripts/bench_whatif.py                           200,000 candidates in rounds of 1,000
    python scripts/bench_whatif.py --per-round 33            in small rounds, as a CPU makes them
    python scripts/bench_whatif.py --long                    what-if the long way too, the baseline
    python scripts/bench_whatif.py --at FOLDER               keep the run there, or use that one
    python scripts/bench_whatif.py --candidates 250000 --copies 4      10⁶ candidates

The run is written by the project's own store: texts of Zipf words, a fifth of them near-duplicates
(as in bench_loop.py), judged against all texts before them. With `--copies`, these are written
several times, each time with other words, so that no copy is near another one. Each question is
asked in a process of its own: seconds of the clock and of the processor without imports, and the
largest memory. With small rounds, the run is then compacted, and the questions about rounds are
asked again.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from selfinstruct import api
from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    NAN,
    REJECTED,
    Completion,
    Form,
    InstanceCandidate,
    InstructionCandidate,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.novelty.coded import coded_texts
from selfinstruct.filters.novelty.joins import TextJoin
from selfinstruct.inputs.run_inputs import parse_inputs
from selfinstruct.inputs.seeds import shipped_seeds
from selfinstruct.prompts import load_prompts
from selfinstruct.store import RoundData, Run, compact, create_run, open_run, run_exists
from selfinstruct.store.packs import packs_of

_WORDS, _ITEMS = 40_000, 5
console = Console(width=None if Console().is_terminal else 120)


def made_texts(count: int) -> list[str]:
    """Return texts of 5 to 40 Zipf words; a fifth are an earlier one with some words changed."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(_WORDS)]
    weights = np.cumsum([1 / (rank + 10) for rank in range(_WORDS)]).tolist()
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and rng.random() < 0.2:
            text = list(rng.choice(texts))
            for _ in range(rng.randint(1, 1 + len(text) // 4)):
                text[rng.randrange(1, len(text))] = rng.choices(words, cum_weights=weights)[0]
        else:
            drawn = rng.choices(words, cum_weights=weights, k=rng.randint(4, 39))
            text = ["Explain", *drawn]
        texts.append(text)
    return [" ".join(text) + "." for text in texts]


def made_run(path: Path, count: int, per_round: int, copies: int = 1) -> Run:
    """Write a run whose verdicts are those of its own thresholds."""
    config = RunConfig.model_validate(
        {"likelihood": {"quantile": None, "seed_bound": False}, "stop": {"target": 10**9}}
    )
    inputs = parse_inputs({"seeds.jsonl": shipped_seeds().read_bytes()}, load_prompts(None))
    meta = {
        "model": {"name": "made-up", "digest": "", "prompting": {}},
        "inputs": inputs.digests,
        "config": config.model_dump(mode="json"),
        "fingerprint": "bench",
    }
    run = create_run(path, meta, inputs.as_stored())
    seeds = [id for id, _ in inputs.first_pool]
    texts = [*(text for _, text in inputs.first_pool), *made_texts(count)]
    near = _nearest(texts, len(seeds))
    rng, number = random.Random(1), 0
    for letter in "wxyzabcdefghijklmnop"[:copies]:
        names = list(seeds)
        for begin in range(len(seeds), len(texts), per_round):
            rows = []
            for at in range(begin, min(begin + per_round, len(texts))):
                proposal, item = divmod(at - begin, _ITEMS)
                names.append(ids.instruction(ids.proposal(number, proposal), item))
                text, score = texts[at].replace(" w", f" {letter}"), rng.gauss(-1.5, 0.6)
                rows.append(_instruction(names, text, number, near[at], score))
            run.commit(_round(number, rows, rng))
            number += 1
    return run


def _nearest(texts: list[str], seeds: int) -> list[tuple[int, float] | None]:
    """Return the nearest text of the pool for each text; the first `seeds` are in it."""
    join = TextJoin(coded_texts([pa.array(texts)], str.split), 0.5)
    pool = np.zeros(len(texts), np.uint8)
    pool[:seeds] = 1
    nearest: list[tuple[int, float] | None] = [None] * seeds
    for at in range(seeds, len(texts)):
        near = join.nearest(at, 0.5, pool)
        pool[at] = near is None or near[1] <= 0.7
        nearest.append(near)
    return nearest


def _instruction(
    names: list[str], text: str, number: int, near: tuple[int, float] | None, score: float
) -> InstructionCandidate:
    is_near = near is not None and near[1] > 0.7
    return InstructionCandidate(
        id=names[-1],
        round=number,
        completion_id=ids.request(names[-1].rsplit("-", 1)[0], Stage.PROPOSE),
        char_start=0,
        char_end=len(text),
        raw_text=text,
        text=text,
        parents=(),
        is_classification=None if is_near else False,
        mean_logprob=min(score, -0.01),
        num_tokens=len(text) // 4,
        novelty_tokenizer="rouge",
        rouge_l=NAN if near is None else near[1],
        neighbour_id=None if near is None else names[near[0]],
        verdict=REJECTED if is_near else ACCEPTED,
        reason="not_novel" if is_near else None,
        threshold=0.7,
    )


def _round(number: int, rows: list[InstructionCandidate], rng: random.Random) -> RoundData:
    accepted = [row for row in rows if row.verdict == ACCEPTED]
    instances = [
        InstanceCandidate(
            ids.instance(row.id, 0),
            row.id,
            number,
            ids.request(row.id, Stage.INSTANCES),
            *(0, 0, 8, 8 + 2 * len(row.text)),
            "",
            f"{row.text} {row.text}",
            mean_logprob=min(rng.gauss(-1.2, 0.6), -0.01),
            num_tokens=len(row.text) // 2,
            verdict=ACCEPTED,
        )
        for row in accepted
    ]
    asked = dict.fromkeys(row.completion_id for row in rows)
    completions = [
        _completion(id, "\n".join(row.text for row in rows if row.completion_id == id))
        for id in asked
    ]
    counts = {ACCEPTED: len(accepted), "not_novel": len(rows) - len(accepted)}
    info = {
        "round": number,
        "target": 10**9,
        "tasks": len(accepted),
        "yield": len(accepted) / len(rows),
        "seconds": 1.0,
        "engine_idle_share": 0.0,
        "instructions": counts,
        "instances": {ACCEPTED: len(instances)},
        "tokens": {"prompt": 0, "generated": 0},
    }
    return RoundData(number, completions, rows, instances, info)


def _completion(id: str, text: str) -> Completion:
    request = Request(
        id=id,
        about=ids.about(id, Stage.PROPOSE),
        stage=Stage.PROPOSE,
        reading=Reading(Form.LIST),
        prompt="…",
        sampling=SamplingConfig(),
    )
    tokens = tuple(range(len(text) // 4))
    scores = (-1.5,) * len(tokens)
    return Completion(request, text, tokens, scores, tokens, tokens, "stop", 0)


def _whatif(**thresholds: float) -> Callable[[Run], str]:
    def ask(run: Run) -> str:
        from selfinstruct.verdicts.whatif import Thresholds, what_if

        found = what_if(run, Thresholds(**thresholds))
        # Each change is made, and its text read, when it is asked for.
        changes = sum(1 for _ in found.changes)
        instances = sum(1 for _ in found.instance_changes)
        return f"{changes:,} and {instances:,} change"

    return ask


def _long(**thresholds: float) -> Callable[[Run], str]:
    def ask(run: Run) -> str:
        from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
        from selfinstruct.verdicts.whatif import Thresholds, config_with
        from selfinstruct.verdicts.whatif_full import judge_all

        config = config_with(stored_config(run), Thresholds(**thresholds))
        found = judge_all(run, config, stored_inputs(run))
        return f"{len(found.changes):,} change"

    return ask


def _export(run: Run) -> str:
    from selfinstruct.dataset.export import export
    from selfinstruct.dataset.formats import Format

    with tempfile.TemporaryDirectory() as folder:
        rows = export(run, Format.MESSAGES, Path(folder) / "tasks.jsonl")
    return f"{rows:,} rows"


def _list(run: Run) -> str:
    from selfinstruct.audit.search import Filter, search

    return f"{search(run, Filter(reason='not_novel')).total:,} rows"


def _summary(run: Run) -> str:
    from selfinstruct.audit.queries import summarise

    return f"{summarise(run).tasks:,} tasks"


QUESTIONS: dict[str, Callable[[Run], str]] = {
    "what-if --rouge 0.72": _whatif(rouge=0.72),
    "what-if --rouge 0.8": _whatif(rouge=0.8),
    "what-if --rouge 0.6": _whatif(rouge=0.6),
    "what-if --min-logprob -2.9": _whatif(min_logprob=-2.9),
    "what-if --min-logprob -2": _whatif(min_logprob=-2.0),
    "export --format messages": _export,
    "audit list --reason not_novel": _list,
    "audit summary": _summary,
}
LONG = {
    "what-if --rouge 0.72, the long way": _long(rouge=0.72),
    "what-if --min-logprob -2, the long way": _long(min_logprob=-2.0),
}


def asked(question: str, path: Path) -> None:
    """Ask in this process, and print what it took as JSON."""
    run = open_run(path)
    _warm()
    started, worked = time.perf_counter(), time.process_time()
    answer = {**QUESTIONS, **LONG}[question](run)
    values = (time.perf_counter() - started, time.process_time() - worked)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps([*values, peak, answer]))


def _warm() -> None:
    """Load libraries and compiled kernels, which no run's size decides."""
    import duckdb  # noqa: F401

    import selfinstruct.audit.queries
    import selfinstruct.dataset.export
    import selfinstruct.verdicts.whatif  # noqa: F401
    from selfinstruct.filters.novelty.holding import Holdings

    texts = ["one two three four five six seven eight"] * 2
    coded = coded_texts([pa.array(texts)], str.split)
    join, pool = TextJoin(coded, 0.5), np.ones(2, np.uint8)
    join.nearest(1, 0.5, pool), join.later(0, 0.5)
    join.nearest_of(1, np.array([0]), 0.5)
    holdings = Holdings(coded, texts.__getitem__)
    holdings.holders(0), holdings.held(1, pool)


def measured(path: Path, names: list[str], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("question", "seconds", "CPU", "MB", "answer"):
        table.add_column(name, justify="left" if name == "question" else "right")
    for name in names:
        command = [sys.executable, __file__, "--at", str(path), "--ask", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall, cpu, peak, answer = json.loads(done.stdout.splitlines()[-1])
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}", answer)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--candidates", type=int, default=200_000)
    parser.add_argument("--per-round", type=int, default=1000)
    parser.add_argument("--copies", type=int, default=1, help="of the candidates, in other words")
    parser.add_argument("--long", action="store_true", help="ask the long way too")
    parser.add_argument("--at", type=Path, help="folder of the run; kept")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ask:
        asked(chosen.ask, chosen.at)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = chosen.at or Path(scratch) / "run"
        if not run_exists(path):
            path.mkdir(parents=True)
            started = time.perf_counter()
            with mock.patch.object(compact, "compact_by_itself"):  # first without
                made_run(path, chosen.candidates, chosen.per_round, chosen.copies)
            console.print(f"run written in {time.perf_counter() - started:.0f} s")
        names = [*QUESTIONS, *(LONG if chosen.long else ())]
        run = open_run(path)
        rounds, packs = len(run.rounds()), len(packs_of(path))
        console.print(measured(path, names, f"{rounds} rounds, {packs} packs"))
        if rounds > compact.FULL_ROUNDS and not packs:
            del run  # a reader: what is replaced would stay
            started, worked = time.perf_counter(), time.process_time()
            done = api.compact(path)
            spent = (time.perf_counter() - started, time.process_time() - worked)
            console.print(f"compacted in {spent[0]:.1f} s ({spent[1]:.1f} s of the processor)")
            console.print(measured(path, names, f"{rounds} rounds, {done.packs} packs"))


if __name__ == "__main__":
    main()
