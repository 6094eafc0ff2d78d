"""The libraries that training needs: checks that they are installed, and silences them."""

from __future__ import annotations

import os

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import extra_line, version_of

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")


def require_trl() -> None:
    """Check that the libraries are installed, before anything is loaded.

    Raises:
        ConfigError: a library is missing. Says what to install.
    """
    missing = [name for name in _LIBRARIES if version_of(name) is None]
    if missing:
        raise ConfigError(
            f"training needs {', '.join(missing)}; install with: {extra_line('train')}"
        )


def quiet() -> None:
    """Switch off the libraries' own progress bars."""
    # TRL reads this when it starts its bar over the reference model's passes.
    os.environ["TQDM_DISABLE"] = "1"
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
