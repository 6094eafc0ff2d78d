"""Many short trainings over one loaded model, each scored by references, without generation.

The trainer is that of `selfinstruct train sft`, with its encoding, packs, loss and arguments.
What differs: the base model is loaded once and gets a fresh adapter for each training, and
references are scored by a forward pass of the adapted model, not by an engine over merged weights.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.prompts.canonical import user_text
from selfinstruct.prompts.template import prompt_text
from selfinstruct.train.arguments import check_settings, trl_arguments
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.data.encode import IGNORED, Encoded, prepare_tokenizer
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import TrainRow
from selfinstruct.train.machine import this_machine
from selfinstruct.train.network import Loading, load_network, load_tokenizer
from selfinstruct.train.recipe import Examples, Job
from selfinstruct.train.recipes.sft import SFT, SftSettings

# Tokens of a pack of references: attention costs by its square.
PACK = 1024


@dataclass(frozen=True)
class Stage:
    """Rows that are learnt together, and how."""

    rows: Sequence[TrainRow]
    settings: SftSettings


@dataclass(frozen=True)
class Scored:
    """A training: nats per token of each reference by step, and what it took."""

    nats: dict[int, list[float]]
    losses: list[tuple[int, float]]
    tokens: int
    cpu_seconds: float


class Student:
    """A model that is trained again and again from its own weights."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.tokenizer = load_tokenizer(model)
        self._bare = not self.tokenizer.chat_template
        here = this_machine()
        loading = Loading("lora", SftSettings().lora_r, bfloat16=here.bfloat16)
        self.network, self.adapter = load_network(model, loading)

    def encoded(self, rows: Sequence[TrainRow], settings: SftSettings) -> Examples:
        """Return rows as `train sft` encodes them."""
        if self._bare:  # the template of an earlier training would hide that there was none
            self.tokenizer.chat_template = None
        return SFT.encode(Split(list(rows), [], []), self.tokenizer, settings)

    def score(self, tasks: Sequence[EvalTask], network: Any = None) -> list[float]:
        """Return the mean log-likelihood of each reference in nats per token."""
        prepare_tokenizer(self.tokenizer)
        encoded = [reference(task, self.tokenizer) for task in tasks]
        return mean_logprobs(self.network if network is None else network, encoded)

    def train(
        self,
        stages: Sequence[Stage],
        tasks: Sequence[EvalTask],
        at: Sequence[int],
    ) -> Scored:
        """Train a fresh adapter, stage after stage; score references after steps of the last."""
        began = time.process_time()
        network, adapter = self.network, self.adapter
        tokens = 0
        for stage in stages:
            last = stage is stages[-1]
            callbacks = [self._scorer(tasks, at)] if last else []
            trainer = self.trained(stage, network, adapter, callbacks)
            network, adapter = trainer.model, None
            tokens += trainer.reporter.tokens
        history = trainer.state.log_history
        self.network = network.unload()
        losses = [(row["step"], row["loss"]) for row in history if "loss" in row]
        return Scored(callbacks[0].nats, losses, tokens, time.process_time() - began)

    def trained(self, stage: Stage, network: Any, adapter: Any, callbacks: Sequence[Any]) -> Any:
        """Return the trainer after a stage; `adapter` is None where the network has one."""
        from selfinstruct.train.reporter import Reporter

        examples = self.encoded(stage.rows, stage.settings)
        with tempfile.TemporaryDirectory() as folder:
            job = Job(Split(list(stage.rows), [], []), self.model, Path(folder), stage.settings)
            config_class, trainer_class = SFT.classes()
            fields = trl_arguments(SFT, job, examples, check_settings(SFT, stage.settings))
            trainer = trainer_class(
                model=network,
                args=config_class(**{**fields, "save_strategy": "no"}),
                train_dataset=SFT.dataset(examples.train),
                processing_class=self.tokenizer,
                peft_config=adapter,
                callbacks=callbacks,
                reporter=Reporter(lambda _: None, Path(folder) / CHECKPOINTS),
            )
            trainer.train()
        return trainer

    def _scorer(self, tasks: Sequence[EvalTask], at: Sequence[int]) -> Any:
        """Return a callback with `nats`: those of each reference, by step."""
        from transformers import TrainerCallback

        score = self.score

        class Scorer(TrainerCallback):  # type: ignore[misc]
            def __init__(self) -> None:
                self.nats: dict[int, list[float]] = {}

            def on_step_end(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
                if state.global_step in at:
                    kwargs["model"].eval()
                    self.nats[state.global_step] = score(tasks, kwargs["model"])
                    kwargs["model"].train()

        return Scorer()


def reference(task: EvalTask, tokenizer: Any) -> Encoded:
    """Return a task as it is asked, and its reference to be scored, without an end."""
    user = user_text(task.instruction, task.input)
    before = tokenizer.encode(
        prompt_text([{"role": "user", "content": user}], tokenizer), add_special_tokens=False
    )
    scored = tokenizer.encode(task.reference, add_special_tokens=False)
    return Encoded(task.id, before + scored, [IGNORED] * len(before) + scored)


def mean_logprobs(network: Any, rows: Sequence[Encoded]) -> list[float]:
    """Return the mean log-likelihood of each row's labels, in nats per token."""
    import torch

    means: dict[str, float] = {}
    autocast = torch.autocast("cpu", torch.bfloat16) if this_machine().bfloat16 else nullcontext()
    with torch.inference_mode(), autocast:
        for pack in packs(rows):
            owners = [row.id for row in pack for label in row.labels[1:] if label != IGNORED]
            logprobs = (-pack_losses(network, pack)).tolist()
            for row in pack:
                own = [
                    value for owner, value in zip(owners, logprobs, strict=True) if owner == row.id
                ]
                means[row.id] = sum(own) / len(own)
    return [means[row.id] for row in rows]


def packs(rows: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Yield rows, the longest first, as many together as fit into a pack."""
    left = sorted(rows, key=lambda row: -len(row.input_ids))
    while left:
        pack, room = [left.pop(0)], PACK
        room -= len(pack[0].input_ids)
        for row in list(left):
            if len(row.input_ids) <= room:
                pack.append(row)
                left.remove(row)
                room -= len(row.input_ids)
        yield pack


def pack_losses(network: Any, pack: Sequence[Encoded]) -> Any:
    """Return the nats of every label of a pack whose rows do not see one another."""
    import torch
    from torch.nn.functional import cross_entropy

    ids = torch.tensor([[token for row in pack for token in row.input_ids]])
    # Positions begin anew with each row; by them transformers keeps the rows apart.
    places = torch.tensor([[place for row in pack for place in range(len(row.input_ids))]])
    # The first token of a row follows none.
    labels = torch.tensor([label for row in pack for label in [IGNORED, *row.labels[1:]]])
    following = torch.cat([labels[1:], torch.tensor([IGNORED])])
    keep = (following != IGNORED).nonzero().squeeze(1)
    logits = network(
        input_ids=ids, position_ids=places, use_cache=False, logits_to_keep=keep
    ).logits
    return cross_entropy(logits[0].float(), following[keep], reduction="none")
