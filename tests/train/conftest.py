"""A model that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct.common.records import LocalModel
from tests.train.tiny import tiny_model


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    return tiny_model(tmp_path / "tiny")
