"""How many commits of each kind a run has: so that a lost last one is seen.

`.commits.json` is replaced after each commit. A process that died in between leaves a smaller
number, which is no damage; the next that writes to the run counts anew. Readers read it before they
list the commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError
from selfinstruct.store.layout import HEADS
from selfinstruct.store.sealed import read_json


def head(run: Path, kind: str) -> int:
    """Return how many commits of a kind a run is known to have; 0 for runs that are older.

    Raises:
        StoreError: the file is damaged.
    """
    return _heads(run).get(kind, 0)


def check_head(run: Path, kind: str, known: int, found: int) -> None:
    """Compare the number of commits with what is known.

    Args:
        run: folder of the run.
        kind: of the commits.
        known: what `head` said, before the commits were listed.
        found: how many there are.

    Raises:
        StoreError: some are lost.
    """
    if found < known:
        lost = f"{found:05d}" if known == found + 1 else f"{found:05d} to {known - 1:05d}"
        raise StoreError(
            f"{run / kind}: {lost} of {known} are missing; restore them from a backup, or go on "
            f"without them after: selfinstruct audit repair {run}"
        )


def write_head(run: Path, kind: str, number: int) -> None:
    """Write how many commits of a kind there are.

    Raises:
        OSError: the disk refuses.
    """
    try:
        heads = _heads(run)
    except StoreError:  # `verify` tells; a commit does not fail for it
        return
    atomic.write_json(run / HEADS, {**heads, kind: number})


def raise_heads(run: Path, found: Mapping[str, int]) -> None:
    """Count the commits that a process made which died before it could count them.

    Raises:
        StoreError: the file is damaged.
        WriteError: the disk refuses.
    """
    more = uncounted(run, found)
    if more:
        with refusal(run / HEADS):
            write_heads(run, {**_heads(run), **more})


def uncounted(run: Path, found: Mapping[str, int]) -> dict[str, int]:
    """Return the kinds of which more commits are found than were counted, with the numbers found.

    Raises:
        StoreError: the file is damaged.
    """
    heads = _heads(run)
    return {kind: number for kind, number in found.items() if number > heads.get(kind, 0)}


def write_heads(run: Path, heads: Mapping[str, int]) -> None:
    """Write how many commits of all kinds there are, in the place of what was known.

    Raises:
        OSError: the disk refuses.
    """
    atomic.write_json(run / HEADS, dict(heads))


def _heads(run: Path) -> dict[str, int]:
    path = run / HEADS
    if not path.exists():
        return {}
    heads = read_json(path)
    if not isinstance(heads, dict) or not all(type(number) is int for number in heads.values()):
        raise StoreError(
            f"{path}: is damaged (holds no numbers); rewrite it with: selfinstruct audit repair "
            f"{run}"
        )
    return heads
