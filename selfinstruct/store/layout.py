"""The names of what a run's folder holds."""

from __future__ import annotations

RUN_FILE = "run.yaml"
STATUS_FILE = "status.json"
LOCK_FILE = ".selfinstruct.lock"
INPUTS = "inputs"
CALIBRATION = "calibration.parquet"
ROUNDS = "rounds"
ANSWERS, SUPPLEMENTS = "answers", "supplements"
# Kinds of commits beside the rounds.
KINDS = (ANSWERS, SUPPLEMENTS)
OVERRIDES = "overrides.jsonl"
LABELS = "labels.jsonl"
SAMPLES = "samples"

# All that a run is made of: nothing else may be written there by these names.
OWN = frozenset(
    {
        *(RUN_FILE, STATUS_FILE, LOCK_FILE, INPUTS, CALIBRATION, ROUNDS),
        *(*KINDS, OVERRIDES, LABELS, SAMPLES),
    }
)
