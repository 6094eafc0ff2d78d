"""`selfinstruct serve`: it says where it is, asks for a token where it must, and ends on Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from selfinstruct.cli.app import run as cli


def start(root: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "selfinstruct", "serve", "--root", str(root)]
    return subprocess.Popen(
        [*command, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(service: subprocess.Popen[str], count: int) -> list[str]:
    assert service.stdout is not None
    return [service.stdout.readline().strip() for _ in range(count)]


def test_on_this_machine_alone(tmp_path: Path) -> None:
    service = start(tmp_path / "runs")
    try:
        (line,) = lines(service, 1)
        address = line.split()[-1]
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(f"{address}/api/v1/runs").json() == []
        assert (tmp_path / "runs").is_dir()
    finally:
        service.send_signal(signal.SIGINT)
        output = service.communicate(timeout=20)
    assert "Traceback" not in output[1]


def test_on_every_address_it_makes_a_token(tmp_path: Path) -> None:
    service = start(tmp_path, "--host", "0.0.0.0")
    try:
        where, once, token = lines(service, 3)
        port = where.rpartition(":")[2]
        address = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{address}/api/v1/runs").status_code == 401
        given = {"Authorization": f"Bearer {token.removeprefix('token: ')}"}
        assert httpx.get(f"{address}/api/v1/runs", headers=given).status_code == 200
        key = once.partition("key=")[2]
        with httpx.Client(base_url=address) as browser:
            assert browser.get(f"/login?key={key}").status_code == 200
            assert browser.get("/").status_code == 200
    finally:
        service.terminate()
        service.communicate(timeout=20)


def test_the_name_that_is_given_is_the_one_that_is_told(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--token", "t" * 16, "--allow-host", "localhost")
    service = start(tmp_path, *options)
    try:
        where, once = lines(service, 2)
        assert re.search(r" at http://localhost:\d+$", where)
        assert "http://localhost:" in once
    finally:
        service.terminate()
        service.communicate(timeout=20)


def test_what_cannot_be_served(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli(["serve", "--root", str(tmp_path), "--token", "short"]) == 2
    assert "at least 16" in capfd.readouterr().err
    assert cli(["serve", "--root", str(tmp_path), "--endpoint", "vllm:8000"]) == 2
    assert "--endpoint vllm:8000: is not the address" in capfd.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli(["serve", "--root", str(tmp_path / "file")]) == 2
    assert "check --root" in capfd.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert cli(["serve", "--root", str(tmp_path), "--port", port]) == 2
    assert "cannot be listened on" in capfd.readouterr().err
