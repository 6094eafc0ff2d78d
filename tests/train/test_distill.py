"""Distillation on tiny models: what is learnt, both divergences against their figures, resume."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint
from selfinstruct.train.data.prompts import PromptSplit
from selfinstruct.train.health.verdict import Trouble
from selfinstruct.train.recipes.distill import DistillResult
from selfinstruct.train.recipes.dpo import HEALTH, PAGE
from selfinstruct.train.watching import TrainProgress
from tests.train.distill_runs import SYSTEM, always, next_word, one_mode, places, train, two_modes
from tests.train.rl_runs import PROMPTS
from tests.train.tiny import tiny_model


@dataclass(frozen=True)
class Trained:
    model: LocalModel
    out: Path
    result: DistillResult
    events: list[TrainProgress]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An uninterrupted prompt distillation."""
    folder = tmp_path_factory.mktemp("distill")
    model, out = tiny_model(folder / "tiny"), folder / "out"
    events: list[TrainProgress] = []
    return Trained(model, out, train(model, out, listen=events.append), events)


def test_the_student_answers_as_with_the_prompt(whole: Trained) -> None:
    from transformers import AutoModelForCausalLM

    out, result = whole.out, whole.result
    health = result.health
    assert (result.train_prompts, result.held_out_prompts, health.prompts) == (16, 32, 32)
    assert (result.kl, result.system) == ("forward", SYSTEM)
    # The prompted answers become likelier without the prompt, as far as the teacher finds them.
    assert health.gain.low > 0
    assert health.likelihood_before < health.likelihood < health.teacher + 0.02
    assert health.forward_change.high < 0
    assert [point.step for point in result.history] == [0, 4, 8, 12, 16]
    assert whole.events[-1].tokens == result.tokens > 0
    validated = [one for one in whole.events if one.validation_loss is not None]
    assert validated[-1].validation_loss == pytest.approx(result.history[-1].forward)
    told = json.loads((out / "training.json").read_text())
    assert (told["objective"], told["kl"], told["system"]) == ("distill", "forward", SYSTEM)
    assert told["health"] == json.loads((out / HEALTH).read_text())
    page = (out / PAGE).read_text()
    assert "<svg" in page
    assert SYSTEM in page
    assert not (out / CHECKPOINTS).exists()
    AutoModelForCausalLM.from_pretrained(out)


def test_what_was_saved_has_the_likelihood_that_was_reported(whole: Trained) -> None:
    """The teacher's answers are sampled again, by transformers, and scored by what was saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfinstruct.prompts.template import prompt_text

    tokenizer = AutoTokenizer.from_pretrained(whole.out)
    dtype = torch.float32
    student = AutoModelForCausalLM.from_pretrained(whole.out, dtype=dtype)
    before = AutoModelForCausalLM.from_pretrained(whole.model.path, dtype=dtype)
    system = {"role": "system", "content": SYSTEM}

    def likelihood(network: Any, turns: list[Any], answer: list[int]) -> float:
        text = prompt_text(turns, tokenizer)
        ids = tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([ids + answer])).logits[0]
        likely = logits[len(ids) - 1 : -1].log_softmax(-1)
        return float(likely.gather(1, torch.tensor(answer)[:, None]).mean())

    torch.manual_seed(0)
    gains = []
    for prompt in PROMPTS[16:48]:
        turns = list(prompt.messages)
        text = prompt_text([system, *turns], tokenizer)
        ids = tokenizer.encode(text, add_special_tokens=False)
        written = before.generate(
            input_ids=torch.tensor([ids]),
            do_sample=True,
            top_k=0,
            max_new_tokens=8,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        answer = written[0, len(ids) :].tolist()
        gains.append(likelihood(student, turns, answer) - likelihood(before, turns, answer))
    # Other samples than those of the watch: the same within their noise.
    assert sum(gains) / len(gains) == pytest.approx(whole.result.health.gain.mean, abs=0.25)
    assert sum(gains) > 0


@pytest.fixture(scope="module")
def modes(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalModel, LocalModel, Any]:
    """A one-mode student, a two-mode teacher, and the teacher's next word."""
    folder = tmp_path_factory.mktemp("modes")
    student, teacher = one_mode(folder / "student"), two_modes(folder / "teacher")
    return student, teacher, next_word(teacher.path)


def moments(likely: Any) -> tuple[float, float]:
    """Return mean and variance of the place of a word on the line."""
    line = places(len(likely))
    mean = float((likely * line).sum())
    return mean, float((likely * line**2).sum()) - mean**2


MODES: dict[str, Any] = {
    "answer_tokens": 1,
    "steps": 80,
    "fresh": 2,
    "options": {
        "learning_rate": 1e-2,
        "eval_steps": 80,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
    },
}


def test_forward_kl_covers_both_modes(
    modes: tuple[LocalModel, LocalModel, Any], tmp_path: Path
) -> None:
    """Within an exponential family it matches moments: those of both of the teacher's modes."""
    student, teacher, theirs = modes
    assert moments(theirs) == pytest.approx((-0.1, 0.25), abs=0.01)
    train(student, tmp_path / "out", teacher, kl="forward", **MODES)
    ours = next_word(tmp_path / "out")
    assert moments(ours) == pytest.approx(moments(theirs), abs=0.02)
    line = places(len(ours))
    # It also covers what lies between, where the teacher writes nothing.
    between = (line > -0.2) & (line < 0.2)
    assert float(theirs[between].sum()) < 0.01
    assert float(ours[between].sum()) > 0.15
    assert 0.3 < float(ours[line > 0].sum()) < 0.5


@pytest.mark.parametrize("side", [-1, 1])
def test_reverse_kl_takes_one_mode(
    side: int, modes: tuple[LocalModel, LocalModel, Any], tmp_path: Path
) -> None:
    """Each mode is a minimum of it: the student takes the one that it leans to.

    From the middle, where the gradient is near zero, the samples and the processor decide.
    """
    _, teacher, theirs = modes
    student = one_mode(tmp_path / "student", lean=side * 0.03)
    began = next_word(student.path)
    line = places(len(began))
    assert 0.05 < side * moments(began)[0] < 0.3
    assert float(began[line * side < 0].sum()) > 0.2
    result = train(student, tmp_path / "out", teacher, kl="reverse", **{**MODES, "steps": 160})
    ours = next_word(tmp_path / "out")
    near = (line * side > 0.2) & (line * side < 0.8)
    assert float(ours[near].sum()) > 0.95
    # The mode's own mean and width, and not those of both.
    own = theirs * (line * side > 0)
    assert moments(ours) == pytest.approx(moments(own / own.sum()), abs=0.02)
    # Half of what the teacher writes is lost, and that is said.
    assert Trouble.MODES_LOST in [one.trouble for one in result.health.warnings]
    assert result.history[-1].forward > result.history[0].forward


@pytest.mark.parametrize(("kl", "writer"), [("forward", "teacher"), ("reverse", "student")])
def test_whose_answers_are_learnt_from(
    kl: str, writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher writes one letter, and the student begins with another."""
    from selfinstruct.train.recipes.distill_trainer import Trainer

    student, teacher = always(tmp_path / "s", "s"), always(tmp_path / "t", "t")
    seen: list[str] = []
    compute = Trainer._compute_loss

    def noted(self: Any, network: Any, inputs: Any, items: Any) -> Any:
        seen.extend(self.processing_class.batch_decode(inputs["completion_ids"]))
        return compute(self, network, inputs, items)

    monkeypatch.setattr(Trainer, "_compute_loss", noted)
    train(student, tmp_path / "out", teacher, kl=kl, steps=1, answer_tokens=3)
    letter = writer[0]
    assert set(seen) == {letter * 3}


def test_the_loss_is_the_divergence_by_hand(model: LocalModel, tmp_path: Path) -> None:
    """One step without a change: TRL's loss against both divergences, in float64 by hand."""
    import torch

    from selfinstruct.train.recipes.distill_trainer import Trainer

    found: list[tuple[float, Any]] = []
    compute = Trainer._compute_loss

    def noted(self: Any, network: Any, inputs: Any, items: Any) -> Any:
        result = compute(self, network, inputs, items)
        found.append((float(result[0]), (self, inputs)))
        answers = inputs["completion_ids"]

        def words(one: Any, ids: Any, mask: Any) -> Any:
            whole = torch.cat([ids, answers], 1)
            masks = torch.cat([mask, inputs["completion_mask"]], 1)
            with torch.no_grad():
                logits = one(input_ids=whole, attention_mask=masks).logits
            return logits[:, -answers.size(1) - 1 : -1].double().log_softmax(-1)

        ours = words(network, inputs["prompt_ids"], inputs["prompt_mask"])
        theirs = words(self.teacher_model, inputs["teacher_ids"], inputs["teacher_mask"])
        first, second = (theirs, ours) if self.beta == 0 else (ours, theirs)
        each = (first.exp() * (first - second)).sum(-1) * inputs["completion_mask"]
        expected = float(each.sum()) / float(items)
        assert float(result[0]) == pytest.approx(expected, rel=2e-2)
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "_compute_loss", noted)
        for kl in ("forward", "reverse"):
            train(model, tmp_path / kl, kl=kl, steps=1, method="full")
    assert len(found) == 4
    assert all(loss > 0 for loss, _ in found)


def test_killed_and_resumed_ends_as_if_it_had_not_been(whole: Trained, tmp_path: Path) -> None:
    out = tmp_path / "killed"

    def stop(event: TrainProgress) -> None:
        if event.step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(whole.model, out, listen=stop)
    assert last_checkpoint(out / CHECKPOINTS) is not None
    with pytest.raises(ConfigError, match="--resume continues"):
        train(whole.model, out)
    with pytest.raises(ConfigError, match="other values of kl"):
        train(whole.model, out, resume=True, kl="reverse")
    with pytest.raises(ConfigError, match="other values of"):
        train(whole.model, out, resume=True, system="Answer with a number.")
    again = train(whole.model, out, resume=True)
    assert [point.step for point in again.history] == [point.step for point in whole.result.history]
    last = whole.result.history[-1]
    assert again.history[-1].likelihoods == pytest.approx(last.likelihoods, abs=1e-4)
    assert again.tokens == whole.result.tokens


def test_all_weights_by_reverse_kl(model: LocalModel, tmp_path: Path) -> None:
    options = {"learning_rate": 3e-3}
    result = train(model, tmp_path / "out", kl="reverse", method="full", options=options)
    assert result.health.reverse_change.high < 0


def test_no_prompt_is_held_out(model: LocalModel, tmp_path: Path) -> None:
    result = train(model, tmp_path / "out", split=PromptSplit(PROMPTS[:9], []), steps=3)
    assert result.health.warnings[0].trouble is Trouble.FEW
    assert [point.step for point in result.history] == [0, 3]


def test_the_best_student_is_saved_where_patience_was_asked_for(
    model: LocalModel, tmp_path: Path
) -> None:
    result = train(model, tmp_path / "out", steps=8, patience=1)
    best = min(result.history[1:], key=lambda point: point.forward)
    assert result.health.forward == best.forward


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 24}, "0 of 16 prompts after --prompt leave room for an answer of 8 tokens"),
        ({"options": {"warp": 9}}, "has no such field"),
        ({"options": {"beta": 0.5}}, "beta: set by selfinstruct itself"),
        ({"options": {"use_vllm": True}}, "--kl forward needs the teacher's answers"),
        ({"options": {"gradient_accumulation_steps": 50}}, "16 prompts to train on are too few"),
        ({"patience": 2, "split": PromptSplit(PROMPTS, [])}, "--patience: needs prompts"),
    ],
)
def test_what_cannot_be_trained(
    model: LocalModel, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(model, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_models_that_end_their_answers_otherwise_are_refused(tmp_path: Path) -> None:
    """Both have one vocabulary."""
    ends = "{% for m in messages %}{{ m.content }}{{ end }}{% endfor %}"
    student = tiny_model(
        tmp_path / "s", template=ends.replace("{{ end }}", "<stop>"), control=["<stop>"]
    )
    teacher = tiny_model(
        tmp_path / "t", template=ends.replace("{{ end }}", "<end>"), control=["<stop>"]
    )
    with pytest.raises(ConfigError, match=r"the student ends its answers with '<stop>'.*--eos-tok"):
        train(student, tmp_path / "out", teacher)
