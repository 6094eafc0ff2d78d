"""A server of vLLM on this machine, started and stopped by what measures or tests with it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_STARTS_WITHIN = 900.0  # seconds, on a busy machine


class VllmServer:
    """Serves a model on loopback, as `vllm serve` does; the `with` block ends it.

    Args:
        model: its folder.
        name: under which it is served.
        log: file of the server's output.
        sequences: that run at once.
        context: most tokens of a prompt and its completion.
        dtype: of weights and activations.
        cores: that it is bound to, on a CPU.
        kv_cache_gb: of the prompt cache, on a CPU.
        more: further options of `vllm serve`, by name.
        shares: its cores do other work too: its threads sleep while they wait, which is a third
            slower on cores of their own (scripts/bench_neighbour.py).
    """

    def __init__(
        self,
        model: Path,
        name: str,
        log: Path,
        *,
        sequences: int = 64,
        context: int = 4096,
        dtype: str = "bfloat16",
        cores: str | None = None,
        kv_cache_gb: int = 2,
        more: Mapping[str, Any] | None = None,
        shares: bool = True,
    ) -> None:
        self.port = _free_port()
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        # The same settings as in process (engines/vllm.py); a prefill is never cut.
        self._command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        for key, value in {
            "model": model,
            "served-model-name": name,
            "port": self.port,
            "host": "127.0.0.1",
            "dtype": dtype,
            "max-model-len": context,
            "max-num-batched-tokens": max(context, 2048),
            "max-num-seqs": sequences,
            **(more or {}),
        }.items():
            self._command += [f"--{key}", str(value)]
        self._command += ["--enforce-eager", "--no-enable-chunked-prefill"]
        own = {
            "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gb),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_SERVER_DEV_MODE": "1",  # has /reset_prefix_cache
            **({"OMP_WAIT_POLICY": "PASSIVE"} if shares else {}),
            **({"VLLM_CPU_OMP_THREADS_BIND": cores} if cores is not None else {}),
        }
        self._environment = {**os.environ, **own}

    @property
    def url(self) -> str:
        """The root of its interface."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> VllmServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; the end of its output is shown.
        """
        with self.log.open("ab") as out:
            # A session of its own: it has children, and they end together.
            self._process = subprocess.Popen(
                self._command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._get("/health") is not None:
                return
            time.sleep(0.2)
        self.kill()
        tail = "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-20:])
        raise RuntimeError(f"vLLM's server did not start:\n{tail}")

    def kill(self) -> None:
        """Kill it with its children, as a machine that goes down would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def metric(self, name: str) -> float:
        """Return one of vLLM's own counts, such as `num_requests_running`; 0 if it has none."""
        text = self._get("/metrics") or ""
        values = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def reset_prefix_cache(self) -> None:
        """Forget the beginnings of prompts; nothing may be in flight."""
        address = f"http://127.0.0.1:{self.port}/reset_prefix_cache"
        urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=60).close()

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return str(reply.read().decode())
        except (urllib.error.URLError, OSError):
            return None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
