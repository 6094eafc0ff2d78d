"""Whether a checkpoint is whole: a process that was killed, or a full disk, leaves torn files."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

_STATE = "trainer_state.json"
# Of a safetensors file: its header's length, in bytes, little-endian.
_LENGTH = struct.Struct("<Q")


def torn_file(checkpoint: Path) -> str | None:
    """Return the file for which a checkpoint cannot be used, or None if it is whole.

    The trainer's state must be there and be JSON, and so must weights, with all of their shards.
    Files of tensors must be as long as their own headers say; the tensors are not read.
    """
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _STATE
    if not isinstance(state, dict):
        return _STATE
    for index in checkpoint.glob("*.index.json"):
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError):
            return index.name
        if missing := sorted(shard for shard in shards if not (checkpoint / shard).is_file()):
            return str(missing[0])
    weights = [*checkpoint.glob("*.safetensors"), *checkpoint.glob("*.bin")]
    if not weights:
        return "*.safetensors"
    for path in sorted(checkpoint.iterdir()):
        if path.suffix == ".safetensors" and not _is_whole_safetensors(path):
            return path.name
        # torch.save writes zip files, whose table of contents comes last.
        if path.suffix in (".pt", ".pth", ".bin") and not zipfile.is_zipfile(path):
            return path.name
    return None


def _is_whole_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack(start)
        try:
            header = json.loads(file.read(min(length, path.stat().st_size)))
        except ValueError:
            return False
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    size: int = _LENGTH.size + length + max(ends, default=0)
    return path.stat().st_size == size
