"""What a mistyped name may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

# Of difflib's ratio; in a word of up to four letters one wrong letter weighs more.
_NEAR, _NEAR_IF_SHORT = 0.75, 0.66
_SHORT = 4
# Letters of a beginning that says what is meant.
_LEAST = 3


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, if any is; case does not count."""
    by_lower = {other.lower(): other for other in known}
    lower = name.lower()
    if len(lower) >= _LEAST:
        for beginning, other in by_lower.items():
            if beginning.startswith(lower):
                return other
    cutoff = _NEAR_IF_SHORT if len(lower) <= _SHORT else _NEAR
    matches = get_close_matches(lower, by_lower, n=1, cutoff=cutoff)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'? `, to stand before the advice of a message, or nothing."""
    match = near(name, known)
    return f"did you mean {match!r}? " if match is not None else ""


def folder_meant(path: Path, file: str) -> str:
    """Return like `did_you_mean` which folder beside this path is meant: one that has this file."""
    try:
        beside = [found.parent.name for found in path.parent.glob(f"*/{file}")]
    except OSError:  # a name that no folder can have
        return ""
    match = near(path.name, beside)
    return f"did you mean {str(path.with_name(match))!r}? " if match is not None else ""
