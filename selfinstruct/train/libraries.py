"""The libraries that training needs: whether they are there, and that they keep quiet."""

from __future__ import annotations

import os
from importlib.util import find_spec

from selfinstruct.common.errors import ConfigError


def require_trl() -> None:
    """Say what to install before anything is loaded.

    Raises:
        ConfigError: a library is missing.
    """
    missing = [name for name in ("trl", "peft", "datasets") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: not installed, and training needs it; "
            "install selfinstruct[train], or run ./scripts/setup.sh"
        )


def quiet() -> None:
    """Leave progress to the listener."""
    # TRL's own bar over the reference model's passes looks here as it begins.
    os.environ["TQDM_DISABLE"] = "1"
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
