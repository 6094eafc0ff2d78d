"""Commands that are killed, stopped or refused while the real engine loads and works."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from selfinstruct.engines.machine import installed_vllm
from selfinstruct.store import Run, open_run
from tests.real.conftest import COLD, TARGET, Cli, generate_arguments

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]


def exported(cli: Cli, run: Path, folder: Path) -> bytes:
    out = folder / "export.jsonl"
    cli("export", str(run), "--format", "messages", "--out", str(out))
    return out.read_bytes()


def kill_once(command: list[str], out: Path, *, after_commits: int) -> None:
    """Start a run and kill it once so many of its rounds are on disk and it works on."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            done = list(out.glob("rounds/0*"))
            if (out / "run.yaml").exists() and len(done) >= after_commits:
                time.sleep(0.5)
                break
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        process.send_signal(signal.SIGKILL)


def test_killed_twice_and_resumed_exports_the_same_bytes(
    whole: Run, cli: Cli, warm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    arguments = generate_arguments(out, "--resume")
    kill_once([str(warm), *arguments], out, after_commits=0)
    kill_once([str(warm), *arguments], out, after_commits=1)
    assert open_run(out).rounds(), "the second kill was to come after a commit"
    cli(*arguments)
    assert exported(cli, out, tmp_path) == exported(cli, whole.path, tmp_path)
    # The same run grows when the target is raised, and keeps what it has.
    cli("generate", "--out", str(out), "--resume", "--target", str(TARGET + 4))
    assert json.loads(cli("audit", "summary", str(out), "--json"))["tasks"] == TARGET + 4
    assert exported(cli, out, tmp_path).startswith(exported(cli, whole.path, tmp_path))


def test_terminated_politely_says_how_to_resume(warm: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [warm, *generate_arguments(out)], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "run.yaml").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        message = process.stderr.read()
    assert process.returncode == 130
    assert "--resume" in message
    assert "Traceback" not in message
    status = open_run(out).status()
    assert (status["state"], status["reason"]) == ("stopped", "interrupted")


def test_interrupted_while_the_model_loads(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with subprocess.Popen(
        [*COLD, *generate_arguments(out)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "loading bundled" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(3)  # well within vLLM's own imports
        # As Ctrl-C, but for a shell that starts its background jobs with SIGINT ignored.
        process.send_signal(signal.SIGTERM)
        message = process.stderr.read()
    assert process.returncode == 130, message
    assert "--resume" in message
    assert "Traceback" not in message
    assert not (tmp_path / "deep").exists()


def test_an_option_that_vllm_does_not_know_is_refused(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    message = cli(*generate_arguments(out, "--set", "engine.options.warp=9"), expect=2)
    assert "warp" in message
    assert "Traceback" not in message
    assert not (tmp_path / "deep").exists()
