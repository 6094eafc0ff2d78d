"""A training that fails before there is a checkpoint leaves its folder as it found it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import ASKED, CHECKPOINTS, REPORT
from tests.train.sft_runs import train

pytestmark = pytest.mark.usefixtures("libraries")


@pytest.fixture
def libraries() -> None:
    for name in ("trl", "peft", "datasets"):
        pytest.importorskip(name)


def fails_with(error: BaseException) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("method", "error", "raised"),
    [
        ("_save_checkpoint", OSError(28, "No space left on device"), TrainError),
        ("training_step", RuntimeError("the device is gone"), RuntimeError),
        ("create_optimizer", ValueError("odd"), ValueError),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_failure_leaves_nothing(
    method: str,
    error: BaseException,
    raised: type[Exception],
    is_there: bool,
    model: LocalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import Trainer

    out = tmp_path / "a" / "b"
    if is_there:
        out.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Trainer, method, fails_with(error))
    with pytest.raises(raised, match=str(error.args[-1])):
        train(model, out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interruption_can_be_continued(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", fails_with(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train(model, out)
    assert (out / CHECKPOINTS / ASKED).is_file()
    with pytest.raises(ConfigError, match="was stopped; --resume continues it"):
        train(model, out)
    train(model, out, resume=True)
    assert (out / REPORT).is_file()


def test_a_field_that_trl_lacks_is_named_with_the_one_that_was_meant(
    model: LocalModel, tmp_path: Path
) -> None:
    meant = "--set lerning_rate: TRL's SFTConfig has no such field; did you mean 'learning_rate'?"
    with pytest.raises(ConfigError, match=meant.replace("?", r"\?")):
        train(model, tmp_path / "out", options={"lerning_rate": 1e-3})
    assert not (tmp_path / "out").exists()
