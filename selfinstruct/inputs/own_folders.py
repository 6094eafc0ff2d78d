"""The files of this program's own folders that hold data to read again."""

from __future__ import annotations

# A folder of `prefer`: its settings, written first; pairs to train on, those held out,
# and all labelled answers.
SETTINGS = "preferences.json"
TRAIN, HELD_OUT = "train.parquet", "held_out.parquet"
LABELLED = "labelled.parquet"
# A folder of `best-of`: the chosen answers.
BEST = "best.jsonl"
# Written last in both.
REPORT = "report.json"
