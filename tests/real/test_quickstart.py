"""The commands of the quick start (docs/quickstart.md), as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct import __version__
from selfinstruct.engines.machine import installed_vllm
from tests.real.conftest import Cli
from tests.test_docs import runnable_blocks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]


def test_the_command_is_installed() -> None:
    installed = Path(sys.executable).parent / "selfinstruct"
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(__version__)


def test_the_commands_of_the_quick_start(warm: Path, cli: Cli, tmp_path: Path) -> None:
    """One after the other, in a folder of its own."""
    script = "\n".join(runnable_blocks()).replace("source .venv/bin/activate", "")
    assert script.count("selfinstruct generate") == 3
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{warm.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(cli("audit", "summary", str(tmp_path / "outputs" / "first"), "--json"))
    assert summary["tasks"] == 40
    answers = (tmp_path / "outputs" / "first" / "answered.jsonl").read_text().splitlines()
    assert len(answers) >= 40
    assert "# first" in (tmp_path / "outputs" / "first" / "README.md").read_text()
