"""The whole chain in one folder: generate, export, fine-tune, prefer, optimise, evaluate.

Each stage is a command in its own process, so that its memory is free afterwards. A finished stage
is skipped; an interrupted one continues.

run/            the tasks
sft.jsonl       the rows of fine-tuning, for people to read
sft/            the fine-tuned model
preferences/    its own answers, ranked
reward/         a reward model of these pairs, where a method or an iteration needs one
dpo/, kto/ ...  the model of each method
evaluation/     all models, compared
stages.json     finished stages, their commands and seconds
report.json     written last, with report.html

With iterations, what each of them makes is in iteration-1/, iteration-2/ ..., and curve.json has
what the policies of all iterations are worth.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from selfinstruct.align.report import chain_report
from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import EVALUATE, Stage, stages_of
from selfinstruct.align.steps import METHODS
from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.store import folder_lock
from selfinstruct.store.layout import LOCK_FILE

DONE, REPORT = "stages.json", "report.json"
CURVE = "curve"


@dataclass(frozen=True, slots=True)
class StageDone:
    """A finished stage: its command, and its seconds over all attempts."""

    name: str
    words: list[str]
    seconds: float


# Runs a command of the CLI in a process of its own, and returns its exit code.
Run = Callable[[Sequence[str]], int]
# Called before each stage: its name, its number, the number of stages, and whether it is done.
Notify = Callable[[str, int, int, bool], object]
# Draws the curve of the iterations in the folder of a chain; returns it as the report has it.
Draw = Callable[[Path, AlignSettings, Sequence[Stage]], Mapping[str, Any]]


class StageFailed(Exception):  # noqa: N818 (its code is the stage's, and its words were said)
    """A stage ended with an exit code other than 0; its message is on the terminal."""

    def __init__(self, stage: str, code: int) -> None:
        super().__init__(f"{stage} ended with exit code {code}")
        self.stage = stage
        self.code = code


def align(
    out: Path, settings: AlignSettings, run: Run, notify: Notify, draw: Draw | None = None
) -> dict[str, Any]:
    """Run the stages that are not done, and write the report; return it.

    Args:
        out: the folder of the chain.
        settings: of the chain.
        run: runs a command.
        notify: called before each stage.
        draw: draws the curve of the iterations, where there are several.

    Raises:
        ConfigError: a finished stage had other options.
        StageFailed: a stage failed; those before it are kept.
    """
    check_settings(settings)
    stages = stages_of(out, settings)
    if out.is_dir():
        _read(out)  # refuses a folder of other files before anything is written into it
    with folder_lock(out):
        kept = _read(out)
        known = dict(kept.done)
        _take_stock(out, stages, kept)
        if kept.done != known:
            _write(out, kept)
        curve = settings.repeated and draw is not None
        count = len(stages) + curve
        for number, stage in enumerate(stages, start=1):
            ready = stage.name in kept.done and (out / stage.makes).exists()
            notify(stage.name, number, count, ready)
            if not ready:
                _run(out, stage, stages, kept, run)
        drawn = None
        if curve and draw is not None:
            notify(CURVE, count, count, False)
            with _timed(out, CURVE, kept):
                drawn = draw(out, settings, stages)
        done = [kept.done[stage.name] for stage in stages]
        spent = round(kept.seconds.get(CURVE, 0.0), 1)
        report = chain_report(out, stages, [asdict(one) for one in done], drawn, spent)
        with refusal(out / REPORT):
            atomic.write_json(out / REPORT, report)
    return report


def check_settings(settings: AlignSettings) -> None:
    """Refuse what cannot be compared or repeated.

    Raises:
        ConfigError: names the option.
    """
    if settings.judge is not None and settings.judge == settings.label_judge:
        raise ConfigError(
            f"--judge {settings.judge}: already labels the pairs, so it would judge its own work; "
            "give another, or `none`"
        )
    if settings.principles is not None and not settings.by_principles:
        raise ConfigError("--principles: is for --feedback ai; give both, or leave it out")
    if settings.repeated:
        able = [step.kind for step in METHODS if step.repeats]
        if len(settings.chosen) > 1 or settings.chosen[0] not in able:
            raise ConfigError(
                f"--iterations {settings.iterations}: repeats one method, not "
                f"{', '.join(settings.chosen)}; give --method with one of {', '.join(able)}"
            )


def _take_stock(out: Path, stages: Sequence[Stage], kept: _Kept) -> None:
    """Take what a killed process finished as done, and refuse what was done otherwise.

    An evaluation that only lacks models is done again; it keeps the answers of the others.

    Raises:
        ConfigError: a finished stage had another command.
    """
    for stage in stages:
        words = list(stage.words)
        # The stage was complete, but the process died before recording it.
        if kept.begun.get(stage.name) == words and _is_whole(out, stage):
            spent = round(kept.seconds.get(stage.name, 0.0), 1)
            kept.done.setdefault(stage.name, StageDone(stage.name, words, spent))
        known = kept.done.get(stage.name)
        if known is None or known.words == words:
            continue
        if stage.step.kind != EVALUATE or not _lacks_only_models(known.words, words):
            raise ConfigError(
                f"{out}: {stage.name} was done by `selfinstruct {shlex.join(known.words)}`, "
                f"not `selfinstruct {shlex.join(words)}`; give the same options, or "
                "another --out"
            )
        with refusal(out / stage.makes):
            (out / stage.makes).unlink(missing_ok=True)
        del kept.done[stage.name]


def _run(out: Path, stage: Stage, stages: Sequence[Stage], kept: _Kept, run: Run) -> None:
    """Run a stage, and record it.

    Raises:
        ConfigError: files that were made from its earlier result are there.
        StageFailed: it failed.
    """
    _refuse_orphans(out, stage, stages)
    kept.done.pop(stage.name, None)
    kept.begun[stage.name] = list(stage.words)
    _write(out, kept)
    with _timed(out, stage.name, kept):
        code = run(stage.words)
    if code == ConfigError.exit_code and not kept.done:
        _remove_beginnings(out)
    if code != 0:
        raise StageFailed(stage.name, code)
    spent = round(kept.seconds[stage.name], 1)
    kept.done[stage.name] = StageDone(stage.name, list(stage.words), spent)
    _write(out, kept)


@contextmanager
def _timed(out: Path, name: str, kept: _Kept) -> Iterator[None]:
    """Add what is spent within to the seconds of a stage, however it ends."""
    started = time.perf_counter()
    try:
        yield
    finally:
        kept.seconds[name] = kept.seconds.get(name, 0.0) + time.perf_counter() - started
        _write(out, kept)


def _remove_beginnings(out: Path) -> None:
    """Remove what a chain left whose first stage was refused: it has made nothing."""
    own = {DONE, LOCK_FILE}
    with suppress(OSError):
        if {path.name for path in out.iterdir()} <= own:
            for name in own:
                (out / name).unlink(missing_ok=True)
            out.rmdir()


def _after(option: str, words: Sequence[str]) -> list[str]:
    """Return the values of an option."""
    return [value for word, value in pairwise(words) if word == option]


def _lacks_only_models(done: Sequence[str], words: Sequence[str]) -> bool:
    """Whether the command of an evaluation has all that was done, and more models."""
    options = ("--model", "--system")
    apart = [
        {(option, value) for option in options for value in _after(option, each)}
        for each in (done, words)
    ]
    rest = [
        [word for before, word in pairwise(["", *each]) if not {before, word} & set(options)]
        for each in (done, words)
    ]
    return apart[0] <= apart[1] and rest[0] == rest[1]


def _is_whole(out: Path, stage: Stage) -> bool:
    """Whether a stage has written its last file; a run and an export have none."""
    return stage.step.marks and (out / stage.makes).exists()


def _refuse_orphans(out: Path, stage: Stage, stages: Sequence[Stage]) -> None:
    """Refuse to run a stage again while files made from its earlier result are there.

    Raises:
        ConfigError: names those files.
    """
    made = [
        str((out / one.makes).parent if "/" in one.makes else out / one.makes)
        for one in _made_of(stage, stages)
        if (out / one.makes).exists()
    ]
    if made:
        raise ConfigError(
            f"{out}: {stage.name} must run, but files made from an earlier one are there; "
            f"delete {', '.join(made)}, or give another --out"
        )


def _made_of(stage: Stage, stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages that use the result of a stage, or of one that does."""
    names = {stage.name}
    made = []
    for one in stages:
        if names & set(one.uses):
            names.add(one.name)
            made.append(one)
    return made


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
