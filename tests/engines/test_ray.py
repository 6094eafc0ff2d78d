"""Replicas on a local Ray: a run that goes on when one of two is killed, and bad beginnings."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import selfinstruct as si
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import EngineConfig
from selfinstruct.engines import registry
from selfinstruct.engines.replica import flags
from selfinstruct.store import open_run
from selfinstruct.verdicts.replay import replay
from tests.train.tiny import tiny_tokenizer


def test_arguments_become_flags() -> None:
    arguments = {"max_model_len": 64, "enforce_eager": True, "enable_chunked_prefill": False}
    assert flags({**arguments, "limit_mm_per_prompt": {"image": 0}, "seed": None}) == [
        *("--max-model-len", "64", "--enforce-eager", "--no-enable-chunked-prefill"),
        *("--limit-mm-per-prompt", '{"image": 0}'),
    ]


def test_without_ray_the_install_line_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "version_of", lambda _name: None)
    assert cli(["generate", "--engine", "ray", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "Ray is not installed; install it with:" in said
    assert "[ray]" in said
    assert not (tmp_path / "run").exists()


def test_only_ray_understands_replicas() -> None:
    assert EngineConfig(name="ray", replicas=2, address="local").replicas == 2
    with pytest.raises(ValueError, match="means nothing to the engine 'vllm'"):
        EngineConfig(name="vllm", replicas=2)


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """Random weights; heads as wide as vLLM's attention on a CPU wants them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path / "small"
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A cluster of this machine alone; yields its address.

    Its ports are given: the raylet gives agents 15 s to find one of their own, which a busy
    machine does not keep.
    """
    pytest.importorskip("ray")
    names = ("port", "dashboard-agent-grpc-port", "dashboard-agent-listen-port")
    names += ("metrics-export-port", "runtime-env-agent-port")
    ports = free_ports(len(names))
    ray = Path(sys.executable).parent / "ray"
    command = [str(ray), "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"]
    command += ["--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    command += [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    output = (tmp_path / "ray.log").open("wb")
    head = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    for _ in range(180):
        assert head.poll() is None, (tmp_path / "ray.log").read_text("utf-8")
        if b"Ray runtime started" in (tmp_path / "ray.log").read_bytes():
            break
        time.sleep(1)
    yield f"127.0.0.1:{ports[0]}"
    head.terminate()
    head.wait(60)
    output.close()


def proposals(path: Path) -> dict[str, tuple[str, int]]:
    run = open_run(path)
    rows = [c for n in run.rounds() for c in run.completions(n)]
    return {c.id: (c.text, c.request.seed) for c in rows if c.id.endswith("-propose")}


@pytest.mark.slow
@pytest.mark.ci
def test_a_killed_replica_loses_no_proposal(
    tmp_path: Path, small_model: Path, seeds_file: Path, cluster: str
) -> None:
    """In float32 both runs write the same: nothing depends on which replica writes, or dies."""
    settings = {
        "propose.per_round": 8,
        "propose.sampling.max_tokens": 96,
        "likelihood.quantile": None,
        "likelihood.seed_bound": False,
        "stop.min_yield": 0.0,
        "engine.kv_cache_gb": 1,
        "engine.threads": 1,
        "engine.max_num_seqs": 4,
        "engine.context_length": 2048,
    }
    common: dict[str, Any] = {
        "model": str(small_model),
        "seeds": seeds_file,
        "dtype": "float32",
        "prompting": "base",
        "max_rounds": 3,
        "settings": settings,
    }
    killed: list[int] = []

    def progress(event: Any) -> None:
        if isinstance(event, si.Working) and event.returned >= 2 and not killed:
            killed.append(0)
            threading.Thread(target=_kill_one_server, args=(killed,)).start()

    def served(out: Path, **more: Any) -> None:
        si.generate(out, engine="ray", address=cluster, replicas=2, **common, **more)

    served(tmp_path / "killed", progress=progress)
    assert killed[1:], "no server was killed"
    served(tmp_path / "calm")
    assert proposals(tmp_path / "killed") == proposals(tmp_path / "calm")
    assert len(proposals(tmp_path / "killed")) == 3 * 8
    assert replay(open_run(tmp_path / "killed")) == []
    meta = open_run(tmp_path / "killed").meta["model"]
    assert meta["digest"] == open_run(tmp_path / "calm").meta["model"]["digest"]
    # Other weights under the same name are refused.
    config = json.loads((small_model / "config.json").read_text("utf-8"))
    config["rms_norm_eps"] = 0.5
    (small_model / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ConfigError, match="is not the one that this run was made with"):
        served(tmp_path / "calm", resume=True)


def _kill_one_server(killed: list[int]) -> None:
    """Kill the first vLLM server that Ray started, as a crash would."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "vllm.entrypoints.openai.api_server" in words and "selfinstruct" in words:
            children = process.children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
            for child in children:
                child.kill()
            killed.append(process.pid)
            return
