"""Where things are kept that can be made again: prepared models, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return SELFINSTRUCT_CACHE, or a folder of our own in XDG's cache folder."""
    own = os.environ.get("SELFINSTRUCT_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "selfinstruct"
