"""How attention is computed: chosen for the machine, or by the user; checked before a model."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import install_line
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.train import machine

# The package of each.
_FLASH = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn-3",
    "flash_attention_4": "flash-attn-4",
}
_EVERYWHERE = ("sdpa", "eager", "flex_attention")


def is_in_blocks(name: str) -> bool:
    """Whether it skips what rows of a pack must not see, instead of computing and masking it."""
    return "flash" in name or name == "flex_attention"


def check_attention(name: Any) -> None:
    """Refuse a way to compute attention that this machine lacks.

    Raises:
        ConfigError: it is unknown, needs a GPU, or needs a package. Says what to do.
    """
    if name is None or name in _EVERYWHERE:
        return
    option = f"--attention {name}"
    is_kernel = "/" in str(name)
    if name not in _FLASH and not is_kernel:
        known = (*_EVERYWHERE, *_FLASH)
        raise ConfigError(
            f"{option}: there is no such attention; {did_you_mean(str(name), known)}there are: "
            f"{', '.join(known)}, and kernels of the hub, as kernels-community/flash-attn2"
        )
    here = machine.this_machine()
    if not here.gpu:
        raise ConfigError(f"{option}: needs a GPU; leave it out, and sdpa is used")
    package = "kernels" if is_kernel else _FLASH[str(name)]
    if package not in here.packages:
        raise ConfigError(
            f"{option}: needs the package {package}, which is not installed; install it with: "
            f"{install_line(package)}"
        )
