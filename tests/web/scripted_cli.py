"""The command line on a scripted engine: what the service's jobs run in these tests."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from selfinstruct.cli import main
from selfinstruct.engines.registry import ENGINES
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate import calibrate
from tests.web.script import script


def scripted(*_: Any) -> ScriptedEngine:
    return ScriptedEngine(script)


def needs_nothing() -> None:
    """No package is missing."""


ENGINES[:] = [replace(kind, require=needs_nothing, build=scripted) for kind in ENGINES]
calibrations = Path(tempfile.mkdtemp())
calibrate.cache_folder = lambda: calibrations

if __name__ == "__main__":
    main()
