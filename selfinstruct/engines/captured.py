"""Keep standard error of this process, C++ included, off the terminal while a model loads."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def captured_stderr() -> Iterator[dict[str, str]]:
    """Keep the output of vLLM's C++ and imports off the terminal while it loads.

    If the block fails, the yielded mapping has the output under `text`.
    """
    captured: dict[str, str] = {}
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        yield captured
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield captured
        except BaseException:
            file.seek(0)
            captured["text"] = file.read().decode(errors="replace")
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
