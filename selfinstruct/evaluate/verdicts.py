"""A judge's verdicts on pairs of answers: kept as they come, and found again by what was asked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.jsonlines import append_lines, parse_lines
from selfinstruct.common.records import NAN, LocalModel
from selfinstruct.engines.base import Engine
from selfinstruct.engines.isolated import Advance
from selfinstruct.engines.stream import batched
from selfinstruct.labellers.duels import Duel, Verdict, judged, start

log = logging.getLogger(__name__)

# Duels whose verdicts are kept at a time.
_BATCH = 256

# Has duels judged, in a process of its own, and the verdicts kept (`judge_duels`).
AskJudge = Callable[[Mapping[str, Duel], Path, Advance], None]


@dataclass(frozen=True)
class Judge:
    """The model that judges, what it is shown, and how it is asked.

    `tasks` are how many of the tasks are judged, in their order; None: all.
    """

    model: LocalModel
    template: str
    dtype: str
    ask: AskJudge
    tasks: int | None = None


def verdicts_of(judge: Judge, duels: Sequence[Duel], path: Path, advance: Advance) -> list[Verdict]:
    """Return the verdicts on duels, in their order; only those not kept in `path` are asked for.

    Raises:
        EngineError: the engine failed; verdicts that came before are kept.
        WriteError: the disk refuses.
    """
    asked = {"judge": judge.model.digest, "template": judge.template, "dtype": judge.dtype}
    keys = [fingerprint({**asked, **_fields(duel)}) for duel in duels]
    kept = _read(path)
    owed = {key: duel for key, duel in zip(keys, duels, strict=True) if key not in kept}
    if owed:
        judge.ask(owed, path, advance)
        kept = _read(path)
    return [kept[key] for key in keys]


def _fields(duel: Duel) -> dict[str, str]:
    """Return what a verdict is about; without a principle, as before there were principles."""
    fields = {**asdict(duel), "id": ""}
    return fields if duel.principle else {k: v for k, v in fields.items() if k != "principle"}


def judge_duels(
    engine: Engine, *, duels: Mapping[str, Duel], template: str, path: Path, advance: Advance
) -> None:
    """Have duels judged, and each verdict appended to `path` under the duel's key.

    Args:
        engine: not started yet, and one that can score.
        duels: what to judge; where all answers are equal, no engine is started.
        template: what the judge is shown.
        path: JSON lines.
        advance: told how many duels are done, of how many.
    """
    if any(duel.first != duel.second for duel in duels.values()):
        start(engine, list(duels.values()), template)
    batches = list(batched(list(duels.values()), _BATCH))
    batches_of_keys = batched(list(duels), _BATCH)
    judged_batches = judged(engine, batches, template, advance)
    for keys, verdicts in zip(batches_of_keys, judged_batches, strict=True):
        rows = [
            {"key": key, "preference": _known(verdict.preference), "margin": _known(verdict.margin)}
            for key, verdict in zip(keys, verdicts, strict=True)
        ]
        append_lines(path, rows)


def _read(path: Path) -> dict[str, Verdict]:
    """Return the kept verdicts by key; a line that a crash tore is asked for again."""
    verdicts, damaged = parse_lines(path, _parse, "verdict")
    for line in damaged:
        log.warning("%s", line)
    return dict(verdicts)


def _parse(row: Mapping[str, Any]) -> tuple[str, Verdict]:
    values = (row[name] for name in ("preference", "margin"))
    return row["key"], Verdict(*(NAN if value is None else float(value) for value in values))


def _known(value: float) -> float | None:
    """Return NaN, which JSON lacks, as null."""
    return None if math.isnan(value) else value
