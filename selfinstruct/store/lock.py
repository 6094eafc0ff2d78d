"""One writer for a run: an operating-system lock that ends with its process.

If a run is never created, its leftovers are removed, and nothing else: only folders that were made
for it, and only if nobody has put anything into them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from selfinstruct.common.atomic import refusal, refusal_of
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.store.layout import CALIBRATION, INPUTS, LOCK_FILE, ROUNDS, RUN_FILE

log = logging.getLogger(__name__)

# Leftovers of a process that was killed before it wrote run.yaml. Rounds come later, so they
# are never among them.
_FILES = {f".{RUN_FILE}.tmp", CALIBRATION, f".{CALIBRATION}.tmp"}


def run_exists(path: Path) -> bool:
    """Whether the folder is a run: it has a run.yaml, which is written last."""
    return (path / RUN_FILE).is_file()


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Lock a run for writing.

    Raises:
        ConfigError: another process has locked it, the folder cannot be made, or it contains
            files that are not a run's.
        WriteError: the disk is full or broken.
    """
    made = _make_folders(path)
    ours = False
    try:
        with _open_lock(path) as handle:
            _take(handle, path)
            ours = True
            try:
                with refusal(path):
                    if not run_exists(path):
                        _remove_beginnings(path)
                yield
            finally:
                with _said_only(path):
                    if not run_exists(path):
                        _remove_beginnings(path)
                        (path / LOCK_FILE).unlink(missing_ok=True)
    finally:
        with _said_only(path):
            if ours and not run_exists(path):
                _remove_empty(made)


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Lock a folder that is not a run for writing; make the folder if necessary.

    Raises:
        ConfigError: another process has locked it, or it cannot be made.
        WriteError: the disk is full or broken.
    """
    with refusal_of(path, "made"):
        path.mkdir(parents=True, exist_ok=True)
    with _open_lock(path) as handle:
        _take(handle, path)
        yield


def _open_lock(path: Path) -> IO[str]:
    with refusal_of(path):
        return (path / LOCK_FILE).open("a")


def _take(handle: IO[str], path: Path) -> None:
    busy = ConfigError(f"{path}: another process is writing here; wait for it, or stop it first")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise busy from None
    # Between our opening and our locking the file, its former holder may have removed it, with a
    # run that was never created. Then a third process can hold a lock of the same name.
    try:
        same = os.path.samestat(os.fstat(handle.fileno()), (path / LOCK_FILE).stat())
    except OSError:
        same = False
    if not same:
        raise busy


@contextmanager
def _said_only(path: Path) -> Iterator[None]:
    """Report a disk that refuses to remove what was begun: the error before it is what counts."""
    try:
        yield
    except OSError as error:
        log.warning(
            "%s: the beginnings of a run cannot be removed (%s); remove the folder",
            path,
            why(error),
        )


def _remove_beginnings(path: Path) -> None:
    shutil.rmtree(path / INPUTS, ignore_errors=True)
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
    _remove_empty([path / ROUNDS])


def _make_folders(path: Path) -> list[Path]:
    """Create `path`; return the folders that were made, the innermost first."""
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            if not folder.is_dir():
                raise ConfigError(f"{path}: {folder} is a file; give another --out")
            break
        missing.append(folder)
    if not missing and not run_exists(path) and _holds_other_files(path):
        raise ConfigError(f"{path}: holds other files and is not a run; give another --out")
    with refusal_of(path, "made"):
        path.mkdir(parents=True, exist_ok=True)
    return missing


def _holds_other_files(path: Path) -> bool:
    """Whether a folder contains more than the leftovers of a run without its run.yaml."""
    names = {entry.name for entry in path.iterdir()}
    if LOCK_FILE not in names:  # it is made first: without it, the other names are not ours
        return bool(names)
    if ROUNDS in names and any((path / ROUNDS).iterdir()):
        return True
    return bool(names - {LOCK_FILE, INPUTS, ROUNDS} - _FILES)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # it is not empty, or is removed already
            return
