"""A run against vLLM's own server, which is killed in mid-run and started again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.vllm_server import VllmServer
from selfinstruct.common.records import ACCEPTED
from selfinstruct.engines.machine import detect_machine, installed_vllm
from selfinstruct.models import CATALOGUE, resolve_model
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.replay import replay
from tests.real.conftest import COLD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ci,
    # Ten minutes on a busy machine: a server is loaded twice.
    pytest.mark.skipif(not os.environ.get("SELFINSTRUCT_KILL"), reason="set SELFINSTRUCT_KILL=1"),
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]
TARGET, AWAY_SECONDS = 20, 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VllmServer]:
    model = resolve_model(CATALOGUE["bundled"].name, lambda *_: None)
    cores = ",".join(map(str, detect_machine().cores))
    with VllmServer(model.path, "bundled", tmp_path / "server.log", cores=cores) as server:
        yield server


def is_at_work(server: VllmServer, out: Path) -> bool:
    """Whether a round is committed, and the server writes for the next one."""
    return any(out.glob("rounds/0*")) and server.metric("num_requests_running") > 0


def requests_of(run: Run) -> Counter[str]:
    return Counter(c.id for number in run.rounds() for c in run.read_round(number).completions)


def test_a_server_that_is_away_for_a_while_costs_nothing_but_time(
    server: VllmServer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [*COLD, "generate", "--model", f"{server.url}#bundled", "--out", str(out)]
    command += ["--target", str(TARGET), "--seed", "0", "--prompting", "base"]
    command += ["--set", "propose.per_round=6", "--set", "instances.sampling.max_tokens=128"]
    command += ["--set", "likelihood.calibration=8"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as generate:
        while not is_at_work(server, out):
            assert generate.poll() is None, generate.stderr.read() if generate.stderr else ""
            time.sleep(0.1)
        server.kill()
        time.sleep(AWAY_SECONDS)
        assert generate.poll() is None, "it waits for the server"
        server.start()
        _, said = generate.communicate(timeout=1500)
    assert generate.returncode == 0, said
    assert f"{server.url} cannot be reached; trying again" in " ".join(said.split())
    run = open_run(out)
    assert replay(run) == []
    asked = requests_of(run)
    assert set(asked.values()) == {1}
    completions = [c for number in run.rounds() for c in run.read_round(number).completions]
    assert not [c.id for c in completions if c.error is not None]
    assert "failed" not in json.loads((out / "rounds" / "00000" / "round.json").read_text())
    for number in run.rounds():
        proposals = {id for id in asked if id.startswith(f"r{number:05d}") and "propose" in id}
        assert len(proposals) == 6
    tasks = [row for number in run.rounds() for row in run.instructions(number)]
    assert sum(row.verdict == ACCEPTED for row in tasks) == TARGET
