"""The loss of fine-tuning by hand: packs, batches, the lean way, validation, other losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import DivergedError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import REPORT
from selfinstruct.train.data.encode import IGNORED, encode_rows, prepare_tokenizer
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import task_row
from tests.train.sft_runs import ROWS, SPLIT, TALKS, tokenizer_of, train


def test_packed_samples_do_not_see_each_other(model: LocalModel, tmp_path: Path) -> None:
    """The loss of two rows in one pack is that of the two apart."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model.path, attn_implementation="sdpa").eval()
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    rows = encode_rows(ROWS[:2], tokenizer, max_length=256, diverse=False, seed=0).rows
    ids = [one.input_ids for one in rows]
    packed = torch.tensor([ids[0] + ids[1]])
    positions = torch.tensor([[*range(len(ids[0])), *range(len(ids[1]))]])
    with torch.no_grad():
        both = network(packed, position_ids=positions, use_cache=False).logits[0]
        alone = [network(torch.tensor([one]), use_cache=False).logits[0] for one in ids]
    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


class CaughtError(Exception):
    """The trainer, caught before it trains."""


@pytest.mark.parametrize(
    ("batch_size", "split"),
    [(1, SPLIT), (2, SPLIT), (1, Split(TALKS, [], [])), (2, Split(TALKS, [], []))],
)
def test_the_loss_of_a_batch_of_packs_is_that_of_its_rows_apart(
    model: LocalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    split: Split,
) -> None:
    """What the trainer really computes, collator and mask included, against the plain formula."""
    import torch
    from transformers import AutoModelForCausalLM

    from selfinstruct.train.recipes.sft_trainer import Trainer

    def stop(trainer: Any, **_: Any) -> None:
        raise CaughtError(trainer)

    monkeypatch.setattr(Trainer, "train", stop)
    monkeypatch.setattr("selfinstruct.train.recipes.sft._PACK", 100)
    options = {"per_device_train_batch_size": batch_size}
    with pytest.raises(CaughtError) as caught:
        train(model, tmp_path / "out", split, method="full", diverse=False, options=options)
    trainer = caught.value.args[0]
    batches = list(trainer.get_train_dataloader())
    assert max(batch["input_ids"].shape[1] for batch in batches) > 80  # a row has about 45
    found = [float(trainer.compute_loss(trainer.model, dict(batch)).detach()) for batch in batches]
    learnt = [int((batch["labels"] != IGNORED).sum()) for batch in batches]
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    network = AutoModelForCausalLM.from_pretrained(model.path).eval()
    total = 0.0
    for row in encode_rows(split.train, tokenizer, max_length=256, diverse=False, seed=0).rows:
        with torch.no_grad():
            logits = network(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        total -= sum(
            float(logits[place - 1, label])
            for place, label in enumerate(row.labels)
            if label != IGNORED
        )
    whole = sum(loss * count for loss, count in zip(found, learnt, strict=True))
    assert whole == pytest.approx(total, rel=1e-4)


def test_the_lean_loss_has_the_gradient_of_the_whole_one(model: LocalModel) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from selfinstruct.train.recipes.sft_trainer import learnt_loss

    network = AutoModelForCausalLM.from_pretrained(model.path)
    ids = torch.arange(40).reshape(2, 20) % 50 + 3
    labels = ids.clone()
    labels[0, :11] = IGNORED
    labels[1, :15] = IGNORED
    gradients = []
    for lean in (True, False):
        network.zero_grad()
        if lean:
            total, learnt = learnt_loss(network, {"input_ids": ids, "labels": labels})
            assert learnt == 9 + 5
            loss = total / learnt
        else:
            loss = network(ids, labels=labels).loss
        loss.backward()
        gradients.append([one.grad.clone() for one in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_validation_loss_is_per_token_and_not_per_pack(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs of different size count by what is learnt in them."""
    import torch
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("selfinstruct.train.recipes.sft._PACK", 100)
    long = task_row("long", "x", "Name a colour.", "blue and red and green and white, all of them")
    split = Split(ROWS[:20], [ROWS[20], ROWS[21], ROWS[22], long], [])
    out = tmp_path / "out"
    options = {"num_train_epochs": 1, "learning_rate": 0.0}
    result = train(model, out, split, method="full", diverse=False, options=options)
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    network = AutoModelForCausalLM.from_pretrained(out).eval()
    total, count = 0.0, 0
    held = encode_rows(split.validation, tokenizer, max_length=256, diverse=False, seed=0)
    for row in held.rows:
        with torch.no_grad():
            labels = torch.tensor([row.labels])
            learnt = int((labels != IGNORED).sum())
            total += float(network(torch.tensor([row.input_ids]), labels=labels).loss) * learnt
            count += learnt
    assert [loss for _, loss in result.validation_losses] == [
        pytest.approx(total / count, rel=1e-4)
    ]


def test_options_that_change_the_loss_are_not_passed_over(
    model: LocalModel, tmp_path: Path
) -> None:
    first = {
        name: train(
            model,
            tmp_path / name,
            diverse=False,
            options={"num_train_epochs": 1, "learning_rate": 0.0, **options},
        ).losses[0][1]
        for name, options in (
            ("plain", {}),
            ("smooth", {"label_smoothing_factor": 0.5}),
            ("dft", {"loss_type": "dft"}),
        )
    }
    assert first["smooth"] != pytest.approx(first["plain"], rel=1e-3)
    assert first["dft"] != pytest.approx(first["plain"], rel=1e-3)


def test_a_loss_that_is_no_number_stops_at_once(model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+, in a batch that"):
        train(
            model,
            tmp_path / "out",
            method="full",
            options={"learning_rate": 1e30, "max_grad_norm": 0.0, "warmup_steps": 0},
        )
    assert not (tmp_path / "out" / REPORT).exists()
