"""Training in two processes, on half a batch each, against one with the whole."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import REPORT
from tests.train import dpo_runs, sft_runs

pytestmark = pytest.mark.slow
ONE = {"OMP_NUM_THREADS": "1"}  # as torchrun sets it


def launch(
    warm: Path, kind: str, data: Path, model: LocalModel, processes: int, *more: str
) -> dict[str, Any]:
    """Train eight rows a step; return the report.

    Two processes: by torchrun, as a user would, or by forks that are told what it tells.
    """
    out, batch = data.parent / f"by-{processes}", str(8 // processes)
    words = ["train", kind, "--data", str(data), "--model", str(model.path), "--out", str(out)]
    words += ["--max-length", "128", "--learning-rate", "0.005", *more]
    options = {"bf16": "false", "gradient_accumulation_steps": "1"}
    options |= {"per_device_train_batch_size": batch, "per_device_eval_batch_size": batch}
    for name, value in options.items():
        words += ["--set", f"{name}={value}"]
    commands = [([str(warm), *words], ONE)]
    if processes > 1 and kind == "sft":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += ["--nproc_per_node", str(processes), "-m", "selfinstruct"]
        commands = [([*torchrun, *words], ONE)]
    elif processes > 1:
        commands = [([str(warm), *words], rank) for rank in ranks(processes)]
    assert "".join(output_of(commands)).count("trained on") == 1
    return json.loads((out / REPORT).read_text())  # type: ignore[no-any-return]


def ranks(processes: int) -> list[dict[str, str]]:
    """What torchrun tells each of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {name: str(processes) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    return [
        {**ONE, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)
    ]


def output_of(commands: Sequence[tuple[list[str], dict[str, str]]]) -> list[str]:
    """Run commands side by side, each with some more environment; return what each printed."""

    def run(command: list[str], more: dict[str, str]) -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    with ThreadPoolExecutor() as pool:
        return list(pool.map(run, *zip(*commands, strict=True)))


def written(path: Path, lines: Iterable[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def losses(report: dict[str, Any]) -> list[float]:
    return [loss for _, loss in report["losses"]]


def test_two_processes_train_as_one(warm: Path, model: LocalModel, tmp_path: Path) -> None:
    rows = ({"prompt": row.users[0], "completion": row.answer} for row in sft_runs.ROWS)
    data = written(tmp_path / "rows.jsonl", rows)
    more = ("--full", "--epochs", "3", "--validation", "0", "--set", "packing=false")
    more += ("--set", "average_tokens_across_devices=true")
    one, two = (launch(warm, "sft", data, model, processes, *more) for processes in (1, 2))
    assert two["steps"] == one["steps"]
    assert two["tokens"] == pytest.approx(one["tokens"], rel=0.1)
    assert losses(two) == pytest.approx(losses(one), rel=0.01)
    # It learnt, so that steps of processes that go their own ways would differ.
    assert losses(one)[-1] < 0.9 * losses(one)[0]


@pytest.mark.parametrize("method", [("--full",), ()])
def test_two_processes_prefer_as_one(
    warm: Path, model: LocalModel, tmp_path: Path, method: tuple[str, ...]
) -> None:
    pairs = (
        {"prompt": one.messages[0]["content"], "chosen": one.chosen, "rejected": one.rejected}
        for one in dpo_runs.ROWS
    )
    data = written(tmp_path / "pairs.jsonl", pairs)
    more = ("--epochs", "2", "--held-out", "0.25", "--fresh", "4", "--fresh-tokens", "8", *method)
    one, two = (launch(warm, "dpo", data, model, processes, *more) for processes in (1, 2))
    assert two["steps"] == one["steps"]
    # A policy that is its reference: the reference's part is that of the right pairs.
    assert losses(two)[0] == pytest.approx(math.log(2), abs=1e-5)
    assert two["health"]["pairs"] == one["health"]["pairs"] == 16
    assert two["health"]["margin"]["mean"] == pytest.approx(
        one["health"]["margin"]["mean"], rel=0.02
    )
    assert losses(one)[-1] < 0.9 * losses(one)[0]
    assert losses(two) == pytest.approx(losses(one), rel=0.02)
