"""The command line on a scripted engine: what the service's jobs run in these tests."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import selfinstruct.calibrate
import selfinstruct.engines.machine
import selfinstruct.engines.vllm
from selfinstruct.cli import main
from selfinstruct.engines.scripted import ScriptedEngine
from tests.web.script import script


def scripted(*_: Any) -> ScriptedEngine:
    return ScriptedEngine(script)


selfinstruct.engines.machine.require_vllm = lambda: None
selfinstruct.engines.vllm.VllmEngine = scripted  # type: ignore[assignment, misc]
calibrations = Path(tempfile.mkdtemp())
selfinstruct.calibrate.cache_folder = lambda: calibrations

if __name__ == "__main__":
    main()
