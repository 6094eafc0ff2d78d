"""Score seed tasks under the run's model, once, before the first round.

The score of the least likely seed guards against broken text: the likelihood filter rejects what
scores below every human-written text. The scores are kept in the run (calibration.parquet), and in
the cache for the next run with the same model, dtype, seeds and prompts. Those of the shipped seeds
by the bundled model come with the package (`scripts/ship_calibration.py`).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic, ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.paths import cache_folder
from selfinstruct.common.records import (
    PROPOSED,
    CalibrationScore,
    Completion,
    Form,
    Kind,
    Request,
    SeedTask,
)
from selfinstruct.engines.base import Engine, ask_all
from selfinstruct.filters.likelihood import score_span
from selfinstruct.generate.requests import PoolTask, RequestBuilder
from selfinstruct.store import schema
from selfinstruct.verdicts.candidates import kind_written, read_proposal

log = logging.getLogger(__name__)

MOST_SEEDS = 48
SHIPPED = Path(__file__).parent / "calibrations"


@dataclass(frozen=True)
class Calibration:
    """The scores, the seconds that they took, and whether they came from the cache."""

    scores: list[CalibrationScore]
    seconds: float
    cached: bool


def calibrate(
    seeds: Sequence[SeedTask],
    builder: RequestBuilder,
    engine: Engine,
    in_context: int,
    identity: Mapping[str, Any],
    advance: Callable[[int, int], object],
) -> Calibration:
    """Score up to 48 seed tasks: their instructions as proposals, their outputs as answers.

    Args:
        seeds: the seed tasks of the run.
        builder: writes the prompts of the run.
        engine: a started one; if it cannot score, there is no calibration.
        in_context: tasks that a proposal shows.
        identity: what else the scores depend on (digest of the model, dtype, engine options).
        advance: called with (scoring requests that are back, all of them).
    """
    if not engine.capabilities.score or len(seeds) < 2:
        return Calibration([], 0.0, cached=False)
    started = time.perf_counter()
    requests = calibration_requests(seeds, builder, in_context)
    name = calibration_name(requests, engine, identity)
    path = cache_folder() / "calibration" / name
    cached = _read_cache(SHIPPED / name) or _read_cache(path)
    if cached is not None:
        return Calibration(cached, time.perf_counter() - started, cached=True)
    completions = ask_all(engine, requests, advance)
    by_id = {seed.pool_id: seed for seed in seeds}
    version = builder.rules_version
    scores = [score for completion in completions for score in _scores(completion, by_id, version)]
    if not any(completion.error for completion in completions):
        _write_cache(path, scores)
    return Calibration(scores, time.perf_counter() - started, cached=False)


def calibration_name(
    requests: Sequence[Request], engine: Engine, identity: Mapping[str, Any]
) -> str:
    """Return the name of the file that keeps the scores: a hash of all that they depend on."""
    prompts = {
        request.id: [engine.render(request.prompt), list(request.scored or ())]
        for request in requests
    }
    return f"{fingerprint({**identity, **prompts})}.parquet"


def calibration_requests(
    seeds: Sequence[SeedTask], builder: RequestBuilder, in_context: int
) -> list[Request]:
    """Ask how likely seed tasks are, as the loop would have written them.

    Instructions are items of a proposal that shows other seeds. It continues with as many as it
    shows, so one request scores several; in other styles, one request scores one. Outputs are
    answers; labels stand before their inputs. No seed is in its own prompt. The draw does not
    depend on the run's seed.
    """
    rng = random.Random(derive_seed("calibration"))
    drawn = rng.sample(list(seeds), min(MOST_SEEDS, len(seeds)))
    size = min(in_context, max(1, len(drawn) // 2))
    parts = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    # Each part is shown the part before it, the first one the last; only the last can be short.
    pairs = [(parts[number - 1], part) for number, part in enumerate(parts)]
    if builder.proposed.style.templates:
        single = ((shown, seed) for shown, part in pairs for seed in part)
        lists = [_scored_task(builder, number, *pair) for number, pair in enumerate(single)]
    else:
        lists = [_scored_list(builder, number, *pair) for number, pair in enumerate(pairs)]
    return lists + [_scored_output(builder, seed) for seed in drawn if seed.instances]


def _scored_list(
    builder: RequestBuilder, number: int, shown: Sequence[SeedTask], scored: Sequence[SeedTask]
) -> Request:
    tasks = [PoolTask(seed.pool_id, seed.instruction) for seed in shown]
    request = builder.proposed.listing("", tasks, topic="")
    texts = [" ".join(seed.instruction.split()) for seed in scored]
    first = len(shown) + 1
    if request.reading.continues:
        # The prompt ends with the first number, and the tag if there is one.
        before = f"{request.reading.tag} " if request.reading.tag else ""
        others = [f"{first + i}. {before}{text}" for i, text in enumerate(texts) if i]
        written = " " + "\n".join([texts[0], *others])
    else:
        written = "\n".join(f"{first + i}. {text}" for i, text in enumerate(texts))
    return builder.scoring(ids.calibration(Kind.INSTRUCTION, number), request, written)


def _scored_task(
    builder: RequestBuilder, number: int, shown: Sequence[SeedTask], scored: SeedTask
) -> Request:
    """Score a seed as what a proposal of the run's style might have written."""
    request = builder.proposed.after(list(map(PoolTask.of_seed, shown)))
    text = " ".join(scored.instruction.split())
    if request.reading.form is Form.FIELDS and not request.reading.continues:
        text = f"Instruction: {text}"
    is_continued = isinstance(request.prompt, str) or bool(request.prompt.opened)
    written = f" {text}" if is_continued else text
    return builder.scoring(ids.calibration(Kind.INSTRUCTION, number), request, written)


def _scored_output(builder: RequestBuilder, seed: SeedTask) -> Request:
    first = seed.instances[0]
    labelled = seed.is_classification and not builder.proposed.style.whole
    if labelled and not builder.stands_alone(seed.instruction):
        request = builder.instances("", seed.instruction, is_classification=True)
        label = f"{builder.markers.label} {first.output}"
        written = f" {first.output}" if isinstance(request.prompt, str) else label
    else:
        request = builder.answer("", seed.instruction, first.input)
        written = f" {first.output}" if isinstance(request.prompt, str) else first.output
    kind = kind_written(request.reading)
    shown = replace(request, parents=(seed.pool_id,))
    return builder.scoring(ids.calibration(kind, seed.pool_id), shown, written)


def _scores(
    completion: Completion, seeds: Mapping[str, SeedTask], version: int
) -> list[CalibrationScore]:
    """Return the score of every seed text that a scored completion holds."""
    reading = completion.request.reading
    if reading.form in PROPOSED:
        kind = Kind.INSTRUCTION
        by_text = {" ".join(seed.instruction.split()): seed.pool_id for seed in seeds.values()}
        spans = [
            (by_text[item.raw], item.start, item.end)
            for item in read_proposal(completion, version)
            if item.raw in by_text
        ]
    else:
        kind = kind_written(reading)
        [seed_id] = completion.request.parents
        start = completion.text.rfind(seeds[seed_id].instances[0].output)
        spans = [(seed_id, max(0, start), len(completion.text))]
    return [
        CalibrationScore(
            from_round=0,
            kind=kind,
            seed_id=seed_id,
            mean_logprob=span.mean_logprob,
            num_tokens=span.num_tokens,
            unscored_reason=span.unscored_reason,
        )
        for seed_id, start, end in spans
        for span in [score_span(completion, start, end)]
    ]


def _read_cache(path: Path) -> list[CalibrationScore] | None:
    if not path.is_file():
        return None
    try:
        return schema.read_calibration(path)
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        log.warning("%s: is damaged (%s); scoring the seed tasks again", path, error)
        return None


def _write_cache(path: Path, scores: Sequence[CalibrationScore]) -> None:
    """Write the cache; if that fails, the next run only takes longer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, schema.calibration_bytes(scores))
    except OSError as error:
        log.warning("%s: cannot be written (%s)", path, error.strerror)
