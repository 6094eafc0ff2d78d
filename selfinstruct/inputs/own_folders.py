"""The files of this program's own folders that hold data to read again."""

from __future__ import annotations

from pathlib import Path

from selfinstruct.common import atomic
from selfinstruct.common.errors import StoreError
from selfinstruct.store.sealed import check_seal, checked, read_json, seal, sha256

# A folder of `prefer`: its settings, written first; pairs to train on, those held out,
# and all labelled answers.
SETTINGS = "preferences.json"
TRAIN, HELD_OUT = "train.parquet", "held_out.parquet"
LABELLED = "labelled.parquet"
# A folder of `best-of`: the chosen answers.
BEST = "best.jsonl"
# Written last in both.
REPORT = "report.json"
# The checksums of all of them, in both; older folders have none.
CHECKSUMS = ".checksums.json"


def write_checksums(folder: Path) -> None:
    """Take the checksums of the files of a folder, before its report marks it as finished.

    Raises:
        OSError: the disk refuses.
    """
    names = (SETTINGS, TRAIN, HELD_OUT, LABELLED, BEST)
    sums = {name: sha256(folder / name) for name in names if (folder / name).is_file()}
    atomic.write_json(folder / CHECKSUMS, seal({"checksums": sums}))


def check_own(folder: Path, *names: str) -> None:
    """Compare files of a finished folder with what was written.

    Raises:
        StoreError: one is missing, or was changed.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("checksums"), dict):
        raise StoreError(f"{path}: is damaged (holds no checksums); restore it from a backup")
    check_seal(values, path)
    for name in names:
        if name in values["checksums"] or (folder / name).exists():
            checked(folder / name, values["checksums"])
