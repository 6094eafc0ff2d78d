"""Grow a few seed tasks into a filtered instruction dataset with a language model.

Self-Instruct (Wang et al. 2022, arXiv:2212.10560) on vLLM. What is in `__all__` is the public
API (docs/python.md); README.md shows the command line.

    import selfinstruct as si

    run = si.generate("outputs/first", target=200, model="bundled")
    rows = run.to_dataset("messages")

Names are loaded as they are first used: `import selfinstruct` alone loads no library.
"""

from __future__ import annotations

import sys

__version__ = "0.1.0"

# As type checkers know it; to import `typing` for it takes longer than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selfinstruct.api import (
        Exported,
        Run,
        compact,
        converse,
        export,
        generate,
        import_dataset,
        open_run,
        probe_model,
        revise,
    )
    from selfinstruct.audit.queries import Summary
    from selfinstruct.common.errors import (
        ConfigError,
        EngineError,
        PublishError,
        SeedError,
        SelfInstructError,
        StoreError,
        WriteError,
    )
    from selfinstruct.common.progress import Conversed, Event, RoundCommitted, Working
    from selfinstruct.common.revisions import Revised
    from selfinstruct.dataset.rows import ExportRow
    from selfinstruct.store.compact import Compacted
    from selfinstruct.verdicts.replay import Difference

__all__ = [
    "Compacted",
    "ConfigError",
    "Conversed",
    "Difference",
    "EngineError",
    "Event",
    "ExportRow",
    "Exported",
    "PublishError",
    "Revised",
    "RoundCommitted",
    "Run",
    "SeedError",
    "SelfInstructError",
    "StoreError",
    "Summary",
    "Working",
    "WriteError",
    "compact",
    "converse",
    "export",
    "generate",
    "import_dataset",
    "open_run",
    "probe_model",
    "revise",
]

# Where each name comes from; tests/test_api.py compares this with the two lists above.
_HOMES = {
    "api": (
        "Exported",
        "Run",
        "compact",
        "converse",
        "export",
        "generate",
        "import_dataset",
        "open_run",
        "probe_model",
        "revise",
    ),
    "audit.queries": ("Summary",),
    "common.errors": (
        "ConfigError",
        "EngineError",
        "PublishError",
        "SeedError",
        "SelfInstructError",
        "StoreError",
        "WriteError",
    ),
    "common.progress": ("Conversed", "Event", "RoundCommitted", "Working"),
    "common.revisions": ("Revised",),
    "dataset.rows": ("ExportRow",),
    "store.compact": ("Compacted",),
    "verdicts.replay": ("Difference",),
}

# `generate` is a function of the API and a folder of this package. Python gives a folder's name
# to the package once, when the folder is first imported: do that now, and take the name back.
__import__("selfinstruct.generate")
del sys.modules[__name__].__dict__["generate"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"selfinstruct.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'selfinstruct' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
