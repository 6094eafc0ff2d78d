"""Ctrl-C in an open round: what is kept is said, and the process ends soon, whatever computes."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from selfinstruct.cli import ends_at_once
from selfinstruct.store import open_run
from selfinstruct.store.open_rounds import open_path, read_open

ROOT = Path(__file__).resolve().parents[2]
GOAL = 2.0  # seconds from Ctrl-C to the end of the process


def started(out: Path, seeds: Path, model: Path) -> subprocess.Popen[str]:
    """Start a run that does not end by itself."""
    command = [sys.executable, "-m", "tests.cli.stuck_cli", "generate", "--out", str(out)]
    command += ["--target", "9999", "--seeds", str(seeds), "--model", str(model)]
    command += ["--prompting", "base", "--set", "likelihood.seed_bound=false"]
    command += ["--set", "propose.per_round=40", "--set", "propose.sizes=equal"]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )


def test_it_is_answered_within_two_seconds(
    tmp_path: Path, seeds_file: Path, model_folder: Path
) -> None:
    out = tmp_path / "run"
    with started(out, seeds_file, model_folder) as process:
        while len(read_open(open_path(out, 0)).rows) < 3:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = " ".join(process.stderr.read().split())
        process.wait()
        seconds = time.monotonic() - pressed
    assert process.returncode == 130, said
    assert seconds < GOAL
    kept = len(read_open(open_path(out, 0)).rows)
    assert "committed: 0 rounds with 0 of 9999 tasks" in said
    assert f"kept of the open rounds: {kept} of 40 requests known so far" in said
    assert f"--resume asks for the other {40 - kept}" in said
    assert re.search(r"about \d+:\d\d left of the open rounds", said)
    assert re.search(r"selfinstruct generate .*--resume", said)
    assert "Traceback" not in said
    status = open_run(out).status()
    assert (status["state"], status["reason"]) == ("stopped", "interrupted")


@pytest.mark.parametrize(
    ("code", "loaded", "ray", "children", "at_once"),
    [
        (130, ["vllm"], False, [], True),
        (130, ["torch"], False, [], True),
        (130, [], False, [], False),
        (0, ["vllm", "torch"], False, [], False),
        (3, ["vllm", "torch"], False, [], False),
        (130, ["vllm"], True, [], False),
        (130, ["vllm"], False, ["a process"], False),
    ],
)
def test_whether_the_clean_up_of_libraries_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    loaded: list[str],
    ray: bool,
    children: list[str],
    at_once: bool,
) -> None:
    for name in ("vllm", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in loaded:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: ray))
    monkeypatch.setattr(multiprocessing, "active_children", lambda: children)
    assert ends_at_once(code) is at_once


def test_native_code_that_still_runs_is_left_behind() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="vllm-engine", daemon=True)
    thread.start()
    try:
        assert ends_at_once(0)
    finally:
        stop.set()
        thread.join()
    assert not ends_at_once(0)
