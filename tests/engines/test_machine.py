"""A container's limits count, not the machine's."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from selfinstruct.engines import machine
from selfinstruct.engines.machine import Machine, can_compile, detect_machine, is_busy


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    return tmp_path


def test_without_limits_all_that_is_allowed_is_used(cgroup: Path) -> None:
    found = detect_machine()
    assert found.cores == tuple(sorted(os.sched_getaffinity(0)))
    assert found.memory_gb > 0


def test_the_limits_of_a_container(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("100000 100000\n")
    (cgroup / "memory.max").write_text(str(2 * 2**30))
    (cgroup / "memory.stat").write_text(f"anon {2**30}\nfile 77\n")
    found = detect_machine()
    assert len(found.cores) == 1
    assert found.memory_gb == pytest.approx(1.0)


def test_no_limit_is_no_limit(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("max 100000\n")
    (cgroup / "memory.max").write_text("max\n")
    assert detect_machine().cores == tuple(sorted(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("device", "fast", "dtype"),
    [("cpu", True, "bfloat16"), ("cpu", False, "float32"), ("gpu", False, "bfloat16")],
)
def test_dtype_that_suits_the_machine(device: str, fast: bool, dtype: str) -> None:
    assert Machine(device, (0,), fast, 8.0).dtype == dtype


@pytest.mark.parametrize(("memory", "cache"), [(0.5, 1), (8, 2), (24, 6), (500, 16)])
def test_the_cache_takes_a_quarter_of_the_free_memory(memory: float, cache: int) -> None:
    assert Machine("cpu", (0,), True, memory).kv_cache_gb == cache


def test_a_compiler_and_pythons_headers_are_needed_to_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CXX", "sh")  # any program
    assert can_compile()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not can_compile()
    monkeypatch.setenv("CXX", "sh")
    (tmp_path / "Python.h").unlink()
    assert not can_compile()


@pytest.mark.parametrize(
    ("loads", "busy"), [([3.0, 99.0, 2.0], False), ([80.0, 99.0, 2.0], True), ([], False)]
)
def test_only_its_own_cores_make_a_machine_busy(
    loads: list[float], busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: loads)
    assert is_busy((0, 2)) is busy
