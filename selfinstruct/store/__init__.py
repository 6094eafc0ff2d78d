"""A run on disk: rounds that are committed by a rename, and read back as records."""

from selfinstruct.store.run import RoundData, Run, create_run, open_run, run_exists, run_lock

__all__ = ["RoundData", "Run", "create_run", "open_run", "run_exists", "run_lock"]
