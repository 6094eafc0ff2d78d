"""Is the likelihood filter worth having? The study behind docs/likelihood.md.

    python scripts/study_likelihood.py sample RUN --out sheet.jsonl    100 candidates to rate
    python scripts/study_likelihood.py measure RUN...                  score runs (needs vLLM)
    python scripts/study_likelihood.py tables [--check]                write docs/likelihood.md

A run for it is made without the filter: `selfinstruct generate ... --set
likelihood.quantile=null`. Readers see instruction, input and output only, never a score or a
verdict; their ratings are kept in docs/likelihood_ratings.jsonl, the figures of the runs in
docs/likelihood_study.json, and the tables can be made again from the two alone.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study_plot import Panel, histograms
from study_stats import auroc, interval, kept_quality, residuals, spearman

from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
)
from selfinstruct.config.schema import LikelihoodConfig
from selfinstruct.engines.base import Engine, ask_all, scoring_request
from selfinstruct.filters.likelihood import LikelihoodThresholds, quantile, tokens_of
from selfinstruct.generate.calibrate import calibrate
from selfinstruct.generate.launch import scores_depend_on
from selfinstruct.generate.open_round import scores_without_task
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import resolve_model
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.candidates import with_gain
from selfinstruct.verdicts.whatif import Thresholds, what_if

DOCS = Path(__file__).resolve().parent.parent / "docs"
RATINGS = DOCS / "likelihood_ratings.jsonl"
FIGURES = DOCS / "likelihood_study.json"
PICTURE = DOCS / "likelihood.svg"
PAGE = DOCS / "likelihood.md"
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
RATED_PER_RUN = 100
SHUFFLED = 100
SIGNALS = {
    "instruction, nats/token": "instruction_logprob",
    "output, nats/token": "output_logprob",
    "output, corrected for length": "output_residual",
    "conditional gain": "conditional_gain",
    "output length (tokens)": "num_tokens",
    "random": "random",
}
TARGETS = ("output rated A or B", "instruction is valid")


def reached(run: Run) -> tuple[dict[str, InstructionCandidate], list[InstanceCandidate]]:
    """Return all instructions by id, and the instances that every other rule had passed."""
    tasks = {c.id: c for number in run.rounds() for c in run.instructions(number)}
    good = (None, "over_target")
    rows = [r for number in run.rounds() for r in run.instances(number) if r.reason in good]
    return tasks, sorted(rows, key=lambda row: ids.order(row.id))


def sample(run: Run, out: Path) -> None:
    """Write a sheet for readers, in random order, and beside it which candidate is which."""
    tasks, rows = reached(run)
    drawn = random.Random(0).sample(rows, min(RATED_PER_RUN, len(rows)))
    shown = [
        {"n": n, "instruction": tasks[row.instruction_id].text, **_texts(row)}
        for n, row in enumerate(drawn, start=1)
    ]
    write_lines(out, shown)
    write_lines(
        out.with_suffix(".key.jsonl"), [{"n": n, "id": r.id} for n, r in enumerate(drawn, 1)]
    )


def _texts(row: InstanceCandidate) -> dict[str, str]:
    return {"input": row.input, "output": row.output}


def measure(run: Run, engine: Engine, rated: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a run; adds the signals to the rows of it that were rated."""
    config, inputs = stored_config(run), stored_inputs(run)
    builder = RequestBuilder(config, inputs, engine, run.meta["model"]["prompting"])
    engine.start(config.engine.context_length or builder.check_context())
    completions = {c.id: c for number in run.rounds() for c in run.completions(number)}
    tasks, good = reached(run)
    model = resolve_model(config.model.name, lambda *_: None)
    identity, shown = scores_depend_on(config, model), config.propose.in_context
    seeds = calibrate(inputs.seeds, builder, engine, shown, identity, lambda *_: None)
    instances = [row for number in run.rounds() for row in run.instances(number)]
    scores: dict[str, dict[str, list[float]]] = {
        "instruction": {
            "seeds": [s.mean_logprob for s in seeds.scores if s.kind is Kind.INSTRUCTION],
            "accepted": [c.mean_logprob for c in tasks.values() if c.verdict == ACCEPTED],
            "rejected": [c.mean_logprob for c in tasks.values() if c.verdict != ACCEPTED],
        }
    }
    for kind in (Kind.OUTPUT, Kind.LABEL):
        rows = [row for row in instances if kind_of(row, tasks) is kind]
        scores[kind] = {
            "seeds": [s.mean_logprob for s in seeds.scores if s.kind is kind],
            "accepted": [row.mean_logprob for row in rows if row.verdict == ACCEPTED],
            "rejected": [row.mean_logprob for row in rows if row.verdict != ACCEPTED],
        }
    outputs = [row for row in instances if kind_of(row, tasks) is Kind.OUTPUT]
    lengths = {"instruction": by_length(list(tasks.values())), "output": by_length(outputs)}
    add_signals(rated, {row.id: row for row in instances}, tasks, completions, builder, engine)
    return {
        "model": run.meta["model"]["name"],
        "dtype": config.model.dtype,
        "candidates": {"instructions": len(tasks), "instances": len(instances)},
        "calibration_seconds": None if seeds.cached else round(seeds.seconds, 1),
        "scores": {
            kind: {k: rounded(v) for k, v in parts.items()} for kind, parts in scores.items()
        },
        "rank_correlation_with_length": {k: round(v, 3) for k, v in lengths.items()},
        "yields": yields(run),
        "held_out": held_out(tasks, good, completions, engine),
        "tails": {
            "instruction": tails(list(tasks.values()), lambda c: c.text),
            "output": tails(good, lambda r: f"{tasks[r.instruction_id].text} → {r.output}"),
        },
    }


def by_length(rows: Sequence[InstructionCandidate | InstanceCandidate]) -> float:
    """Return the rank correlation of score and length in tokens."""
    known = [row for row in rows if not math.isnan(row.mean_logprob)]
    return spearman([row.mean_logprob for row in known], [row.num_tokens for row in known])


def kind_of(row: InstanceCandidate, tasks: dict[str, InstructionCandidate]) -> Kind:
    return Kind.LABEL if tasks[row.instruction_id].is_classification else Kind.OUTPUT


def yields(run: Run) -> list[dict[str, Any]]:
    """Return what each quantile would reject, and leave."""
    found = []
    for share in SHARES:
        judged = what_if(run, Thresholds(quantile=share))
        found.append(
            {
                "quantile": share,
                "instructions_rejected": judged.after["low_likelihood"],
                "instances_rejected": judged.instances_after["low_likelihood"],
                "good": judged.after[ACCEPTED] + judged.after["over_target"],
                "good_without": judged.before[ACCEPTED] + judged.before["over_target"],
            }
        )
    return found


def held_out(
    tasks: dict[str, InstructionCandidate],
    good: Sequence[InstanceCandidate],
    completions: dict[str, Completion],
    engine: Engine,
) -> dict[str, Any]:
    """Return how much of later rounds falls below the frozen threshold, and of it shuffled."""
    passed = [c for c in tasks.values() if c.verdict == ACCEPTED or c.reason in _LATE]
    outputs = [row for row in good if kind_of(row, tasks) is Kind.OUTPUT]
    places = {
        Kind.INSTRUCTION: [(c.round, c.completion_id, c.char_start, c.char_end) for c in passed],
        Kind.OUTPUT: [
            (r.round, r.completion_id, r.output_char_start, r.output_char_end) for r in outputs
        ],
    }
    scores = {
        Kind.INSTRUCTION: [c.mean_logprob for c in passed],
        Kind.OUTPUT: [r.mean_logprob for r in outputs],
    }
    thresholds = LikelihoodThresholds(LikelihoodConfig())
    found: dict[str, Any] = {}
    for kind, spans in places.items():
        last = frozen_after(thresholds, kind, [span[0] for span in spans], scores[kind])
        least = thresholds.least(kind, last)
        later = [i for i, span in enumerate(spans) if span[0] > last]
        if least is None or not later:
            continue
        drawn = random.Random(1).sample(later, min(SHUFFLED, len(later)))
        shuffled = score_shuffled([spans[i] for i in drawn], completions, engine)
        found[str(kind)] = {
            "threshold": round(least, 3),
            "untouched": len(later),
            "untouched_below": round(_share(scores[kind][i] < least for i in later), 4),
            "shuffled": len(shuffled),
            "shuffled_below": round(_share(score < least for score in shuffled), 4),
            "shuffled_scores": rounded(shuffled),
        }
    return found


_LATE = ("not_novel", "no_instances", "over_target", "low_likelihood")


def frozen_after(
    thresholds: LikelihoodThresholds, kind: Kind, rounds: Sequence[int], scores: Sequence[float]
) -> int:
    """Feed a kind's scores round by round; return the round in which the threshold froze."""
    for number in sorted(set(rounds)):
        own = [score for at, score in zip(rounds, scores, strict=True) if at == number]
        thresholds.see(kind, number, own)
        if thresholds.least(kind, number) is not None:
            return number
    return max(rounds, default=0)


def score_shuffled(
    spans: Sequence[tuple[int, str, int, int]],
    completions: dict[str, Completion],
    engine: Engine,
) -> list[float]:
    """Return nats per token of each span's words in random order, in the span's own context."""
    requests, counts = [], []
    for n, (_, id, start, end) in enumerate(spans):
        completion = completions[id]
        words = completion.text[start:end].split()
        random.Random(n).shuffle(words)
        first = tokens_of(completion, start, end)[0]
        space = " " if completion.text[completion.token_starts[first]].isspace() else ""
        tokens = engine.encode(space + " ".join(words))
        given = [*completion.token_ids[:first], *tokens]
        requests.append(scoring_request(f"shuffled-{n}", completion.prompt or "", given))
        counts.append(len(tokens))
    done = {c.id: c for c in ask_all(engine, requests, lambda *_: None)}
    return [
        statistics.fmean((done[r.id].token_logprobs or ())[-count:])
        for r, count in zip(requests, counts, strict=True)
    ]


def add_signals(
    rated: list[dict[str, Any]],
    instances: dict[str, InstanceCandidate],
    tasks: dict[str, InstructionCandidate],
    completions: dict[str, Completion],
    builder: RequestBuilder,
    engine: Engine,
) -> None:
    """Add to each rated row what the filter would have judged it by."""
    rows = [instances[one["id"]] for one in rated]
    requests = [
        r
        for row in rows
        for r in scores_without_task(builder, [row], completions[row.completion_id])
    ]
    scored = {c.id: c for c in ask_all(engine, requests, lambda *_: None)}
    for one, row in zip(rated, rows, strict=True):
        gain = with_gain(row, scored.get(ids.score(row.id))).conditional_gain
        task = tasks[row.instruction_id]
        one |= {
            "kind": str(kind_of(row, tasks)),
            "instruction_logprob": round(task.mean_logprob, 4),
            "output_logprob": round(row.mean_logprob, 4),
            "conditional_gain": None if gain is None or math.isnan(gain) else round(gain, 4),
            "num_tokens": row.num_tokens,
        }


def tails(rows: Sequence[Any], text: Callable[[Any], str]) -> dict[str, list[list[Any]]]:
    """Return the five least and most likely texts with their scores."""
    known = sorted(
        (r for r in rows if not math.isnan(r.mean_logprob)), key=lambda r: r.mean_logprob
    )

    def shown(part: Iterable[Any]) -> list[list[Any]]:
        return [[round(row.mean_logprob, 2), " ".join(text(row).split())[:160]] for row in part]

    return {"least": shown(known[:5]), "most": shown(reversed(known[-5:]))}


def _share(values: Iterable[bool]) -> float:
    return statistics.fmean(map(float, values))


def rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 3) for value in values if not math.isnan(value)]


# --- tables -------------------------------------------------------------------------------


def tables() -> str:
    """Return the generated part of docs/likelihood.md, from the kept figures and ratings."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    ratings = with_baselines(read_lines(RATINGS))
    parts = ["![Distributions of scores](likelihood.svg)"]
    for run in figures:
        parts += [f"### {run['model']} ({run['dtype']})", distribution_table(run), yield_table(run)]
        parts += [held_out_lines(run), tail_table(run)]
    parts += ["### Compared with the ratings", "AUROC with its 95 % interval:"]
    parts += [signal_table(ratings), kept_table(ratings)]
    return "\n\n".join(parts) + "\n"


def distribution_table(run: dict[str, Any]) -> str:
    lines = [
        "| nats per token | texts | 1 % | 5 % | 10 % | median | 90 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, parts in run["scores"].items():
        for part, values in parts.items():
            if values:
                cells = [f"{quantile(values, q):.2f}" for q in (0.01, 0.05, 0.1, 0.5, 0.9)]
                lines.append(f"| {kind}, {part} | {len(values)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def yield_table(run: dict[str, Any]) -> str:
    count = run["candidates"]
    lines = [
        "| quantile | instructions rejected | instances rejected, with their instruction or by "
        "themselves | good tasks left |",
        "|---|---|---|---|",
    ]
    for row in run["yields"]:
        first = row["instructions_rejected"] / count["instructions"]
        second = row["instances_rejected"] / count["instances"]
        left = row["good"] / row["good_without"]
        lines.append(f"| {row['quantile']:.2f} | {first:.1%} | {second:.1%} | {left:.1%} |")
    return "\n".join(lines)


def held_out_lines(run: dict[str, Any]) -> str:
    lines = [
        "| at the default | threshold | later candidates below it | their words shuffled |",
        "|---|---|---|---|",
    ]
    for kind, row in run["held_out"].items():
        lines.append(
            f"| {kind} | {row['threshold']:.2f} | {row['untouched_below']:.1%} of "
            f"{row['untouched']} | {row['shuffled_below']:.1%} of {row['shuffled']} |"
        )
    rank = run["rank_correlation_with_length"]
    told = ", ".join(f"{kind} {value:+.2f}" for kind, value in rank.items())
    return "\n".join(lines) + f"\n\nRank correlation of score and length in tokens: {told}."


def tail_table(run: dict[str, Any]) -> str:
    lines = ["| nats per token | text |", "|---|---|"]
    for kind, ends in run["tails"].items():
        for end, rows in ends.items():
            for score, text in rows:
                shown = text.replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"| {score:.2f} ({end} likely {kind}) | {shown} |")
    return "\n".join(lines)


def groups(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the group of each row: only within one model and kind do scores compare."""
    return [(row["model"], row["kind"]) for row in rows]


def labels(rows: Sequence[dict[str, Any]], target: str) -> list[list[bool]]:
    """Return what each reader said of each row."""
    if target == "instruction is valid":
        return [row["valid"] for row in rows]
    return [[rating in "AB" for rating in row["ratings"]] for row in rows]


def with_baselines(ratings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with a random signal, and the output's score without what length says."""
    scores = [row["output_logprob"] for row in ratings]
    lengths = [math.log(max(1, row["num_tokens"])) for row in ratings]
    left = residuals(scores, lengths, groups(ratings))
    return [
        {**row, "output_residual": rest, "random": random.Random(row["id"]).random()}
        for row, rest in zip(ratings, left, strict=True)
    ]


def signal_table(ratings: Sequence[dict[str, Any]]) -> str:
    lines = [f"| signal | {' | '.join(TARGETS)} |", "|---|" + "---|" * len(TARGETS)]
    for name, key in SIGNALS.items():
        rows = [row for row in ratings if row[key] is not None]
        cells = []
        for target in TARGETS:
            ordered = partial(
                auroc,
                values=[row[key] for row in rows],
                labels=labels(rows, target),
                groups=groups(rows),
            )
            low, high = interval(ordered, len(rows))
            cells.append(f"{ordered(range(len(rows))):.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def kept_table(ratings: Sequence[dict[str, Any]]) -> str:
    dropped = (0, 0.05, 0.1, 0.2, 0.5)
    heads = " | ".join(f"{share:.0%} dropped" for share in dropped)
    lines = [f"| share that is good | by | {heads} |", "|---|---|" + "---|" * len(dropped)]
    for target in TARGETS:
        for name, key in SIGNALS.items():
            rows = [row for row in ratings if row[key] is not None]
            values = [row[key] for row in rows]
            cells = [
                f"{kept_quality(values, labels(rows, target), groups(rows), share):.1%}"
                for share in dropped
            ]
            lines.append(f"| {target} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(figures: Sequence[dict[str, Any]]) -> str:
    """Return the distributions of both models as SVG."""
    panels = []
    for run in figures:
        for kind in ("instruction", "output"):
            held = run["held_out"][kind]
            values = {**run["scores"][kind], "shuffled": held["shuffled_scores"]}
            panels.append(Panel(f"{run['model']}: {kind}", values, held["threshold"]))
    return histograms(panels, -8, 0, "nats per token")


def page_with(text: str) -> str:
    """Return docs/likelihood.md with its generated part."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("<!-- study -->\n")
    _, _, after = rest.partition("<!-- /study -->")
    return f"{before}<!-- study -->\n\n{text}\n<!-- /study -->{after}"


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def measure_all(folders: Sequence[Path]) -> None:
    from selfinstruct.engines.registry import build_engine

    ratings = read_lines(RATINGS)
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else []
    for folder in folders:
        run = open_run(folder)
        config = stored_config(run)
        model = resolve_model(config.model.name, lambda *_: None)
        engine = build_engine(model, config.model, config.engine)
        try:
            found = measure(run, engine, [r for r in ratings if r["model"] == model.name])
        finally:
            engine.close()
        figures = [one for one in figures if one["model"] != found["model"]] + [found]
        FIGURES.write_text(
            json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        write_lines(RATINGS, ratings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sample")
    one.add_argument("run", type=Path)
    one.add_argument("--out", type=Path, required=True)
    commands.add_parser("measure").add_argument("runs", type=Path, nargs="+")
    commands.add_parser("tables").add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.command == "sample":
        sample(open_run(options.run), options.out)
    elif options.command == "measure":
        measure_all(options.runs)
    else:
        page = page_with(tables())
        if options.check:
            sys.exit(0 if page == PAGE.read_text(encoding="utf-8") else f"{PAGE}: not up to date")
        PAGE.write_text(page, encoding="utf-8")
        figures = json.loads(FIGURES.read_text(encoding="utf-8"))
        PICTURE.write_text(picture(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
