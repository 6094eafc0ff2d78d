"""A run on disk: rounds are committed by a rename, and read back as records."""

from selfinstruct.store.folder import create_run, open_run, rename_run
from selfinstruct.store.lock import folder_lock, run_exists, run_lock
from selfinstruct.store.recorded import RoundData
from selfinstruct.store.run import Run

__all__ = [
    "RoundData",
    "Run",
    "create_run",
    "folder_lock",
    "open_run",
    "rename_run",
    "run_exists",
    "run_lock",
]
