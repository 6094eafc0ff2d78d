"""Make a folder a run (its run.yaml is written last), and open one that is a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.records import CalibrationScore
from selfinstruct.common.suggest import folder_meant
from selfinstruct.store import schema
from selfinstruct.store.layout import CALIBRATION, RUN_FILE
from selfinstruct.store.readers import hold
from selfinstruct.store.recorded import check_version
from selfinstruct.store.run import Run, write_meta
from selfinstruct.store.sealed import SEAL, check_seal


def open_run(path: Path) -> Run:
    """Open an existing run for reading.

    Raises:
        ConfigError: the folder is not a run.
        StoreError: run.yaml is damaged or newer than this code.
    """
    file = path / RUN_FILE
    if not file.is_file():
        lacks = f"it has no {RUN_FILE}" if path.exists() else "there is no such folder"
        meant = folder_meant(path, RUN_FILE)
        raise ConfigError(f"{path}: is not a run ({lacks}); {meant}check the folder")
    try:
        meta = yaml.safe_load(file.read_text(encoding="utf-8"))
        check_version(meta, file)
        check_seal(meta, file, f"restore it, or take it as it is with: {_accept(path)}")
        sections = (meta["config"], meta["inputs"], meta["model"])
        if not all(isinstance(section, dict) for section in sections):
            raise TypeError("config, inputs and model must be mappings")
        meta["model"]["name"], meta["model"]["digest"], meta["model"]["prompting"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{file}: is damaged ({why(error)}); restore it from a backup") from error
    run = Run(path, {key: value for key, value in meta.items() if key != SEAL})
    hold(run, path)
    return run


def accept_meta(path: Path, keep: Path) -> None:
    """Seal run.yaml as it is now; a copy of the file goes to `keep`.

    Raises:
        StoreError: it is damaged in another way.
        WriteError: the disk refuses.
    """
    file = path / RUN_FILE
    try:
        meta = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise StoreError(f"{file}: is damaged ({why(error)}); restore it from a backup") from error
    check_version(meta, file)
    with refusal(keep):
        keep.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(keep, file.read_bytes())
    write_meta(path, meta)


def _accept(path: Path) -> str:
    return f"selfinstruct audit repair {path} --accept-config"


def rename_run(work: Path, out: Path) -> None:
    """Rename a run that was made under another name; `out` may be an empty folder.

    Raises:
        WriteError: the disk refuses.
    """
    with refusal(out):
        work.rename(out)
        atomic.sync(out.parent)


def create_run(
    path: Path,
    meta: Mapping[str, Any],
    inputs: Mapping[str, bytes],
    calibration: Sequence[CalibrationScore] = (),
    starts: Sequence[int] = (0,),
) -> Run:
    """Write the files that make a folder a run; run.yaml comes last.

    Args:
        path: the run's folder.
        meta: content of run.yaml.
        inputs: contents of the files of `inputs/`, by name.
        calibration: scores of the calibration texts.
        starts: the rounds from which they count.

    Raises:
        WriteError: the disk refuses.
    """
    scores = schema.calibration_bytes(calibration)
    recorded = {"starts": list(starts), "sha256": hashlib.sha256(scores).hexdigest()}
    full = {"schema_version": schema.SCHEMA_VERSION, **meta, "calibration": recorded}
    with refusal(path):
        atomic.write_bytes(path / CALIBRATION, scores)
        (path / "rounds").mkdir(exist_ok=True)
        for name, content in inputs.items():
            file = path / "inputs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(file, content)
    write_meta(path, full)
    return Run(path, full)
