r"""What fine-tuning on own data is worth: docs/results.md, measured.

    python scripts/study_sft.py WORK [--part own] [--model gemma-3-270m] [--target 350] \
        [--set instances.max_per_instruction=2] [--train "--epochs 1 --learning-rate 1e-4"]
    python scripts/study_sft.py --tables [--check]

In the folder WORK, each part skipped when it is there: the model writes tasks from the seeds;
it is trained on them, and, as controls, on other data; all are evaluated beside the base
model, plain and with four worked tasks shown. Part `own` has the seed tasks alone, and its own
tasks together with them; part `filters` as many unfiltered tasks of its own, and as many that
the rules alone let pass (no novelty, no likelihood filter). About half an hour for each on two
CPU cores, after the run. What was measured goes into docs/results.json, and its tables into
docs/results.md; `--tables` writes these alone, and `--check` fails where they differ.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console

from selfinstruct.inputs.seeds import shipped_seeds
from selfinstruct.train.data.rows import read_rows
from selfinstruct.train.data.turns import TrainRow, task_row

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
METRICS = {
    "rouge_l": ("ROUGE-L", 100),
    "rouge_l_cut": ("cut to reference length", 100),
    "exact_match": ("exact match", 100),
    "reference_logprob": ("reference, nats/token", 1),
    "length": ("words", 1),
    "never_stopping": ("never stops, %", 100),
    "last_word": ("last word, %", 100),
    "perplexity": ("perplexity/word", 1),
}
console = Console(stderr=True)


def selfinstruct(*words: str) -> None:
    """Run a command of the CLI, in a process of its own."""
    console.print(f"[bold]selfinstruct {' '.join(words)}", highlight=False)
    program = str(Path(sys.executable).parent / "selfinstruct")
    subprocess.run([program, *words], check=True)


def generated(work: Path, model: str, target: int, settings: list[str]) -> Path:
    """Have the model write the run; goes on with it if it was stopped."""
    run = work / "run"
    chosen = [word for one in settings for word in ("--set", one)]
    words = ["--model", model, "--target", str(target), "--out", str(run), "--resume", *chosen]
    selfinstruct("generate", *words)
    return run


def opened(work: Path, run: Path) -> Path:
    """Return the run judged again without the filters of novelty and likelihood."""
    out = work / "rules-only"
    if not (out / "run.yaml").exists():
        shutil.rmtree(out, ignore_errors=True)
        selfinstruct(
            *("audit", "whatif", str(run), "--rouge", "1", "--min-logprob", "-1000"),
            *("--out", str(out)),
        )
    selfinstruct("complete", str(out))
    return out


def unfiltered(run: Path) -> list[TrainRow]:
    """Return every instance that was read from completions, whatever its verdict."""
    instructions = table(run, "instructions")
    texts = {row["id"]: row["text"] for row in instructions}
    rows = []
    for row in table(run, "instances"):
        instruction, output = texts.get(row["instruction_id"]), (row["output"] or "").strip()
        if instruction and output:
            given = (row["input"] or "").strip()
            user = f"{instruction}\n\n{given}" if given else instruction
            rows.append(task_row(row["id"], instruction, user, output))
    return rows


def table(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of all rounds and supplements."""
    files = [*run.glob(f"rounds/*/{name}.parquet"), *run.glob(f"supplements/*/{name}.parquet")]
    return [row for file in sorted(files) for row in pq.read_table(file).to_pylist()]


def written(path: Path, rows: list[TrainRow], count: int) -> Path:
    """Write a seeded draw of so many rows, as prompt and completion."""
    # In their order, so that the last rows, which are held out, are those of the last rounds.
    places = sorted(random.Random(0).sample(range(len(rows)), min(count, len(rows))))
    chosen = [rows[place] for place in places]
    lines = (json.dumps({"prompt": row.users[0], "completion": row.answer}) for row in chosen)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trained(work: Path, name: str, data: Path, model: str, settings: list[str]) -> str:
    """Train on the data, if that was not done before."""
    out = work / name
    if not (out / "training.json").exists():
        words = ["--data", str(data), "--model", model, "--out", str(out), "--resume"]
        selfinstruct("train", "sft", *words, *settings)
    return f"{name}={out}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--part", choices=["own", "filters"], default="own")
    parser.add_argument("--first", type=int, action="append", default=[], help="own rows, fewer")
    parser.add_argument("--without", action="append", default=[], help="a control to leave out")
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--target", type=int, default=350)
    parser.add_argument("--set", action="append", default=[], help="a setting of `generate`")
    parser.add_argument("--train", default="", help="more options of `train sft`, in one string")
    parser.add_argument("--max-tokens", type=int, default=96)
    options = parser.parse_args()
    if options.tables:
        write_tables(check=options.check)
        return
    if options.work is None:
        parser.error("give the folder to work in")
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    run = generated(work, options.model, options.target, options.set)
    own, seeds = read_rows(run).rows, read_rows(shipped_seeds()).rows
    count = len(own)
    parts = {"seeds": seeds}
    if options.part == "filters":
        loose = opened(work, run)
        parts |= {"unfiltered": unfiltered(loose), "rules-only": read_rows(loose).rows, "own": own}
    else:
        # As the paper trains: its own tasks with those that it began with.
        parts |= {"own": own, "own-and-seeds": [*seeds, *own]}
        parts |= {f"own-{size}": own[:size] for size in options.first}
    parts = {name: rows for name, rows in parts.items() if name not in options.without}
    entries = ["--model", f"base={options.model}"]
    shots = []
    if "few-shot" not in options.without:
        entries += ["--model", f"few-shot={options.model}"]
        shots = ["--few-shot", "few-shot=4"]
    for name, rows in parts.items():
        room = count + (len(seeds) if name == "own-and-seeds" else 0)
        data = written(work / f"{name}.jsonl", rows, room)
        model = trained(work, f"sft-{name}", data, options.model, options.train.split())
        entries += ["--model", model.removeprefix("sft-")]
    selfinstruct(
        *("evaluate", *entries, *shots),
        *("--max-tokens", str(options.max_tokens), "--out", str(work / f"eval-{options.part}")),
    )
    report = json.loads((work / f"eval-{options.part}" / "report.json").read_text(encoding="utf-8"))
    told = {
        "model": options.model,
        "settings": options.set,
        "training": options.train,
        "rows": {name: sum(1 for _ in (work / f"{name}.jsonl").open()) for name in parts},
        "available": {name: len(rows) for name, rows in parts.items()},
        "tasks": sum(row["verdict"] == "accepted" for row in table(run, "instructions")),
        "report": report,
        "trainings": {
            name: json.loads((work / f"sft-{name}" / "training.json").read_text()) for name in parts
        },
    }
    measured = json.loads((DOCS / "results.json").read_text(encoding="utf-8"))
    measured[options.part] = told
    (DOCS / "results.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    write_tables()


def write_tables(*, check: bool = False) -> None:
    """Write the tables of docs/results.md from docs/results.json."""
    measured = json.loads((DOCS / "results.json").read_text(encoding="utf-8"))
    path = DOCS / "results.md"
    text = path.read_text(encoding="utf-8")
    blocks: dict[str, str] = {}
    for part, told in measured.items():
        blocks |= {f"{part}: models": models(told), f"{part}: differences": differences(told)}
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}{block}\n{end}{after}"
    if check:
        if text != path.read_text(encoding="utf-8"):
            sys.exit(f"{path}: is not what docs/results.json says; run this with --tables alone")
        return
    path.write_text(text, encoding="utf-8")


def models(told: dict[str, Any]) -> str:
    """Return the table of means."""
    lines = [
        f"| | rows | {' | '.join(title for title, _ in METRICS.values())} |",
        f"|---|---|{'---|' * len(METRICS)}",
    ]
    for name, means in told["report"]["models"].items():
        cells = [shown(means[metric], scale) for metric, (_, scale) in METRICS.items()]
        lines.append(f"| {name} | {told['rows'].get(name, '–')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(told: dict[str, Any]) -> str:
    """Return the table of differences that the study is about."""
    others = ("base", "few-shot", "seeds", "unfiltered", "rules-only")
    own = [name for name in told["report"]["models"] if name.startswith("own")]
    wanted = [(name, other) for name in own if "seeds" not in name for other in others]
    wanted += [(a, b) for a in own for b in own if a != b]
    wanted += [("own-and-seeds", other) for other in ("base", "few-shot", "seeds")]
    found = {(one["a"], one["b"], one["metric"]): one for one in told["report"]["comparisons"]}
    measured = {metric for _, _, metric in found}
    metrics = [metric for metric in DIFFERENCES if metric in measured]
    lines = [
        f"| | {' | '.join(TITLES[metric] for metric in metrics)} |",
        f"|---|{'---|' * len(metrics)}",
    ]
    for a, b in wanted:
        if (a, b, DIFFERENCES[0]) not in found:
            continue
        cells = []
        for metric in metrics:
            one, scale = found[(a, b, metric)], METRICS.get(metric, ("", 100))[1]
            ends = f"{shown(one['low'], scale)} to {shown(one['high'], scale)}"
            text = f"{shown(one['difference'], scale)} ({ends})"
            cells.append(f"**{text}**" if one["low"] > 0 or one["high"] < 0 else text)
        lines.append(f"| {a} − {b} | {' | '.join(cells)} |")
    return "\n".join(lines)


TITLES = {
    **{name: title for name, (title, _) in METRICS.items()},
    "rouge_l_equal": "at equal length",
}
DIFFERENCES = (
    *("rouge_l", "rouge_l_equal", "rouge_l_cut", "exact_match", "reference_logprob"),
    "last_word",
)


def shown(value: float | None, scale: int) -> str:
    """Return a number as the tables show it."""
    if value is None:
        return "–"
    return f"{scale * value:.1f}" if scale == 100 else f"{value:.2f}"


if __name__ == "__main__":
    main()
