"""What a question about a large run costs: audit pages over a million candidates.

    python scripts/bench_audit.py                     1,000 rounds of 1,000 candidates
    python scripts/bench_audit.py --rounds 100        fewer
    python scripts/bench_audit.py --at FOLDER         keep the run there, or use the one there

The run is written by the project's own store, with made-up texts and scores, and is removed
afterwards. Each question is asked several times in one process, as a web page would: the
first time the footers of the files are read, later ones find them in memory. The baseline
answers the same questions in the same process by reading the columns that it needs with
pyarrow and filtering in Python. CPU is the time of all cores together: on a machine that is
busy with other things it says what an idle one would need.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track
from rich.table import Table

from selfinstruct.audit.candidate import show_candidate
from selfinstruct.audit.histograms import histogram
from selfinstruct.audit.sample import draw_sample
from selfinstruct.audit.search import Filter, count_by_reason, search
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
from selfinstruct.decisions.decide import drop
from selfinstruct.inputs.run_inputs import parse_inputs
from selfinstruct.inputs.seeds import shipped_seeds
from selfinstruct.prompts import load_prompts
from selfinstruct.store import RoundData, Run, create_run, open_run, run_exists

PER_ROUND = 1000
PER_PROPOSAL = 5
REPEATS = 5
REASONS = ("not_novel", "low_likelihood", "truncated", "too_short")
console = Console(width=None if Console().is_terminal else 120)


@dataclass(frozen=True)
class Question:
    """Something that is asked of a run, and the way without a database, where there is one."""

    name: str
    ask: Callable[[Run], Any]
    baseline: Callable[[Run], Any] | None = None


def made_run(path: Path, rounds: int) -> Run:
    """Write a run of made-up candidates."""
    config = RunConfig()
    inputs = parse_inputs({"seeds.jsonl": shipped_seeds().read_bytes()}, load_prompts(None))
    meta = {
        "model": {"name": "made-up", "digest": "", "prompting": {}},
        "inputs": inputs.digests,
        "config": config.model_dump(mode="json"),
    }
    run = create_run(path, meta, inputs.as_stored())
    rng = random.Random(0)
    words = [f"{rng.choice('bcdfglmnprst')}{rng.choice('aeiou')}{n:x}" for n in range(20_000)]
    seeds = [seed.pool_id for seed in inputs.seeds]
    for number in track(range(rounds), "writing the run", console=console, transient=True):
        run.commit(_round(number, rng, words, seeds))
    return run


def _round(number: int, rng: random.Random, words: list[str], seeds: list[str]) -> RoundData:
    completions, instructions, instances = [], [], []
    for proposal in range(PER_ROUND // PER_PROPOSAL):
        name = ids.proposal(number, proposal)
        parents = tuple(rng.sample(seeds, 8))
        texts = [" ".join(rng.choices(words, k=rng.randint(5, 25))) for _ in range(PER_PROPOSAL)]
        completions.append(_completion(ids.request(name, Stage.PROPOSE), "\n".join(texts), parents))
        for item, text in enumerate(texts):
            reason = rng.choice(REASONS) if rng.random() < 0.6 else None
            one = InstructionCandidate(
                id=f"{name}-i{item:02d}",
                round=number,
                completion_id=ids.request(name, Stage.PROPOSE),
                char_start=0,
                char_end=len(text),
                raw_text=f" {text}",
                text=text,
                parents=parents,
                mean_logprob=-abs(rng.gauss(1.5, 0.6)),
                num_tokens=len(text) // 4,
                novelty_tokenizer="rouge",
                rouge_l=rng.random() if rng.random() < 0.7 else NAN,
                neighbour_id=rng.choice(seeds),
                verdict=ACCEPTED if reason is None else REJECTED,
                reason=reason,
            )
            instructions.append(one)
            if reason is None:
                instances.append(_instance(one, " ".join(rng.choices(words, k=40))))
    counts = {ACCEPTED: len(instances)}
    info = {
        "target": 10**9,
        "tasks": len(instances),
        "yield": len(instances) / len(instructions),
        "seconds": 1.0,
        "engine_idle_share": 0.0,
        "instructions": counts,
        "instances": counts,
        "tokens": {"prompt": 0, "generated": 0},
    }
    return RoundData(number, completions, instructions, instances, info)


def _instance(task: InstructionCandidate, output: str) -> InstanceCandidate:
    return InstanceCandidate(
        ids.instance(task.id, 0),
        task.id,
        task.round,
        task.completion_id,
        0,
        0,
        0,
        len(output),
        "",
        output,
        verdict=ACCEPTED,
    )


def _completion(id: str, text: str, parents: tuple[str, ...]) -> Completion:
    request = Request(
        id=id,
        about=ids.about(id, Stage.PROPOSE),
        stage=Stage.PROPOSE,
        reading=Reading(Form.LIST),
        prompt="…",
        sampling=SamplingConfig(),
        parents=parents,
    )
    return Completion(request, text, (), (), (), (), "stop", 0)


def rows(run: Run, *columns: str) -> Iterator[dict[str, Any]]:
    """Read columns of all instructions: the baseline."""
    for number in run.rounds():
        path = run.round_path(number) / "instructions.parquet"
        yield from pq.read_table(path, columns=list(columns)).to_pylist()


def _python_reason(run: Run) -> None:
    found = [row["id"] for row in rows(run, "id", "reason") if row["reason"] == "not_novel"]
    found[:50], len(found)


def _python_sorted(run: Run) -> None:
    found = [row for row in rows(run, "id", "reason", "rouge_l") if row["reason"] == "not_novel"]
    found.sort(key=lambda row: -row["rouge_l"] if row["rouge_l"] == row["rouge_l"] else 9)


def _python_text(run: Run) -> None:
    found = rows(run, "id", "text", "raw_text")
    _ = [row["id"] for row in found if "ba1f" in row["text"].lower() + row["raw_text"].lower()]


def _python_counts(run: Run) -> None:
    counts: dict[str | None, int] = {}
    for row in rows(run, "reason"):
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1


def questions(last: int) -> list[Question]:
    """Return what pages ask."""
    rejected = Filter(reason="not_novel")
    middle = f"r{last // 2:05d}-p007-i03"
    return [
        Question("first page, as judged", lambda run: search(run, Filter())),
        Question("a reason, as judged", lambda run: search(run, rejected), _python_reason),
        Question(
            "a reason, by ROUGE-L",
            lambda run: search(run, rejected, sort="rouge_l", descending=True),
            _python_sorted,
        ),
        Question("page 2,000 of it", lambda run: search(run, rejected, offset=100_000)),
        Question(
            "ranges of two scores",
            lambda run: search(run, Filter(min_rouge=0.6, max_rouge=0.8, min_logprob=-1.0)),
        ),
        Question("full text, rare", lambda run: search(run, Filter(text="BA1F")), _python_text),
        Question(
            "full text, by likelihood",
            lambda run: search(run, Filter(text="ba"), sort="mean_logprob"),
        ),
        Question("outputs, full text", lambda run: search(run, Filter("instances", text="ba1f"))),
        Question("a person's decisions", lambda run: search(run, Filter(overridden=True))),
        Question("one round", lambda run: search(run, Filter(round=last // 2))),
        Question("count by reason", lambda run: count_by_reason(run, Filter()), _python_counts),
        Question("histogram of ROUGE-L", lambda run: histogram(run, "rouge_l")),
        Question("histogram of words", lambda run: histogram(run, "words")),
        Question("one candidate", lambda run: show_candidate(run, middle)),
    ]


def timed(ask: Callable[[Run], Any], run: Run) -> tuple[float, float]:
    """Return seconds that passed, and seconds of all cores."""
    started, worked = time.perf_counter(), time.process_time()
    ask(run)
    return time.perf_counter() - started, time.process_time() - worked


def measured(run: Run) -> Table:
    last = run.rounds()[-1]
    drop(run, search(run, Filter(verdict=ACCEPTED), limit=1).rows[0]["id"], by="bench")
    table = Table(title=f"{PER_ROUND * (last + 1):,} candidates, seconds", title_justify="left")
    for name in ("question", "first", "median", "slowest", "CPU", "pyarrow and Python"):
        table.add_column(name, justify="left" if name == "question" else "right")
    for one in track(questions(last), "asking", console=console, transient=True):
        seconds = [timed(one.ask, run) for _ in range(REPEATS)]
        passed = [wall for wall, _ in seconds[1:]]
        worked = statistics.median(cpu for _, cpu in seconds[1:])
        other = f"{timed(one.baseline, run)[0]:.1f}" if one.baseline else ""
        shown = (seconds[0][0], statistics.median(passed), max(passed), worked)
        table.add_row(one.name, *(f"{value:.2f}" for value in shown), other)
    table.add_row("draw a sample of 50", f"{timed(draw_sample, run)[0]:.2f}", "", "", "", "")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=1000, help=f"of {PER_ROUND:,} candidates")
    parser.add_argument("--at", type=Path, help="folder of the run; kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = chosen.at or Path(scratch) / "run"
        if run_exists(path):
            run = open_run(path)
        else:
            path.mkdir(parents=True)
            run = made_run(path, chosen.rounds)
        (run.path / "overrides.jsonl").unlink(missing_ok=True)
        console.print(measured(run))


if __name__ == "__main__":
    main()
