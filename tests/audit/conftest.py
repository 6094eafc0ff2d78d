"""One run for the tests of the audit, made once; each test has a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.store import Run, open_run

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture(scope="session")
def made() -> dict[str, Path]:
    """Folders of runs that were made in this session, by name."""
    return {}


def copy_of(name: str, made: dict[str, Path], make: Callable[[], Run], to: Path) -> Run:
    if name not in made:
        made[name] = make().path
    shutil.copytree(made[name], to)
    return open_run(to)


@pytest.fixture
def small(tmp_path: Path, generate: Generate, made: dict[str, Path]) -> Run:
    """25 tasks of about 60 candidates in three rounds, rejected for all sorts of reasons."""
    make = lambda: generate(tmp_path / "first", stop__target=25)[0]  # noqa: E731
    return copy_of("small", made, make, tmp_path / "small")


@pytest.fixture
def large(tmp_path: Path, generate: Generate, made: dict[str, Path]) -> Run:
    """About 1,200 candidates in four rounds; strata from a handful to hundreds."""
    values: dict[str, Any] = {
        "stop__target": 9999,
        "stop__max_rounds": 4,
        "novelty__threshold": 0.6,
    }
    make = lambda: generate(tmp_path / "first", propose__per_round=70, **values)[0]  # noqa: E731
    return copy_of("large", made, make, tmp_path / "large")
