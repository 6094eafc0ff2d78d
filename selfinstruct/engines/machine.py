"""Detect this machine, and the engine settings that suit it (measured; see docs/engine.md)."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import (
    TORCH_CPU,
    check_libraries,
    check_torch_builds,
    extra_line,
    torch_cpu_line,
    version_of,
    vllm_cpu_lines,
)

# On two cores, 128 sequences at once make a small model three to four times as fast as 8.
_CPU_SEQUENCES = 128
# How long the load of the cores is watched, and from which mean load on they count as busy.
_WATCHED_SECONDS, _BUSY = 0.25, 0.4
_CGROUP = Path("/sys/fs/cgroup")  # a container's own limits (cgroup v2)


@dataclass(frozen=True, slots=True)
class Machine:
    """The device that the installed vLLM is built for, and its resources."""

    device: str
    cores: tuple[int, ...]
    fast_bfloat16: bool
    memory_gb: float

    @property
    def dtype(self) -> str:
        """The fastest type without a loss of accuracy on bfloat16 weights."""
        return "bfloat16" if self.device == "gpu" or self.fast_bfloat16 else "float32"

    @property
    def kv_cache_gb(self) -> int:
        """A quarter of the free memory, between 1 and 16 GiB."""
        return max(1, min(16, int(self.memory_gb / 4)))

    @property
    def max_num_seqs(self) -> int | None:
        """Sequences at once; None on a GPU, where vLLM chooses."""
        return _CPU_SEQUENCES if self.device == "cpu" else None


def detect_machine() -> Machine:
    """Detect the installed vLLM, the allowed cores, the CPU's flags and the free memory."""
    flags = _cpu_flags()
    return Machine(
        device="gpu" if version_of("vllm") else "cpu",
        cores=_allowed_cores(),
        fast_bfloat16=bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        memory_gb=_free_memory_gb(),
    )


def bound_cores(threads: int | str | None, allowed: Sequence[int]) -> str:
    """Return the cores to bind as vLLM names them: those given, as many as given, or all allowed.

    Where fewer are allowed than given, as on a smaller machine, all of them are.
    """
    if isinstance(threads, str):
        return threads
    return ",".join(map(str, allowed[:threads]))


def is_busy(cores: Sequence[int]) -> bool:
    """Whether other work has these cores: watches them for a quarter of a second, and waits."""
    import psutil  # comes with vLLM

    loads = psutil.cpu_percent(interval=_WATCHED_SECONDS, percpu=True)
    own = [loads[core] for core in cores if core < len(loads)]
    return bool(own) and sum(own) / len(own) >= 100 * _BUSY


def installed_vllm() -> str | None:
    """Return the name of the installed vLLM package, `vllm` or `vllm-cpu`, if any."""
    return next((name for name in ("vllm", "vllm-cpu") if version_of(name)), None)


def can_compile() -> bool:
    """Tell whether torch.compile works on this CPU: it needs a C++ compiler and Python's headers.

    torch takes the compiler that the environment variable CXX names, or g++.
    """
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which(os.environ.get("CXX", "g++")) is not None and headers.is_file()


def require_vllm() -> None:
    """Check that vLLM can be imported, by what is installed, without importing it.

    Raises:
        ConfigError: no vLLM is installed, or beside a torch that it does not work with. Says what
            to install or remove.
    """
    kind = installed_vllm()
    if kind is None:
        raise ConfigError(
            f"vLLM is not installed\n  on a CPU: {vllm_cpu_lines()}\n"
            f"  where the index has no {TORCH_CPU}, first: {torch_cpu_line()}\n"
            f"  on a GPU: {extra_line('gpu')}"
        )
    torch = version_of("torch")
    wanted = TORCH_CPU.removeprefix("torch==")
    if kind == "vllm-cpu" and (torch or "").partition("+")[0] != wanted.partition("+")[0]:
        raise ConfigError(
            f"vllm-cpu needs {TORCH_CPU}, and there is {torch or 'none'}; install it with: "
            + torch_cpu_line()
        )
    check_torch_builds()
    if kind == "vllm-cpu":
        check_libraries()


def _cpu_flags() -> set[str]:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _allowed_cores() -> tuple[int, ...]:
    """Return the cores that this process may use: its affinity, cut to a container's quota."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        return cores[: max(1, round(int(quota) / int(period)))]
    return cores


def _free_memory_gb() -> float:
    """Return the free memory in GiB: the machine's, or less if a container has a limit."""
    free = _field(_read(Path("/proc/meminfo")), "MemAvailable:", default=4 * 2**20) / 2**20
    limit = _read(_CGROUP / "memory.max").strip()
    if limit.isdigit():
        used = _field(_read(_CGROUP / "memory.stat"), "anon", default=0)
        free = min(free, (int(limit) - used) / 2**30)
    return free


def _field(text: str, name: str, *, default: int) -> int:
    """Return the number after a name, in a text of `name number` lines."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return default


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
