"""Where the logs of trackers lie: beside the model, so that they survive the checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOGS = "logs"
# What transformers' callback reads.
_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"


@contextmanager
def logs_beside(out: Path) -> Iterator[None]:
    """Have trackers that are made meanwhile write files into `logs` of a model's folder.

    A folder that the user's environment names wins.
    """
    if _TENSORBOARD in os.environ:
        yield
        return
    os.environ[_TENSORBOARD] = str(out / LOGS)
    try:
        yield
    finally:
        del os.environ[_TENSORBOARD]
