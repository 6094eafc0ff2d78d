"""The samples that fork run in processes of their own: a fork of one with threads hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLES = sorted(path.name for path in HERE.glob("*_sample.py"))


def test_there_are_samples() -> None:
    assert SAMPLES == ["points_sample.py", "texts_and_engines_sample.py"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_of_faults_loses_nothing(sample: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / sample)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
