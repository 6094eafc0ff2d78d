"""The whole chain in one folder: generate, export, fine-tune, prefer, optimise, evaluate.

Each stage is a command in its own process, so that its memory is free afterwards. A finished stage
is skipped; an interrupted one continues.

run/            the tasks
sft.jsonl       the rows of fine-tuning, for people to read
sft/            the fine-tuned model
preferences/    its own answers, ranked
dpo/            the model that learnt from them
evaluation/     the first model, the fine-tuned one and the last, compared
stages.json     finished stages, their commands and seconds
report.json     written last, with report.html
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.store import folder_lock
from selfinstruct.store.layout import LOCK_FILE

STAGES = ("generate", "export", "sft", "prefer", "dpo", "evaluate")
DONE, REPORT = "stages.json", "report.json"


@dataclass(frozen=True)
class AlignSettings:
    """The settings of a chain; `options` has more options of each stage's command.

    `engine` runs the models; None: each command's default.
    """

    model: str
    target: int
    judge: str | None
    seed: int
    seeds: str | None
    options: Mapping[str, Sequence[str]]
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A command of the chain, and its files."""

    name: str
    words: tuple[str, ...]
    makes: str


@dataclass(frozen=True, slots=True)
class StageDone:
    """A finished stage: its command, and its seconds over all attempts."""

    name: str
    words: list[str]
    seconds: float


# Tasks to judge (three models in pairs, in both orders), and prompts to answer again during DPO.
# Each takes minutes on a CPU; the whole chain should take less than 30.
_JUDGED, _FRESH = 60, 16

# Runs a command of the CLI in a process of its own, and returns its exit code.
Run = Callable[[Sequence[str]], int]
# Called before each stage: its name, its number, the number of stages, and whether it is done.
Notify = Callable[[str, int, int, bool], object]


class StageFailed(Exception):  # noqa: N818 (its code is the stage's, and its words were said)
    """A stage ended with an exit code other than 0; its message is on the terminal."""

    def __init__(self, stage: str, code: int) -> None:
        super().__init__(f"{stage} ended with exit code {code}")
        self.stage = stage
        self.code = code


def stages_of(out: Path, settings: AlignSettings) -> list[Stage]:
    """Return the commands of the chain, in order."""
    model, seed = settings.model, ("--seed", str(settings.seed))
    run, sft, dpo = (str(out / name) for name in ("run", "sft", "dpo"))
    preferences = str(out / "preferences")
    seeds = ("--seeds", settings.seeds) if settings.seeds is not None else ()
    engine = ("--engine", settings.engine) if settings.engine is not None else ()
    judge: tuple[str, ...] = ()
    if settings.judge is not None:
        judge = ("--judge", settings.judge, "--judge-tasks", str(_JUDGED))
    words: dict[str, tuple[str, ...]] = {
        "generate": (
            *("generate", "--model", model, "--target", str(settings.target), "--out", run),
            *(*seeds, *engine, *seed, "--resume"),
        ),
        "export": ("export", run, "--format", "messages", "--out", str(out / "sft.jsonl")),
        # One epoch: more training on its own text harms a small model (docs/results.md).
        "sft": (
            *("train", "sft", "--data", run, "--model", model, "--out", sft, "--epochs", "1"),
            *(*seed, "--resume"),
        ),
        "prefer": (
            *("prefer", run, "--policy", sft, "--out", preferences),
            *(*engine, *seed, "--resume"),
        ),
        # One epoch: a second one memorises so few pairs (docs/alignment.md).
        "dpo": (
            *("train", "dpo", "--data", preferences, "--model", sft, "--out", dpo),
            *("--epochs", "1", "--fresh", str(_FRESH), *seed, "--resume"),
        ),
        "evaluate": (
            *("evaluate", "--model", f"base={model}", "--model", f"sft={sft}"),
            *("--model", f"dpo={dpo}", "--out", str(out / "evaluation"), *judge, *engine),
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


def align(out: Path, settings: AlignSettings, run: Run, notify: Notify) -> dict[str, Any]:
    """Run the stages that are not done, and write the report; return it.

    Args:
        out: the folder of the chain.
        settings: of the chain.
        run: runs a command.
        notify: called before each stage.

    Raises:
        ConfigError: a finished stage had other options.
        StageFailed: a stage failed; those before it are kept.
    """
    stages = stages_of(out, settings)
    judged = settings.options.get("prefer", ())
    if settings.judge is not None and settings.judge in _after("--judge", judged):
        raise ConfigError(
            f"--judge {settings.judge}: already labels the pairs, so it would judge its own work; "
            "give another, or `none`"
        )
    if out.is_dir():
        _read(out)  # refuses a folder of other files before anything is written into it
    with folder_lock(out):
        kept = _read(out)
        done, spent = kept.done, kept.seconds
        recorded = len(done)
        for stage in stages:
            # The stage was complete, but the process died before recording it.
            if kept.begun.get(stage.name) == list(stage.words) and _is_whole(out, stage):
                done.setdefault(
                    stage.name,
                    StageDone(stage.name, list(stage.words), round(spent.get(stage.name, 0.0), 1)),
                )
            known = done.get(stage.name)
            if known is not None and known.words != list(stage.words):
                raise ConfigError(
                    f"{out}: {stage.name} was done by `selfinstruct {shlex.join(known.words)}`, "
                    f"not `selfinstruct {shlex.join(stage.words)}`; give the same options, or "
                    "another --out"
                )
        if len(done) > recorded:
            _write(out, kept)
        for number, stage in enumerate(stages, start=1):
            ready = stage.name in done and (out / stage.makes).exists()
            notify(stage.name, number, len(stages), ready)
            if ready:
                continue
            _refuse_orphans(out, stage, stages[number:])
            done.pop(stage.name, None)
            kept.begun[stage.name] = list(stage.words)
            _write(out, kept)
            started = time.perf_counter()
            try:
                code = run(stage.words)
            finally:
                spent[stage.name] = spent.get(stage.name, 0.0) + time.perf_counter() - started
                _write(out, kept)
            if code == ConfigError.exit_code and not done:
                _remove_beginnings(out)
            if code != 0:
                raise StageFailed(stage.name, code)
            done[stage.name] = StageDone(stage.name, list(stage.words), round(spent[stage.name], 1))
            _write(out, kept)
        report = chain_report(out, [done[stage.name] for stage in stages])
        with refusal(out / REPORT):
            atomic.write_json(out / REPORT, report)
    return report


def _remove_beginnings(out: Path) -> None:
    """Remove what a chain left whose first stage was refused: it has made nothing."""
    own = {DONE, LOCK_FILE}
    with suppress(OSError):
        if {path.name for path in out.iterdir()} <= own:
            for name in own:
                (out / name).unlink(missing_ok=True)
            out.rmdir()


def chain_report(out: Path, done: Sequence[StageDone]) -> dict[str, Any]:
    """Return the results of the chain: a short form of each stage's own report."""
    sft, dpo = (_json(out / name / "training.json") for name in ("sft", "dpo"))
    preferences = _json(out / "preferences" / "report.json")
    evaluation = _json(out / "evaluation" / "report.json")
    return {
        "stages": [asdict(one) for one in done],
        "seconds": round(sum(one.seconds for one in done), 1),
        "tasks": len((out / "sft.jsonl").read_text(encoding="utf-8").split("\n")) - 1,
        "sft": {key: sft[key] for key in ("train_rows", "validation_rows", "validation_losses")},
        "preferences": {
            key: preferences[key] for key in ("labeller", "pairs", "dropped", "lengths")
        },
        "dpo": {key: dpo[key] for key in ("train_pairs", "held_out_pairs", "health")},
        "evaluation": evaluation,
    }


def _after(option: str, words: Sequence[str]) -> list[str]:
    """Return the values of an option."""
    return [value for word, value in pairwise(words) if word == option]


def _is_whole(out: Path, stage: Stage) -> bool:
    """Whether a stage has written its last file; a run and an export have none."""
    return stage.name not in ("generate", "export") and (out / stage.makes).exists()


def _refuse_orphans(out: Path, stage: Stage, later: Sequence[Stage]) -> None:
    """Refuse to run a stage again while files made from its earlier result are there.

    Raises:
        ConfigError: names those files.
    """
    made = [out / one.makes.partition("/")[0] for one in later if (out / one.makes).exists()]
    if made:
        raise ConfigError(
            f"{out}: {stage.name} must run, but files made from an earlier one are there; "
            f"delete {', '.join(map(str, made))}, or give another --out"
        )


@dataclass(frozen=True)
class _Kept:
    """The content of stages.json: finished stages, the commands of started ones, and seconds."""

    done: dict[str, StageDone]
    begun: dict[str, list[str]]
    seconds: dict[str, float]


def _read(out: Path) -> _Kept:
    path = out / DONE
    if not path.is_file():
        others = [one.name for one in out.iterdir() if not one.name.startswith(".")]
        if others:
            raise ConfigError(f"{out}: holds other files ({others[0]}); give another --out")
        return _Kept({}, {}, {})
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        done = {row["name"]: StageDone(**row) for row in stored["done"]}
        return _Kept(done, dict(stored["begun"]), dict(stored["seconds"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); give another --out") from error


def _write(out: Path, kept: _Kept) -> None:
    with refusal(out / DONE):
        rows = [asdict(one) for one in kept.done.values()]
        stored = {"done": rows, "begun": kept.begun, "seconds": kept.seconds}
        atomic.write_json(out / DONE, stored)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: is damaged ({why(error)}); delete the folder that it is in, and run "
            "align again"
        ) from error
