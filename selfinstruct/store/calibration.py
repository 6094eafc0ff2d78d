"""The stored calibration scores of a run, by the round from which they count."""

from __future__ import annotations

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import Kind
from selfinstruct.filters.likelihood import SeedScores
from selfinstruct.store.run import Run


def calibration_starts(run: Run) -> dict[int, SeedScores]:
    """Return the calibration scores of a run, by the round from which they count.

    Raises:
        StoreError: the stored scores are damaged.
    """
    recorded = run.meta.get("calibration") or {"starts": [0]}
    starts: dict[int, dict[Kind, list[float]]] = {int(start): {} for start in recorded["starts"]}
    for score in run.calibration():
        if score.from_round not in starts:
            raise StoreError(
                f"{run.path}/calibration.parquet: run.yaml does not list round {score.from_round} "
                "as a start; restore both from a backup"
            )
        starts[score.from_round].setdefault(score.kind, []).append(score.mean_logprob)
    return dict(starts)
