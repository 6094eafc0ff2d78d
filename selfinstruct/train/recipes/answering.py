"""What every trainer does that has a model answer prompts as it trains.

Loading this file imports transformers, which takes seconds, so import this where the training
begins.
"""

from __future__ import annotations

from typing import Any, Protocol

from selfinstruct.common.draws import derive_seed
from selfinstruct.train.reporter import Reporting


class Watch(Protocol):
    """What measures a model before the first step and at each evaluation (`health.history`)."""

    def look(self) -> None: ...
    def metrics(self) -> dict[str, float]: ...


class Answering(Reporting):
    """What these trainers do besides: read our tokens, count them, and measure fresh answers."""

    watch: Watch  # which the recipe adds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The model learns to end with this token, and no other.
        kwargs["model"].generation_config.eos_token_id = kwargs["processing_class"].eos_token_id
        super().__init__(*args, **kwargs)
        self._asked: list[list[int]] = []

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Return TRL's sampler, which draws each epoch's order from the seed and the epoch alone.

        TRL's own goes on from the order before, so that a resumed training would ask otherwise.
        """
        sampler = super()._get_train_sampler(dataset)
        seed = self.args.seed
        sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(
            derive_seed(seed, "prompts", epoch)
        )
        return sampler

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self._asked = [row["prompt_ids"] for row in inputs]
        scored = super()._generate_and_score_completions(inputs)
        if self.model.training:
            masks = (scored["prompt_mask"], scored["completion_mask"])
            tokens = sum(int(mask.sum()) for mask in masks)
            self.reporter.tokens += tokens * self.accelerator.num_processes
        return scored

    def _tokenize_prompts(self, _prompts: Any) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Return the prompts as they were encoded, and no images."""
        return self._asked, None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        """Sample in the number type in which TRL scores what was sampled."""
        with self.compute_loss_context_manager():
            return super()._generate_single_turn(*args, **kwargs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the model by its watch, instead of the loss on held-out prompts."""
        self.watch.look()
        metrics = self.watch.metrics()
        training = self.model.training
        self.model.eval()  # TRL keeps the metrics of both modes apart
        try:
            self.log(dict(metrics))
        finally:
            self.model.train(training)
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics
