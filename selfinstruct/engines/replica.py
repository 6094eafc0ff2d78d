"""One vLLM server that is started and watched: what a Ray actor holds on its node."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SERVED = "selfinstruct"
"""The name under which a replica serves its model."""

_LAST = 2000  # characters of a server's output that an error shows
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Replica:
    """A vLLM server in a process of its own; it is started again when it dies.

    The server ends with the process that holds this, whatever ends that (Linux).

    Args:
        arguments: engine arguments of vLLM, by their Python names.
        environment: variables to set for the server.
        host: address that it listens at, and that others reach it by.
    """

    def __init__(
        self, arguments: Mapping[str, Any], environment: Mapping[str, str], host: str
    ) -> None:
        self._arguments, self._host = dict(arguments), host
        self._environment = {**os.environ, **environment}
        self._output = Path(tempfile.mkdtemp(prefix="selfinstruct-")) / "server.log"
        self._starts = 0
        self._start()

    def state(self) -> tuple[str, int, str]:
        """Return (URL, or nothing while it loads; starts so far; why the last server ended).

        A server that has ended is started again.
        """
        code = self._server.poll()
        ended = ""
        if code is not None:
            ended = f"exit code {code}: {self._tail()}"
            self._start()
        return self._url if self._is_ready() else "", self._starts, ended

    def pid(self) -> int:
        """Return the process id of the server."""
        return self._server.pid

    def stop(self) -> None:
        """End the server."""
        self._server.terminate()
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _start(self) -> None:
        with socket.socket() as taken:
            taken.bind((self._host, 0))
            port = taken.getsockname()[1]
        self._url = f"http://{self._host}:{port}/v1"
        listen = {"host": self._host, "port": port, "served_model_name": SERVED}
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += flags({**self._arguments, **listen})
        with self._output.open("wb") as output:
            self._server = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (it only calls prctl)
            )
        self._starts += 1

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._url + "/models", timeout=5) as reply:  # noqa: S310
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _tail(self) -> str:
        text = self._output.read_text("utf-8", errors="replace")
        return text[-_LAST:].strip()


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return engine arguments as flags of vLLM's command line.

    Example:
        >>> flags({"max_model_len": 2048, "enforce_eager": True, "enable_prefix_caching": False})
        ['--max-model-len', '2048', '--enforce-eager', '--no-enable-prefix-caching']
    """
    words = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, dict | list):
            words += [f"--{flag}", json.dumps(value)]
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return words


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
