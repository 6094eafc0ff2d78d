"""Write a run that holds the recorded rounds of other runs, with new verdicts.

`merge` and `audit whatif --out` share this. The result is a run like any other: its verdicts
replay, and it can be exported and grown.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct import __version__
from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import CalibrationScore
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.store import RoundData, Run, create_run, rename_run, run_lock
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.chats import read_chat_commits
from selfinstruct.store.commits import (
    ANSWERS,
    CONVERSATIONS,
    REVISED,
    SUPPLEMENTS,
    Commit,
)
from selfinstruct.store.layout import LOCK_FILE
from selfinstruct.store.revisions import read_revision_commits
from selfinstruct.store.supplements import each_supplement
from selfinstruct.verdicts.chat_commits import ChatThresholds
from selfinstruct.verdicts.counts import counted
from selfinstruct.verdicts.imported import import_rulebook, moved_import, verdicts_of_import
from selfinstruct.verdicts.later import verdicts_of_supplement
from selfinstruct.verdicts.pool import PoolKeeper
from selfinstruct.verdicts.rounds import Verdicts, verdicts_of_round
from selfinstruct.verdicts.rulebook import Rulebook
from selfinstruct.verdicts.taken_over import (
    moved_completion,
    take_over_answers,
    take_over_chats,
    take_over_revisions,
)


@dataclass(frozen=True)
class Source:
    """A run whose rounds are taken over.

    renamed: new names for the pool ids that the run started with.
    """

    run: Run
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Derivation:
    """How a run is made from others.

    sources: the runs, in the order in which their rounds follow one another.
    config: rules and thresholds of the new run.
    inputs: its seeds, templates and texts to avoid.
    origin: the key of its run.yaml that names the sources.
    reason: why it is stopped, for its status.json.
    """

    sources: Sequence[Source]
    config: RunConfig
    inputs: Inputs
    origin: str
    reason: str

    @property
    def rulebook(self) -> Rulebook:
        """What the candidates of the new run are checked by."""
        return Rulebook(self.config, self.inputs.prompts)


def check_free(out: Path) -> None:
    """Raise ConfigError where `out` holds something already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; give another --out")


def write_derived_run(
    derivation: Derivation, out: Path, advance: Callable[[Path], object] = id
) -> Run:
    """Give verdicts on the rounds of all sources by one config and pool; commit them as a run.

    Args:
        derivation: the sources, and what the new run is made by.
        out: the new run's folder.
        advance: called with the folder of each round that was taken over.

    Raises:
        ConfigError: `out` is there already.
        StoreError: a run is damaged.
        WriteError: the disk refuses.
    """
    check_free(out)
    for source in derivation.sources:
        source.run.verify()
        ANSWERS.verify(source.run)
        CONVERSATIONS.verify(source.run)
        REVISED.verify(source.run)
    # Under another name until it is whole: a run that is cut off is never taken for one.
    work = out.with_name(f".{out.name}.writing")
    with run_lock(work):
        try:
            discard(work)
            written = _write(derivation, work, advance)
            tasks = sum(written.info(number)["tasks"] for number in written.rounds())
            written.write_status(
                "stopped",
                reason=derivation.reason,
                tasks=tasks,
                target=derivation.config.stop.target,
                rounds=len(written.rounds()),
            )
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        rename_run(work, out)
    return Run(out, written.meta)


def derived_meta(derivation: Derivation) -> dict[str, Any]:
    """Return run.yaml of a run made from others; its sources stand under `origin`."""
    runs = [source.run for source in derivation.sources]
    config, inputs, origin = derivation.config, derivation.inputs, derivation.origin
    first = runs[0].meta
    identity = semantic_values(config) | inputs.digests
    sources = [
        {
            "run": str(run.path),
            "fingerprint": run.meta.get("fingerprint"),
            "model": run.meta["model"],
        }
        for run in runs
    ]
    # The models that wrote it stay known, however often it is judged again.
    authors = [author for run in runs for author in run.meta.get("merged_from", [])]
    merged = {"merged_from": authors} if authors and origin != "merged_from" else {}
    if origin == "merged_from":
        sources = [
            author
            for run, own in zip(runs, sources, strict=True)
            for author in run.meta.get("merged_from") or [own]
        ]
    return {
        "selfinstruct": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fingerprint": fingerprint({**identity, origin: sources}),
        "model": dict(first["model"]),
        **merged,
        origin: sources,
        "inputs": inputs.digests,
        "packages": dict(first.get("packages", {})),
        "config": config.model_dump(mode="json"),
    }


def discard(work: Path) -> None:
    """Remove the leftovers of a killed process; the lock that we hold stays."""
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()


def _write(derivation: Derivation, work: Path, advance: Callable[[Path], object]) -> Run:
    scores, starts = _calibration([source.run for source in derivation.sources])
    stored = derivation.inputs.as_stored()
    written = create_run(work, derived_meta(derivation), stored, scores, starts)
    pool, config = derivation.inputs.first_pool, derivation.config
    keeper = PoolKeeper(pool, config, calibration_starts(written))
    chat_thresholds = ChatThresholds(config)
    for source in derivation.sources:
        offset = len(written.rounds())
        _take_over(source, written, keeper, derivation.rulebook, advance)
        for commit in read_chat_commits(source.run):
            take_over_chats(
                source.run, commit, written, offset, derivation.rulebook, chat_thresholds
            )
        for revised in read_revision_commits(source.run):
            take_over_revisions(source.run, revised, written, offset, derivation.rulebook)
    return written


def _calibration(runs: Sequence[Run]) -> tuple[list[CalibrationScore], list[int]]:
    """Return the calibration scores of every run, and the rounds from which they count.

    Both are moved to the place that the run's rounds take. The first run's model writes the
    rounds that are generated later: its scores count again from there, and the thresholds are
    taken again.
    """
    scores: list[CalibrationScore] = []
    starts: list[int] = []
    offset = 0
    for run in runs:
        rounds = len(run.rounds())
        own = [start for start in sorted(calibration_starts(run)) if start < rounds]
        starts += [offset + start for start in own]
        scores += [
            replace(score, from_round=offset + score.from_round)
            for score in run.calibration()
            if score.from_round in own
        ]
        offset += rounds
    if len(runs) > 1:
        starts.append(offset)
        first = (score for score in runs[0].calibration() if score.from_round == 0)
        scores += [replace(score, from_round=offset) for score in first]
    elif len(runs) == 1:
        grown = [start for start in calibration_starts(runs[0]) if start not in starts]
        starts += grown
        scores += [score for score in runs[0].calibration() if score.from_round in grown]
    return scores, starts


def _take_over(
    source: Source,
    written: Run,
    keeper: PoolKeeper,
    rulebook: Rulebook,
    advance: Callable[[Path], object],
) -> None:
    """Commit the rounds of a run as the next ones, with new verdicts, and its later commits.

    A run brings at most as many tasks as its target was, and those that were completed later.
    Where some are rejected now, those that were over its target move up.
    """
    run, renamed = source.run, source.renamed
    offset = len(written.rounds())
    before = sum(written.info(number)["tasks"] for number in written.rounds())
    taken = 0
    for number in run.rounds():
        info = run.info(number)
        room = info["target"] - taken
        completions = [moved_completion(c, offset, renamed) for c in run.completions(number)]
        place = offset + number
        standards = keeper.standards
        is_import = run.is_import(number)
        if is_import:
            moved = moved_import(run, number, offset)
            own = import_rulebook(rulebook, info)
            verdicts = verdicts_of_import(moved, place, own, standards, room=room)
        else:
            verdicts = verdicts_of_round(completions, place, rulebook, standards, room=room)
        keeper.close_round(verdicts.instructions)
        new_info = {
            **_info(info, place, verdicts, before + taken + room),
            "likelihood": standards.thresholds.in_force(place),
        }
        candidates = (verdicts.instructions, verdicts.instances)
        written.commit(RoundData(place, completions, *candidates, new_info, imported=is_import))
        taken += verdicts.tasks
        advance(run.round_path(number))
    for supplement in each_supplement(run):
        thresholds = keeper.standards.thresholds
        _take_over_supplement(supplement, written, offset, rulebook, thresholds)
    for batch in ANSWERS.numbers(run):
        take_over_answers(run, batch, written, offset)


def _take_over_supplement(
    supplement: Commit,
    written: Run,
    offset: int,
    rulebook: Rulebook,
    thresholds: LikelihoodThresholds,
) -> None:
    """Give verdicts again on instances that were written later, and commit them."""
    moved = {ids.renumbered(row.id, offset): offset + row.round for row in supplement.instructions}
    rows = [
        row
        for number in sorted(set(moved.values()))
        for row in written.instructions(number)
        if row.id in moved
    ]
    completions = [moved_completion(c, offset, {}) for c in supplement.completions]
    last = offset + supplement.info["last_round"]
    restored = {ids.renumbered(id, offset): text for id, text in supplement.restored.items()}
    verdicts = verdicts_of_supplement(rows, completions, last, rulebook, thresholds, restored)
    info = {
        **{key: value for key, value in supplement.info.items() if key != "checksums"},
        "last_round": last,
        **({"restored": restored} if restored else {}),
        **counted(verdicts),
    }
    SUPPLEMENTS.commit(
        written, Commit(completions, verdicts.instructions, verdicts.instances, info)
    )


def _info(
    source: Mapping[str, Any], number: int, verdicts: Verdicts, target: int
) -> dict[str, Any]:
    kept = {key: value for key, value in source.items() if key != "checksums"}
    candidates = len(verdicts.instructions)
    return {
        **kept,
        "round": number,
        "target": target,
        **counted(verdicts),
        "yield": verdicts.tasks / candidates if candidates else 0.0,
    }
