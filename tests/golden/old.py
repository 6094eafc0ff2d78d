"""Make a run with older code; `make.py` starts this with that code on the path.

PYTHONPATH=<old checkout> python tests/golden/old.py script.py NAME OUT
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.launch import launch

try:
    from selfinstruct.config.values import nested
except ImportError:  # where it was before
    from selfinstruct.config.schema import nested

SETTINGS = {
    "old_first": {"model.prompting": "base", "stop.target": 5},
    "old_chat": {
        "model.prompting": "chat",
        "instances.direct": False,
        "stop.target": 9,
        "propose.in_context": 6,
        "propose.from_seeds": 4,
    },
    "old_filterless": {"model.prompting": "base", "stop.target": 5},
}


def main(name: str, out: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "golden_script", Path(__file__).parent / "script.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["golden_script"] = script
    spec.loader.exec_module(script)
    voices = {
        "old_first": script.Voice("old"),
        "old_chat": script.Voice("old_chat", first=7, lists="chat", answers="chat"),
        "old_filterless": script.Voice("filterless"),
    }
    settings = {
        "model.name": "model",
        "seeds": "inputs/seeds.jsonl",
        "propose.per_round": 3,
        "stop.max_rounds": 2,
        "stop.min_yield": 0.0,
        **SETTINGS[name],
    }
    launch(
        out,
        nested(settings),
        resume=False,
        make_engine=lambda *_: ScriptedEngine(voices[name]),
        listen=lambda event: None,
        model_progress=lambda *_: None,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
