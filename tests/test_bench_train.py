"""scripts/bench_train.py: its pairs, its losses, and one arm of each side on a tiny model."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("trl")

from tests.train.tiny import tiny_model

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("bench_train")


def test_training_and_held_out_data_have_nothing_in_common(bench: ModuleType) -> None:
    for kind in bench.KINDS:
        train, held = bench.data(kind, 100)
        assert (len(train), len(held)) == (100, bench.HELD_OUT[kind])
        assert not {row.id for row in train} & {row.id for row in held}
    every, _ = bench.data("dpo", 10_000)
    assert all(pair.chosen != pair.rejected for pair in every)


def test_a_policy_that_is_its_reference_has_the_loss_of_a_coin(
    bench: ModuleType, tmp_path: Path
) -> None:
    path = tiny_model(tmp_path / "tiny").path
    _, held = bench.data("dpo", 10)
    assert bench.held_out_loss("dpo", path, path, held[:4]) == pytest.approx(math.log(2))
    other = tiny_model(tmp_path / "other", eos="<stop>").path
    assert bench.held_out_loss("dpo", other, path, held[:4]) > 0


def test_the_loss_of_rows_is_that_of_all_their_answer_tokens(
    bench: ModuleType, tmp_path: Path
) -> None:
    """Against log-softmax by hand, over two rows of different length."""
    import torch
    from transformers import AutoModelForCausalLM

    path = tiny_model(tmp_path / "tiny").path
    _, held = bench.data("sft", 10)
    rows, _ = bench.encoded("sft", held[:2], path)
    network = AutoModelForCausalLM.from_pretrained(path)
    nats = []
    for row in rows:
        with torch.no_grad():
            scores = network(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        nats += [
            float(scores[place - 1, label])
            for place, label in enumerate(row.labels)
            if label != -100
        ]
    found = bench.held_out_loss("sft", path, path, held[:2])
    assert found == pytest.approx(-sum(nats) / len(nats), rel=1e-4)


@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
def test_an_arm_of_each_side(bench: ModuleType, kind: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "tiny")
    theirs, own = (bench.run_arm(kind, arm, str(model.path), 16, 2) for arm in bench.ARMS[1:3])
    for figures in (theirs, own):
        assert figures["tokens"] > 1000
        assert figures["seconds"] > 0
    if kind != "sft":  # packs have other boundaries than padded batches
        assert theirs["tokens"] == own["tokens"]
