"""A root with a run in it, the service over it, and a browser where the machine brings one."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, sync_playwright

from selfinstruct.store import Run
from selfinstruct.web.app import create_app
from selfinstruct.web.security import Access, Guard, access_for
from tests.web.script import script

Generate = Callable[..., tuple[Run, str]]

PROGRAM = (sys.executable, str(Path(__file__).with_name("scripted_cli.py")))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OPEN = access_for("127.0.0.1", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of runs, with a model in it that the scripted engine takes."""
    folder = tmp_path / "root"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "tiny" / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def run(root: Path, generate: Generate) -> Run:
    """A run of the scripted model, in the root."""
    return generate(root / "first", script, stop__target=12)[0]


@pytest.fixture
def app(root: Path) -> Guard:
    return create_app(root, OPEN, PROGRAM)


@pytest.fixture
def client(app: Guard) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8700")


@contextmanager
def serving(root: Path, access: Access = OPEN) -> Iterator[str]:
    """Serve a root on a free port; yield the address."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(root, access, PROGRAM),
            port=0,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
