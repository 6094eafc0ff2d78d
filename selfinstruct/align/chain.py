"""The whole chain in one folder: generate, export, fine-tune, prefer, optimise, evaluate.

Each stage is a command in a process of its own, whose memory is free afterwards. A stage that
is done is skipped; one that was interrupted goes on where it was.

run/            the tasks
sft.jsonl       as they are fine-tuned on, to look at
sft/            the fine-tuned model
preferences/    its own answers, ranked
dpo/            the model that learnt from them
evaluation/     the model that it began with, the fine-tuned one and the last, side by side
stages.json     what is done, by which command, and how long it took
report.json     written last, with report.html
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError, StoreError
from selfinstruct.store import atomic, folder_lock
from selfinstruct.store.run import refusal

STAGES = ("generate", "export", "sft", "prefer", "dpo", "evaluate")
DONE, REPORT = "stages.json", "report.json"


@dataclass(frozen=True)
class AlignSettings:
    """What the chain begins with; `options` are more options of each stage's command."""

    model: str
    target: int
    judge: str | None
    seed: int
    seeds: Path | None
    options: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A command of the chain, and what it makes."""

    name: str
    words: tuple[str, ...]
    makes: str


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage that has ended well: its command, and the seconds it took, all tries together."""

    name: str
    words: list[str]
    seconds: float


# Runs a command of the CLI in a process of its own, and returns its exit code.
Run = Callable[[Sequence[str]], int]
# Told of each stage: its name, its place, of how many, and whether it was done before.
Told = Callable[[str, int, int, bool], object]


class StageFailed(Exception):  # noqa: N818 (its code is the stage's, and its words were said)
    """A stage ended with an exit code that is not 0; what it says is on the terminal."""

    def __init__(self, stage: str, code: int) -> None:
        super().__init__(f"{stage} ended with exit code {code}")
        self.stage = stage
        self.code = code


def stages_of(out: Path, settings: AlignSettings) -> list[Stage]:
    """Return the commands of the chain, in their order."""
    model, seed = settings.model, ("--seed", str(settings.seed))
    run, sft, dpo = (str(out / name) for name in ("run", "sft", "dpo"))
    preferences = str(out / "preferences")
    seeds = ("--seeds", str(settings.seeds)) if settings.seeds is not None else ()
    judge = ("--judge", settings.judge) if settings.judge is not None else ()
    words: dict[str, tuple[str, ...]] = {
        "generate": (
            *("generate", "--model", model, "--target", str(settings.target), "--out", run),
            *(*seeds, *seed, "--resume"),
        ),
        "export": ("export", run, "--format", "messages", "--out", str(out / "sft.jsonl")),
        # One epoch: more of its own words harm a small model (docs/results.md).
        "sft": (
            *("train", "sft", "--data", run, "--model", model, "--out", sft, "--epochs", "1"),
            *(*seed, "--resume"),
        ),
        "prefer": ("prefer", run, "--policy", sft, "--out", preferences, *seed, "--resume"),
        "dpo": (
            *("train", "dpo", "--data", preferences, "--model", sft, "--out", dpo),
            *(*seed, "--resume"),
        ),
        "evaluate": (
            *("evaluate", "--model", f"base={model}", "--model", f"sft={sft}"),
            *("--model", f"dpo={dpo}", "--out", str(out / "evaluation"), *judge),
        ),
    }
    makes = {
        "generate": "run/run.yaml",
        "export": "sft.jsonl",
        "sft": "sft/training.json",
        "prefer": "preferences/report.json",
        "dpo": "dpo/training.json",
        "evaluate": "evaluation/report.json",
    }
    return [
        Stage(name, (*words[name], *settings.options.get(name, ())), makes[name]) for name in STAGES
    ]


def align(out: Path, settings: AlignSettings, run: Run, told: Told) -> dict[str, Any]:
    """Run the stages that are not done, and write the report; return it.

    Args:
        out: the folder of the chain.
        settings: what it begins with.
        run: runs a command.
        told: told of each stage before it begins.

    Raises:
        ConfigError: a stage that is done was done otherwise.
        StageFailed: a stage ended badly; those before it are kept.
    """
    stages = stages_of(out, settings)
    with folder_lock(out):
        done = _read_done(out)
        for stage in stages:
            known = done.get(stage.name)
            if known is not None and known.words != list(stage.words):
                raise ConfigError(
                    f"{out}: {stage.name} was done by `selfinstruct {shlex.join(known.words)}`, "
                    f"not `selfinstruct {shlex.join(stage.words)}`; give the same options, or "
                    "another --out"
                )
        spent = _read_spent(out)
        for number, stage in enumerate(stages, start=1):
            ready = stage.name in done and (out / stage.makes).exists()
            told(stage.name, number, len(stages), ready)
            if ready:
                continue
            started = time.perf_counter()
            try:
                code = run(stage.words)
            finally:
                spent[stage.name] = spent.get(stage.name, 0.0) + time.perf_counter() - started
                _write(out, done.values(), spent)
            if code != 0:
                raise StageFailed(stage.name, code)
            done[stage.name] = StageDone(stage.name, list(stage.words), round(spent[stage.name], 1))
            _write(out, done.values(), spent)
        report = chain_report(out, [done[stage.name] for stage in stages])
        with refusal(out / REPORT):
            atomic.write_json(out / REPORT, report)
    return report


def chain_report(out: Path, done: Sequence[StageDone]) -> dict[str, Any]:
    """Return what came of the chain: what each stage wrote about itself, in short."""
    sft, dpo = (_json(out / name / "training.json") for name in ("sft", "dpo"))
    preferences = _json(out / "preferences" / "report.json")
    evaluation = _json(out / "evaluation" / "report.json")
    return {
        "stages": [asdict(one) for one in done],
        "seconds": round(sum(one.seconds for one in done), 1),
        "tasks": sum(1 for _ in (out / "sft.jsonl").open(encoding="utf-8")),
        "sft": {key: sft[key] for key in ("train_rows", "validation_rows", "validation_losses")},
        "preferences": {
            key: preferences[key] for key in ("labeller", "pairs", "dropped", "lengths")
        },
        "dpo": {key: dpo[key] for key in ("train_pairs", "held_out_pairs", "health")},
        "evaluation": evaluation,
    }


def _read_done(out: Path) -> dict[str, StageDone]:
    path = out / DONE
    if not path.is_file():
        others = [one.name for one in out.iterdir() if not one.name.startswith(".")]
        if others:
            raise ConfigError(f"{out}: holds other files ({others[0]}); give another --out")
        return {}
    return {row["name"]: StageDone(**row) for row in _json(path)["done"]}


def _read_spent(out: Path) -> dict[str, float]:
    path = out / DONE
    return dict(_json(path)["seconds"]) if path.is_file() else {}


def _write(out: Path, done: Any, spent: Mapping[str, float]) -> None:
    with refusal(out / DONE):
        rows = [asdict(one) for one in done]
        atomic.write_json(out / DONE, {"done": rows, "seconds": dict(spent)})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({error}); delete it, and run align again") from error
