"""The real engine by both of its drivers, on the bundled model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.engines.machine import installed_vllm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]

HERE = Path(__file__).resolve().parent


def run_engine(script: str, driver: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / script), driver],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_both_drivers_give_the_same_completions() -> None:
    inside, outside = (run_engine("drive.py", driver) for driver in ("inprocess", "async"))
    for result in (inside, outside):
        assert result["finish"] == "error"
        assert "context of 512" in result["error"]
        assert result["same"] == [True] * 3
        assert result["reason"] == "scored"
        assert result["scored"] == pytest.approx(result["recorded"], abs=1e-3)
        for alone, whole in zip(result["alone"], result["whole"], strict=True):
            assert alone == pytest.approx(whole, abs=1e-3)
        assert 0 < result["usage"][1] < result["usage"][0]
    assert inside["text"] == outside["text"]
    assert inside["recorded"] == pytest.approx(outside["recorded"], abs=1e-5)


@pytest.mark.parametrize("driver", ["inprocess", "async"])
def test_scores_are_the_same_whatever_the_prompt_cache_holds(driver: str) -> None:
    found = run_engine("rescore.py", driver)
    # The longest text was in the cache itself when it came again.
    assert found["again"] >= 1
    assert len(found["cached"]) == 6
    for number, logprobs in found["cached"].items():
        assert logprobs == pytest.approx(found["uncached"][number], abs=0.1)  # of bfloat16
