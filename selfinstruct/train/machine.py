"""What the machine offers a training: the one place that asks torch and looks for packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.installing import version_of
from selfinstruct.engines.machine import detect_machine

# Packages that change how a training runs. By the names of distributions: those of FlashAttention
# share their modules.
PACKAGES = (
    *("flash-attn", "flash-attn-3", "flash-attn-4"),
    *("kernels", "liger-kernel", "bitsandbytes"),
)
# The oldest GPUs (compute capability) of FlashAttention 2, and those of FlashAttention 3.
_FLASH_2, _FLASH_3 = (8, 0), (9, 0)
# Of the free memory: the rest is for what no estimate sees, such as fragments between blocks.
_USABLE = 0.9


@dataclass(frozen=True)
class Machine:
    """The device that a process trains on.

    Attributes:
        gpu: whether it is a GPU that CUDA knows. All else trains on the CPU.
        capability: of the GPU, as (major, minor).
        memory: free bytes of the device, for one of the processes that share it.
        bfloat16: whether the device is fast at it.
        packages: those of `PACKAGES` that are installed.
        processes: of the whole training.
    """

    gpu: bool
    capability: tuple[int, int] | None
    memory: int
    bfloat16: bool
    packages: frozenset[str]
    processes: int = 1

    @property
    def usable(self) -> int:
        """Bytes that a training may plan with."""
        return int(_USABLE * self.memory)

    @property
    def attention(self) -> str:
        """How attention is computed unless the user says so.

        Kernels of the hub are code from elsewhere, so only the user can ask for them.
        """
        if self.capability is not None:
            if self.capability[0] == _FLASH_3[0] and "flash-attn-3" in self.packages:
                return "flash_attention_3"
            if self.capability >= _FLASH_2 and "flash-attn" in self.packages:
                return "flash_attention_2"
        return "sdpa"


def this_machine(options: Mapping[str, Any] | None = None) -> Machine:
    """Return what this machine offers.

    Args:
        options: the user's fields of TRL's; `use_cpu` leaves a GPU alone.
    """
    import torch

    packages = frozenset(name for name in PACKAGES if version_of(name) is not None)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available() and not (options or {}).get("use_cpu"):
        device = int(os.environ.get("LOCAL_RANK", "0"))
        free, _ = torch.cuda.mem_get_info(device)
        return Machine(
            gpu=True,
            capability=torch.cuda.get_device_capability(device),
            memory=free,
            # Older GPUs emulate it, slower than float32.
            bfloat16=bool(torch.cuda.is_bf16_supported(including_emulation=False)),
            packages=packages,
            processes=processes,
        )
    shared_by = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Machine(
        gpu=False,
        capability=None,
        memory=int(detect_machine().memory_gb * 2**30) // shared_by,
        bfloat16=bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"}),
        packages=packages,
        processes=processes,
    )


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(line.split())
