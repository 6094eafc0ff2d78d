"""Commands of selfinstruct without the seconds that imports take; see server.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@contextmanager
def warm_command(folder: Path) -> Iterator[Path]:
    """Start the warm process; yield what stands for the installed command `selfinstruct`.

    Its arguments are those of the command line; or a script (its name ends with .py) and those
    of the script.
    """
    socket, command = folder / "socket", folder / "selfinstruct"
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "VLLM_LOGGING_LEVEL": "ERROR"},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    client = f"{sys.executable} -IS {HERE / 'client.py'} {socket}"
    executable(
        command,
        # Room for all that these tests have under way at once.
        "export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-2}",
        f'exec {client} "$@"',
    )
    # What is `sys.executable` to the commands: some run others by it.
    executable(
        folder / "python",
        f'[ "$1 $2" = "-m selfinstruct" ] || exec {sys.executable} "$@"',
        f'shift 2; SELFINSTRUCT_TEST_FORKS=1 exec {command} "$@"',
    )
    try:
        yield command
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def executable(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
