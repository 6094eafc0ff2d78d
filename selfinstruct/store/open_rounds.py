"""Journals of open rounds: completions are kept as they come, before their round is committed.

    rounds/.00002.open    the open round 2; deleted once the round is committed

Each line is the CRC-32 of the rest (eight hex digits), a space, and a JSON object. The first one
says how many proposals the round has, every other one is a completion with a digest of its
request. A completion counts only for a request with the same digest, so a journal can save work
and can never change what a run contains. A line that is torn or damaged costs its request alone:
it is asked again. A journal that is missing costs all of the round's requests.

Lines are written at once, which survives the death of the process, and flushed to the disk about
once a second, which survives a power cut.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError, why
from selfinstruct.common.records import Completion, Reading, Request
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.store.layout import ROUNDS
from selfinstruct.store.sealed import commit_name

log = logging.getLogger(__name__)

_NAME = re.compile(r"\.([0-9]{5,})\.open")
_FLUSH_SECONDS = 1.0
# Struct formats of the numbers of each token.
_ARRAYS = {"token_ids": "i", "token_starts": "i", "token_ends": "i", "token_logprobs": "d"}
_PLAIN = ("text", "thinking", "finish_reason", "num_prompt_tokens", "prompt", "counted_tokens")


def open_path(run: Path, number: int) -> Path:
    """Return where the journal of an open round lies."""
    return run / ROUNDS / f".{commit_name(number)}.open"


def open_numbers(run: Path) -> list[int]:
    """Return the numbers of the rounds that have a journal, in order."""
    folder = run / ROUNDS
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def is_open_journal(name: str) -> bool:
    """Whether a file of this name is the journal of an open round."""
    return _NAME.fullmatch(name) is not None


@dataclass
class Kept:
    """What a journal holds.

    proposals: of the round; None where the journal does not say.
    rows: of the completions, by the ids of their requests.
    damaged: numbers of the lines that cannot be read, without a torn last one.
    torn: bytes of the torn last line.
    """

    proposals: int | None = None
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    torn: int = 0

    def completion_of(self, request: Request) -> Completion | None:
        """Return the completion of a request; None if there is none of just this request."""
        row = self.rows.get(request.id)
        if row is None or row["request"] != _digest(request):
            return None
        arrays = {name: _numbers(row[name], kind) for name, kind in _ARRAYS.items()}
        return Completion(request=request, **arrays, **{name: row[name] for name in _PLAIN})


def read_open(path: Path) -> Kept:
    """Read the journal of an open round; nothing of one that is missing.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Kept()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({why(error)}); check it, or delete it"
        ) from error
    whole, _, torn = content.rpartition(b"\n")
    kept = Kept(torn=len(torn))
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if not line:
            continue
        try:
            _take_in(kept, line)
        except (ValueError, KeyError, TypeError, RecursionError):
            kept.damaged.append(number)
    return kept


def _take_in(kept: Kept, line: bytes) -> None:
    """Take in a line; raises ValueError, KeyError or TypeError for a damaged one."""
    checksum, _, text = line.partition(b" ")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(text):
        raise ValueError("checksum")
    row = json.loads(text)
    if "proposals" in row:
        kept.proposals = int(row["proposals"])
    else:
        kept.rows[str(row["id"])] = row


class OpenJournal:
    """The journal of an open round, to which completions are appended.

    Args:
        run: folder of the run, which the caller has locked.
        number: of the round.
        proposals: how many the round is to have. A journal that exists says how many it has.

    Raises:
        StoreError: the journal is there but cannot be read.
        WriteError: the disk refuses.
    """

    def __init__(self, run: Path, number: int, proposals: int) -> None:
        self._path = open_path(run, number)
        self.kept = read_open(self._path)
        for line in self.kept.damaged:
            log.warning("%s:%d: is damaged; its request is asked again", self._path, line)
        with refusal(self._path):
            is_new = not self._path.exists()
            self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            self._flushed = time.monotonic()
            self._is_flushed = True
            if is_new:
                atomic.sync(self._path.parent)
            self._cut_torn_line()
        if self.kept.proposals is None:
            self.kept.proposals = proposals
            self._append([{"proposals": proposals}])

    @property
    def proposals(self) -> int:
        """How many proposals the round has."""
        assert self.kept.proposals is not None
        return self.kept.proposals

    def add(self, completions: Sequence[Completion]) -> None:
        """Append completions; failures are left out, since they are asked again.

        Raises:
            WriteError: the disk refuses.
        """
        self._append([_row(one) for one in completions if one.error is None])

    def close(self) -> None:
        """Flush the journal, and close it.

        Raises:
            WriteError: the disk refuses.
        """
        if self._handle < 0:
            return
        try:
            with refusal(self._path):
                self._flush()
        finally:
            os.close(self._handle)
            self._handle = -1

    def _cut_torn_line(self) -> None:
        if self.kept.torn:
            size = os.fstat(self._handle).st_size
            os.ftruncate(self._handle, size - self.kept.torn)

    def _append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        content = b"".join(map(_line, rows))
        if not content:
            return
        with refusal(self._path):
            while content:
                content = content[os.write(self._handle, content) :]
            self._is_flushed = False
            if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
                self._flush()

    def _flush(self) -> None:
        if not self._is_flushed:
            os.fsync(self._handle)
            self._is_flushed = True
        self._flushed = time.monotonic()


def drop_committed(run: Path, rounds: int) -> None:
    """Delete the journals of rounds that are committed: a process died before it could.

    Args:
        run: folder of the run, which the caller has locked.
        rounds: how many are committed.

    Raises:
        WriteError: the disk refuses.
    """
    for number in open_numbers(run):
        if number < rounds:
            with refusal(open_path(run, number)):
                open_path(run, number).unlink(missing_ok=True)


def _row(completion: Completion) -> dict[str, Any]:
    return {
        "id": completion.id,
        "request": _digest(completion.request),
        **{name: getattr(completion, name) for name in _PLAIN},
        **{name: _packed(getattr(completion, name), kind) for name, kind in _ARRAYS.items()},
    }


def _digest(request: Request) -> str:
    """Return a digest of all that decides about the completion of a request."""
    prompt = request.prompt if isinstance(request.prompt, str) else repr(request.prompt)
    own = (request.id, request.about, str(request.stage), request.template, request.seed)
    how = _how(request.sampling, request.reading)
    text = json.dumps([own, request.parents, how, request.scored, prompt])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


@lru_cache(maxsize=256)
def _how(sampling: SamplingConfig, reading: Reading) -> str:
    """Return how a request is written and read; many requests share it."""
    return repr((sampling, reading))


def _line(row: Mapping[str, Any]) -> bytes:
    # ASCII alone: half a character (a lone surrogate) of a prompt has no UTF-8.
    text = json.dumps(row).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _packed(numbers: Sequence[float] | None, kind: str) -> str | None:
    """Return numbers as base64 of their bytes: exact, and quicker to read and write than digits."""
    if numbers is None:
        return None
    return base64.b64encode(struct.pack(f"<{len(numbers)}{kind}", *numbers)).decode("ascii")


def _numbers(packed: str | None, kind: str) -> Any:
    if packed is None:
        return None
    content = base64.b64decode(packed)
    return struct.unpack(f"<{len(content) // struct.calcsize(kind)}{kind}", content)
