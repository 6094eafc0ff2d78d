"""The names of the files and folders in a run's folder."""

from __future__ import annotations

RUN_FILE = "run.yaml"
STATUS_FILE = "status.json"
LOCK_FILE = ".selfinstruct.lock"
INPUTS = "inputs"
CALIBRATION = "calibration.parquet"
ROUNDS = "rounds"
ANSWERS, SUPPLEMENTS = "answers", "supplements"
# The kinds of commits beside the rounds.
KINDS = (ANSWERS, SUPPLEMENTS)
OVERRIDES = "overrides.jsonl"
LABELS = "labels.jsonl"
SAMPLES = "samples"

# Everything that belongs to a run: nothing else may use these names.
OWN = frozenset(
    {
        *(RUN_FILE, STATUS_FILE, LOCK_FILE, INPUTS, CALIBRATION, ROUNDS),
        *(*KINDS, OVERRIDES, LABELS, SAMPLES),
    }
)
