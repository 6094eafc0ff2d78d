"""Training on a tiny model: what is learnt, that samples stay apart, resume, bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.errors import ConfigError, DivergedError, TrainError
from selfinstruct.prompts.canonical import canonical_text
from selfinstruct.records import LocalModel, Message
from selfinstruct.train.checkpoints import REPORT, last_checkpoint
from selfinstruct.train.encode import ENCODINGS, IGNORED, encode_rows, prepare_tokenizer
from selfinstruct.train.progress import TrainProgress
from selfinstruct.train.rows import Split, TrainRow
from selfinstruct.train.sft import (
    SftResult,
    SftSettings,
    train_sft,
)
from tests.train.tiny import tiny_model

COLOURS = ("red", "blue", "green", "white", "black", "brown")
ROWS = [
    TrainRow(
        f"r{n}", f"Name colour {n}.", f"Name colour {n}.", COLOURS[n % 6], n // 6, f"p{n // 2}"
    )
    for n in range(24)
]
SPLIT = Split(ROWS[:20], ROWS[20:], [])
QUICK: dict[str, Any] = {"num_train_epochs": 2, "learning_rate": 5e-3, "bf16": False}


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    return tiny_model(tmp_path / "tiny")


def tokenizer_of(model: LocalModel) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model.path)


def train(
    model: LocalModel,
    out: Path,
    split: Split = SPLIT,
    listen: Any = lambda event: None,
    **settings: Any,
) -> SftResult:
    resume = settings.pop("resume", False)
    options = {**QUICK, **settings.pop("options", {})}
    how = SftSettings(max_length=settings.pop("max_length", 256), options=options, **settings)
    return train_sft(split, model, out, how, listen, resume=resume)


def test_the_template_that_a_base_model_gets_writes_the_canonical_text(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    assert prepare_tokenizer(tokenizer)
    messages = [
        Message(role="user", content="Name it.\n\nA dog."),
        Message(role="assistant", content="Rex"),
        Message(role="user", content="And now?"),
    ]
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # The same characters, but for the marks that raw text does not have.
    assert chat.replace("<start>", "").replace("<end>", "") == canonical_text(messages)


def test_the_loss_is_on_the_answer_and_its_end_alone(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    found = encode_rows(ROWS, tokenizer, max_length=256, diverse=False, seed=0)
    for row, one in zip(ROWS, found.rows, strict=True):
        learnt = [token for token in one.labels if token != IGNORED]
        assert tokenizer.decode(learnt) == f"{row.answer}<end>"
        assert one.input_ids[-len(learnt) :] == learnt
        prompt = tokenizer.decode(one.input_ids[: -len(learnt)])
        assert prompt == f"<start>### Task\n{row.user}\n\n### Answer\n"
    assert found.too_long == []


def test_half_of_the_rows_of_a_base_model_are_put_otherwise(model: LocalModel) -> None:
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    rows = [TrainRow(str(n), "u", f"user {n}", "answer") for n in range(300)]
    found = encode_rows(rows, tokenizer, max_length=256, diverse=True, seed=0)
    texts = [tokenizer.decode(one.input_ids) for one in found.rows]
    canonical = sum("### Task" in text for text in texts)
    assert 110 < canonical < 190
    for encoding in ENCODINGS:
        written = [f"<start>{encoding.format(user=row.user)}answer<end>" for row in rows]
        assert set(written) & set(texts), encoding
    again = encode_rows(rows, tokenizer, max_length=256, diverse=True, seed=0)
    assert [one.input_ids for one in again.rows] == [one.input_ids for one in found.rows]


def test_rows_that_are_too_long_are_left_out_and_counted(model: LocalModel, tmp_path: Path) -> None:
    long = TrainRow("long", "x", "x" * 400, "y")
    result = train(model, tmp_path / "out", Split([long, *ROWS[:8]], [long], []))
    assert (result.too_long, result.train_rows, result.validation_rows) == (2, 8, 0)
    with pytest.raises(ConfigError, match="all 1 rows have more than 64 tokens"):
        train(model, tmp_path / "other", Split([long], [], []), max_length=64)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_learns_and_what_it_saves_loads(model: LocalModel, tmp_path: Path, method: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    events: list[TrainProgress] = []
    result = train(
        model,
        tmp_path / "out",
        listen=events.append,
        method=method,
        diverse=False,
        patience=0,
        options={"num_train_epochs": 40, "learning_rate": 0.02 if method == "lora" else 5e-3},
    )
    assert result.losses[-1][1] < 0.7 * result.losses[0][1]
    assert result.tokens > 0
    assert any(event.validation_loss is not None for event in events)
    assert events[-1].step == events[-1].steps == result.steps
    out = tmp_path / "out"
    assert not (out / "checkpoints").exists()
    assert json.loads((out / REPORT).read_text())["steps"] == result.steps
    trained = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert trained.generation_config.eos_token_id == tokenizer.eos_token_id == 1
    assert "lora" not in str(type(trained)).lower()
    before = AutoModelForCausalLM.from_pretrained(model.path)
    assert any(
        not bool((one == other).all())
        for one, other in zip(trained.parameters(), before.parameters(), strict=True)
    )
    assert tokenizer.chat_template
    assert sorted(path.suffix for path in out.iterdir() if path.suffix == ".safetensors")


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


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_loss_of_a_batch_of_packs_is_that_of_its_rows_apart(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    """What the trainer really computes, collator and mask included, against the plain formula."""
    import torch
    from transformers import AutoModelForCausalLM

    from selfinstruct.train.sft_trainer import Trainer

    def stop(trainer: Any, **_: Any) -> None:
        raise CaughtError(trainer)

    monkeypatch.setattr(Trainer, "train", stop)
    monkeypatch.setattr("selfinstruct.train.sft._PACK", 100)
    options = {"per_device_train_batch_size": batch_size}
    with pytest.raises(CaughtError) as caught:
        train(model, tmp_path / "out", method="full", diverse=False, options=options)
    trainer = caught.value.args[0]
    batches = list(trainer.get_train_dataloader())
    assert max(batch["input_ids"].shape[1] for batch in batches) > 80  # a row has about 45
    found = [float(trainer.compute_loss(trainer.model, dict(batch)).detach()) for batch in batches]
    learnt = [int((batch["labels"] != IGNORED).sum()) for batch in batches]
    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    network = AutoModelForCausalLM.from_pretrained(model.path).eval()
    total = 0.0
    for row in encode_rows(SPLIT.train, tokenizer, max_length=256, diverse=False, seed=0).rows:
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

    from selfinstruct.train.sft_trainer import learnt_loss

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


@pytest.mark.slow
def test_two_processes_train_as_one(model: LocalModel, tmp_path: Path) -> None:
    """Two processes with half a batch each give the losses of one with the whole batch."""
    import subprocess
    import sys

    data = tmp_path / "rows.jsonl"
    lines = ({"prompt": row.user, "completion": row.answer} for row in ROWS)
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = ["--data", str(data), "--model", str(model.path), "--max-length", "128", "--full"]
    common += ["--epochs", "3", "--set", "bf16=false", "--set", "gradient_accumulation_steps=1"]
    common += ["--set", "packing=false", "--learning-rate", "0.005", "--validation", "0"]
    common += ["--set", "average_tokens_across_devices=true"]

    def launch(out: str, processes: int, batch: int) -> dict[str, Any]:
        words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        words += ["--nproc_per_node", str(processes)]
        words += ["-m", "selfinstruct", "train", "sft", *common, "--out", str(tmp_path / out)]
        words += ["--set", f"per_device_train_batch_size={batch}"]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("trained on") == 1
        return json.loads((tmp_path / out / REPORT).read_text())  # type: ignore[no-any-return]

    one, two = launch("one", 1, 8), launch("two", 2, 4)
    assert two["steps"] == one["steps"]
    assert two["tokens"] == pytest.approx(one["tokens"], rel=0.1)
    for (_, alone), (_, shared) in zip(one["losses"], two["losses"], strict=True):
        assert shared == pytest.approx(alone, rel=0.01)
    # It learnt, so that steps of processes that go their own ways would differ.
    assert one["losses"][-1][1] < 0.9 * one["losses"][0][1]


def test_the_validation_loss_is_per_token_and_not_per_pack(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs of different size count by what is learnt in them."""
    import torch
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("selfinstruct.train.sft._PACK", 100)
    long = TrainRow("long", "x", "Name a colour.", "blue and red and green and white, all of them")
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


def test_resume_refuses_another_training(model: LocalModel, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options={"num_train_epochs": 3})
    for changed, named in (
        ({"split": Split(ROWS[:18], ROWS[20:], [])}, "training rows"),
        ({"seed": 5}, "seed"),
        ({"options": {"num_train_epochs": 4}}, "options"),
    ):
        given: dict[str, Any] = {"options": {"num_train_epochs": 3}, **changed}
        with pytest.raises(ConfigError, match=f"begun with other values of .*{named}"):
            train(model, out, resume=True, **given)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no training was begun in it"):
        train(model, mine, resume=True)
    assert (mine / "config.json").read_text() == "{}"


def test_tokens_and_seconds_are_those_of_all_processes(model: LocalModel, tmp_path: Path) -> None:
    options = {"num_train_epochs": 3}
    whole = train(model, tmp_path / "whole", options=options)

    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, tmp_path / "out", listen=stop, options=options)
    assert train(model, tmp_path / "out", resume=True, options=options).tokens == whole.tokens


def test_adapters_of_four_bits_are_merged_into_the_models_own_weights(
    model: LocalModel, tmp_path: Path
) -> None:
    """What QLoRA does at its end; the training itself needs a GPU."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from selfinstruct.train.network import merged_network

    def adapted() -> Any:
        torch.manual_seed(1)
        base = AutoModelForCausalLM.from_pretrained(model.path)
        adapter = LoraConfig(
            r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        return get_peft_model(base, adapter)

    tokenizer = tokenizer_of(model)
    prepare_tokenizer(tokenizer)
    spoiled = adapted()
    for name, weight in spoiled.named_parameters():
        if "lora" not in name:
            weight.data.zero_()  # stands for weights of 4 bits, which are not to be used
    found = merged_network(spoiled, tokenizer, model, "qlora")
    wanted = merged_network(adapted(), tokenizer, model, "lora")
    for one, other in zip(found.parameters(), wanted.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_killed_and_resumed_gives_the_same_losses(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of an epoch of many packs; adapters and batches go on alike."""
    monkeypatch.setattr("selfinstruct.train.sft._PACK", 60)
    options = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 2}
    options |= {"eval_strategy": "steps", "eval_steps": 2}
    whole = train(model, tmp_path / "whole", options=options, patience=0)
    assert whole.steps > 20

    def stop(event: TrainProgress) -> None:
        if event.step >= 11:
            raise KeyboardInterrupt

    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options=options, patience=0)
    found = last_checkpoint(out / "checkpoints")
    assert found is not None
    assert found.name == "checkpoint-10"
    with pytest.raises(ConfigError, match="--resume goes on"):
        train(model, out, options=options, patience=0)
    resumed = train(model, out, resume=True, options=options, patience=0)
    assert resumed.steps == whole.steps
    assert dict(resumed.losses) == pytest.approx(dict(whole.losses), abs=1e-4)
    assert dict(resumed.validation_losses) == pytest.approx(dict(whole.validation_losses), abs=1e-4)


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (30, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-10"


def test_a_loss_that_is_no_number_stops_at_once(model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+, in a batch that"):
        train(
            model,
            tmp_path / "out",
            method="full",
            options={"learning_rate": 1e30, "max_grad_norm": 0.0, "warmup_steps": 0},
        )
    assert not (tmp_path / "out" / REPORT).exists()


def test_a_full_disk_leaves_the_last_whole_checkpoint(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def full_disk(self: Any, *args: Any) -> None:
        if self.state.epoch > 1.5:
            raise OSError(28, "No space left on device")
        save(self, *args)

    monkeypatch.setattr(Trainer, "_save_checkpoint", full_disk)
    with pytest.raises(TrainError, match="No space left on device"):
        train(model, tmp_path / "out", options={"num_train_epochs": 3})
    assert last_checkpoint(tmp_path / "out" / "checkpoints") is not None


def test_a_disk_that_is_really_full(model: LocalModel, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk; libraries fail in their own ways."""
    import subprocess
    import sys

    data = tmp_path / "rows.jsonl"
    lines = ({"prompt": row.user, "completion": row.answer} for row in ROWS)
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "selfinstruct", "train", "sft", "--data", str(data)]
    command += ["--model", str(model.path), "--out", str(tmp_path / "out"), "--full"]
    command += ["--epochs", "1", "--set", "bf16=false", "--max-length", "128"]
    limited = "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    limited += "os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", limited, *command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / REPORT).exists()


def test_early_stopping(model: LocalModel, tmp_path: Path) -> None:
    result = train(
        model,
        tmp_path / "out",
        patience=1,
        options={"num_train_epochs": 50, "learning_rate": 0.05},
    )
    losses = [loss for _, loss in result.validation_losses]
    assert len(losses) < 50
    assert losses[-1] > min(losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warp": 9}, "TRL refuses its options"),
        ({"output_dir": "x"}, "output_dir: set by selfinstruct itself"),
        ({"packing_strategy": "x"}, "TRL refuses its options"),
        ({"load_best_model_at_end": True, "eval_strategy": "no"}, "TRL refuses its options"),
    ],
)
def test_options_that_cannot_be(
    model: LocalModel, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(model, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_four_bits_need_a_gpu(model: LocalModel, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="needs a GPU"):
        train(model, tmp_path / "out", method="qlora")


def test_a_template_that_ends_answers_otherwise_is_refused(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<turn>{{ m['content'] }}<turn>{% endfor %}"
        "{% if add_generation_prompt %}<turn>{% endif %}"
    )
    model = tiny_model(tmp_path / "tiny", template=template)
    with pytest.raises(ConfigError, match="would not stop"):
        train(model, tmp_path / "out")
    fitting = tiny_model(tmp_path / "other", template=template, eos="<turn>")
    result = train(fitting, tmp_path / "out", options={"num_train_epochs": 1})
    assert math.isfinite(result.losses[-1][1])


def test_a_folder_that_holds_something_is_refused(model: LocalModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        train(model, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_an_adapter_alone(model: LocalModel, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    train(model, tmp_path / "out", merge=False)
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    base = AutoModelForCausalLM.from_pretrained(model.path)
    assert PeftModel.from_pretrained(base, tmp_path / "out") is not None
