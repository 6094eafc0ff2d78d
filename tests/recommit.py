"""Change what a run has committed, with checksums that fit: a run as another program left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.store.layout import HEADS
from selfinstruct.store.sealed import PREVIOUS, SEAL, sha256


def forget_seals(run: Path) -> None:
    """Make a run one that is older than seals."""
    (run / HEADS).unlink(missing_ok=True)
    rewrite_yaml(run / "run.yaml", lambda _: None)
    for info in run.glob("*/[0-9]*/*.json"):
        rewrite_json(info, lambda _: None)


def recommit(folder: Path) -> None:
    """Take the checksums of a commit's files anew, after one was changed."""
    [info] = folder.glob("*.json")
    sums = {path.name: sha256(path) for path in folder.glob("*.parquet")}
    rewrite_json(info, lambda values: values.update(checksums=sums))
    # The commit after this one follows another JSON now.
    forget_seals(folder.parents[1])


def rewrite_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of a commit, which has no seal after that."""
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(_unsealed(values)), encoding="utf-8")


def rewrite_yaml(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run.yaml, which has no seal after that."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(yaml.safe_dump(_unsealed(values)), encoding="utf-8")


def _unsealed(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in (SEAL, PREVIOUS)}
