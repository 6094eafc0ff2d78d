"""The scores of the shipped seed tasks by the bundled model, which come with the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct.engines.machine import installed_vllm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]
HERE = Path(__file__).resolve().parent


def test_they_are_what_the_engine_says(tmp_path: Path) -> None:
    """They are found under today's name: templates, seeds and model are those they were made of."""
    cache = {"SELFINSTRUCT_CACHE": str(tmp_path)}
    from selfinstruct.models import CATALOGUE, prepared_path

    (tmp_path / "models").symlink_to(prepared_path(CATALOGUE["bundled"]).parent)
    done = subprocess.run(
        [sys.executable, HERE / "drive_calibration.py"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **cache},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["shipped"] == found["names"], "run scripts/ship_calibration.py"
    assert not found["cached"]
    assert len(found["made"]) > 48
    for made, known in zip(found["made"], found["known"], strict=True):
        assert made[:3] == known[:3]
        assert made[3] == pytest.approx(known[3], abs=1e-3, nan_ok=True)
