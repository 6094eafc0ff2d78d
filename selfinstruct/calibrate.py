"""Score seed tasks under the model that is to write, once, before the first round.

The least likely of them is the guard of the likelihood filter: what scores below every
human-written text is broken. The scores are kept in the run (calibration.parquet), and in
the cache for the next run with the same model, dtype, seeds and prompts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.candidates import read_proposal
from selfinstruct.config import fingerprint
from selfinstruct.engines.base import Engine
from selfinstruct.errors import StoreError
from selfinstruct.filters.likelihood import SeedScores, score_span
from selfinstruct.paths import cache_folder
from selfinstruct.records import CalibrationScore, Completion, Kind, Request, SeedTask
from selfinstruct.requests import RequestBuilder
from selfinstruct.store import Run, atomic, schema

log = logging.getLogger(__name__)

MOST_SEEDS = 48


@dataclass(frozen=True)
class Calibration:
    """The scores, how long it took to get them, and whether they were known already."""

    scores: list[CalibrationScore]
    seconds: float
    cached: bool


def calibrate(
    seeds: Sequence[SeedTask],
    builder: RequestBuilder,
    engine: Engine,
    identity: Mapping[str, str],
    advance: Callable[[int, int], object],
) -> Calibration:
    """Score up to 48 seed tasks: their instructions as proposals, their outputs as answers.

    Args:
        seeds: the seed tasks of the run.
        builder: writes the prompts of the run.
        engine: a started one; without scoring there is no calibration.
        identity: what else the scores depend on (digest of the model, dtype).
        advance: told how many scoring requests have come back, of how many.
    """
    if not engine.capabilities.score or len(seeds) < 2:
        return Calibration([], 0.0, cached=False)
    started = time.perf_counter()
    requests = builder.calibration(seeds, MOST_SEEDS)
    asked = {request.id: [request.prompt, list(request.scored or ())] for request in requests}
    path = cache_folder() / "calibration" / f"{fingerprint({**identity, **asked})}.parquet"
    known = _read_cache(path)
    if known is not None:
        return Calibration(known, time.perf_counter() - started, cached=True)
    completions = _score(requests, engine, advance)
    texts = {seed.pool_id: seed for seed in seeds}
    scores = [score for done in completions for score in _scores(done, texts)]
    _write_cache(path, scores)
    return Calibration(scores, time.perf_counter() - started, cached=False)


def calibration_starts(run: Run) -> dict[int, SeedScores]:
    """Return the calibration scores of a run by the round from which they count.

    Raises:
        StoreError: what the run keeps of it is damaged.
    """
    recorded = run.meta.get("calibration") or {"starts": [0]}
    starts: dict[int, dict[Kind, list[float]]] = {int(start): {} for start in recorded["starts"]}
    for score in run.calibration():
        if score.from_round not in starts:
            raise StoreError(
                f"{run.path}/calibration.parquet: round {score.from_round} is no start that "
                "run.yaml knows; restore both from a backup"
            )
        starts[score.from_round].setdefault(score.kind, []).append(score.mean_logprob)
    return dict(starts)


def _score(
    requests: Sequence[Request], engine: Engine, advance: Callable[[int, int], object]
) -> list[Completion]:
    engine.submit(requests)
    done: dict[str, Completion] = {}
    while len(done) < len(requests):
        done |= {completion.id: completion for completion in engine.collect()}
        advance(len(done), len(requests))
    return [done[request.id] for request in requests]


def _scores(completion: Completion, seeds: Mapping[str, SeedTask]) -> list[CalibrationScore]:
    """Return the score of every seed text that a scored completion holds."""
    _, kind, *_ = completion.id.split("-")
    if Kind(kind) is not Kind.INSTRUCTION:
        [seed_id] = completion.request.parents
        spans = [(seed_id, 0, len(completion.text))]
    else:
        shown, texts = completion.request.parents, read_proposal(completion)
        by_text = {" ".join(seed.instruction.split()): seed.pool_id for seed in seeds.values()}
        spans = [(by_text.get(one.raw, ""), one.start, one.end) for one in texts]
        if len(spans) > len(shown):
            log.debug("%s: a seed's own list was read as items", completion.id)
    return [
        CalibrationScore(
            from_round=0,
            kind=Kind(kind),
            seed_id=seed_id,
            mean_logprob=span.mean_logprob,
            num_tokens=span.num_tokens,
            unscored_reason=span.unscored_reason,
        )
        for seed_id, start, end in spans
        if seed_id
        for span in [score_span(completion, start, end)]
    ]


def _read_cache(path: Path) -> list[CalibrationScore] | None:
    if not path.is_file():
        return None
    try:
        return schema.read_calibration(path)
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        log.warning("%s: is damaged (%s); calibrating anew", path, error)
        return None


def _write_cache(path: Path, scores: Sequence[CalibrationScore]) -> None:
    """A cache that cannot be written costs time, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, schema.calibration_bytes(scores))
    except OSError as error:
        log.warning("%s: cannot be written (%s)", path, error.strerror)
