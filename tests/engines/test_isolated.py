"""Work in another process: its answer, its errors, and its death reach whoever waits."""

from __future__ import annotations

import os
from functools import partial

import pytest

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.engines.isolated import Advance, apart


def counted(last: int, advance: Advance) -> tuple[int, int]:
    for number in range(1, last + 1):
        advance(number, last)
    return os.getpid(), last


def refused(advance: Advance) -> None:
    raise ConfigError("no such model")


def killed(advance: Advance) -> None:
    os._exit(7)


def test_it_answers_from_another_process_and_tells_of_its_progress() -> None:
    told: list[tuple[int, int]] = []
    pid, last = apart(partial(counted, 3), lambda *step: told.append(step), "tiny")
    assert pid != os.getpid()
    assert (last, told) == (3, [(1, 3), (2, 3), (3, 3)])


def test_its_errors_are_raised_here() -> None:
    with pytest.raises(ConfigError, match="no such model"):
        apart(refused, lambda *_: None, "tiny")


def test_its_death_is_said() -> None:
    with pytest.raises(EngineError, match=r"the process that ran tiny died \(exit code 7\)"):
        apart(killed, lambda *_: None, "tiny")
