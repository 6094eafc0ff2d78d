"""What lies in a folder: byte for byte, and without what differs from one moment to the next."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from selfinstruct.audit.verify import verify_run
from selfinstruct.common.errors import SelfInstructError
from selfinstruct.store import open_run
from selfinstruct.store.layout import HEADS, LOCK_FILE, RUN_FILE, STATUS_FILE
from selfinstruct.store.open_rounds import is_open_journal
from selfinstruct.store.packs import MANIFEST

# Values that say when, how fast or by whom, and sums of them.
OF_THE_MOMENT = {
    *("seconds", "heartbeat", "pid", "when", "engine_idle_share", "sha256", "previous_sha256"),
    *("created", "novelty_seconds", "at"),
}
# A commit that stands: it must never change. A run that is made beside its place, and moved there
# when it is whole, is none yet.
COMMITTED = re.compile(
    r"^(?!\.[^/]+\.writing/)(.*/)?"
    r"(rounds|imports|answers|supplements|conversations)/[0-9]{5,}/[^/]+$"
)
_STAMP = re.compile(r"damaged/[^/]+/")
# The user's cache: a command does without it where it cannot be written.
CACHE = "cache/"
# A journal without a sum: a torn line costs itself alone.
_RECORD = ".selfinstruct-exports.jsonl"
# What a writer leaves only while it writes.
TEMPORARY = re.compile(r"(^|/)(\.[^/]*\.tmp|[^/]*\.(tmp|part))(/|$)")


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder, by its name; no locks."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != LOCK_FILE
    }


def meanings(root: Path) -> dict[str, str]:
    """Return a digest of what every file says, by its name; folders end with a slash."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix() + "/" * path.is_dir()
        if name.startswith(CACHE):
            continue
        name = _STAMP.sub("damaged/", name)
        if path.is_dir():
            found[name] = ""
        elif path.name not in (LOCK_FILE, STATUS_FILE) and not (
            # What is kept of a round that is not committed saves work, and decides about nothing.
            is_open_journal(path.name) or _is_replaced_next(path)
        ):
            text = repr(_meaning(path)).encode("utf-8", errors="surrogatepass")
            found[name] = hashlib.sha256(text).hexdigest()[:16]
    return found


def _meaning(path: Path) -> Any:
    content = path.read_bytes()
    if path.suffix == ".parquet" and content[-4:] == b"PAR1":
        table = pq.read_table(path)
        return str(table.schema), table.to_pylist()
    if path.suffix == ".sum" or path.suffix in (".html", ".md"):
        return None  # sums and pages say the time
    if path.suffix == ".json":
        return _lasting(json.loads(content))
    if path.suffix == ".yaml":
        return _lasting(yaml.safe_load(content))
    if path.suffix == ".jsonl":
        lines = map(_line, content.splitlines())
        return [one for one in lines if path.name != _RECORD or not isinstance(one, bytes)]
    return content


def _line(line: bytes) -> Any:
    try:
        return _lasting(json.loads(line))
    except ValueError:
        return line


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {k: _lasting(v) for k, v in value.items() if k not in OF_THE_MOMENT}
        return sorted(kept.items(), key=lambda item: str(item[0]))
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def runs(root: Path) -> list[Path]:
    """Return the runs in a folder."""
    found = (path.parent for path in sorted(root.rglob(RUN_FILE)))
    # A chain's run is made by a stand-in.
    return [path for path in found if not {"damaged", "chain"} & {*path.relative_to(root).parts}]


def damages_of_runs(root: Path) -> Iterator[str]:
    """Yield every damage that `audit verify` would tell of the runs in a folder."""
    for path in runs(root):
        try:
            yield from map(str, verify_run(open_run(path)).problems)
        except SelfInstructError as error:
            yield str(error)


def lost(
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    changes: re.Pattern[str],
    *,
    repacks: bool = False,
) -> Iterator[str]:
    """Yield what is there no more, or is another, though nobody may change it.

    Args:
        before: contents of the folder.
        after: contents now.
        changes: names of the files that the command may replace; JSON lines only grow.
        repacks: whether the files of rounds may go, since the rounds lie elsewhere then.
    """
    for name, content in before.items():
        if repacks and "/rounds/" in f"/{name}":
            continue
        if COMMITTED.search(name) or not changes.search(name):
            if after.get(name) != content:
                yield f"{name} {'is changed' if name in after else 'is gone'}"
        elif name.endswith(".jsonl") and not after.get(name, b"").startswith(content):
            yield f"{name} lost lines"


def gone(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the files whose content is nowhere any more: of a command that moves files aside."""
    present = set(after.values())
    for name, content in before.items():
        if content not in present and Path(name).name not in (HEADS, STATUS_FILE, MANIFEST):
            yield f"{name} is nowhere"


def recorded(root: Path) -> dict[str, str]:
    """Return what every round of every run in a folder says, by run and number."""
    return {
        f"{path.name} {number}": repr(
            [
                *(run.info(number), run.completions(number)),
                *(run.instructions(number), run.instances(number)),
            ]
        )
        for path in runs(root)
        for run in [open_run(path)]
        for number in run.rounds()
    }


def left_over(root: Path) -> list[str]:
    """Return temporary files and folders that nobody will remove."""
    return [
        name
        for path in root.rglob("*")
        if (TEMPORARY.search(name := path.relative_to(root).as_posix()) or _is_stale(path))
        and not _is_replaced_next(path)
    ]


def _is_stale(path: Path) -> bool:
    """Whether a file is the journal of a round that is committed."""
    return is_open_journal(path.name) and path.with_name(path.name.strip(".")[:-5]).is_dir()


def _is_replaced_next(path: Path) -> bool:
    """Whether a file is the beginning of another that is whole: its next writer takes the place."""
    name = path.name.removeprefix(".").removesuffix(".tmp")
    is_beginning = path.name == f".{name}.tmp" and path.is_file()
    return is_beginning and path.with_name(name).is_file()
