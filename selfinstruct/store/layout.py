"""The names of the files and folders in a run's folder."""

from __future__ import annotations

RUN_FILE = "run.yaml"
STATUS_FILE = "status.json"
LOCK_FILE = ".selfinstruct.lock"
HEADS = ".commits.json"
INPUTS = "inputs"
CALIBRATION = "calibration.parquet"
ROUNDS = "rounds"
# Imported candidates: each commit takes the place of a round, and has its number.
IMPORTS = "imports"
# Rounds that `compact` has put into fewer files.
COMPACTED = "compacted"
# The tables of a round, and of every other commit that has them.
COMPLETIONS = "completions.parquet"
INSTRUCTIONS = "instructions.parquet"
INSTANCES = "instances.parquet"
CHATS = "conversations.parquet"
TURNS = "turns.parquet"
JUDGEMENTS = "judgements.parquet"
REVISIONS = "revisions.parquet"
OVERRIDES = "overrides.jsonl"
LABELS = "labels.jsonl"
SAMPLES = "samples"
# What `audit repair` has moved aside.
DAMAGED = "damaged"

# What a run has beside its kinds of commits (`commits.KINDS`): nothing else may use these names.
OWN = frozenset(
    {
        *(RUN_FILE, STATUS_FILE, LOCK_FILE, HEADS, INPUTS, CALIBRATION, ROUNDS, IMPORTS),
        *(COMPACTED, OVERRIDES, LABELS, SAMPLES, DAMAGED),
    }
)
