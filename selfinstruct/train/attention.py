"""How attention is computed: chosen for the machine, or by the user; checked before a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import install_line
from selfinstruct.common.suggest import did_you_mean

_FLASH = {
    "flash_attention_2": ("flash_attn", "flash-attn"),
    "flash_attention_3": ("flash_attn_interface", "flash-attn-3"),
    "flash_attention_4": ("flash_attn.cute", "flash-attn-4"),
}
_EVERYWHERE = ("sdpa", "eager", "flex_attention")


def attention_of(name: str | None) -> str:
    """Return what attention is computed by: the user's choice, flash where it is there, or sdpa."""
    import torch

    if name is not None:
        return name
    return "flash_attention_2" if torch.cuda.is_available() and _has("flash_attn") else "sdpa"


def check_attention(name: Any) -> None:
    """Refuse a way to compute attention that this machine lacks.

    Raises:
        ConfigError: it is unknown, needs a GPU, or needs a package. Says what to do.
    """
    if name is None or name in _EVERYWHERE:
        return
    import torch

    option = f"--attention {name}"
    is_kernel = "/" in str(name)
    if name not in _FLASH and not is_kernel:
        known = (*_EVERYWHERE, *_FLASH)
        raise ConfigError(
            f"{option}: there is no such attention; {did_you_mean(str(name), known)}there are: "
            f"{', '.join(known)}, and kernels of the hub, as kernels-community/flash-attn2"
        )
    if not torch.cuda.is_available():
        raise ConfigError(f"{option}: needs a GPU; leave it out, and sdpa is used")
    module, package = ("kernels", "kernels") if is_kernel else _FLASH[str(name)]
    if not _has(module):
        raise ConfigError(
            f"{option}: needs the package {package}, which is not installed; install it with: "
            f"{install_line(package)}"
        )


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False
