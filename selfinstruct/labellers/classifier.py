"""A sequence classifier of any kind, such as one of toxicity: the probability of a label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import LocalModel
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.models.endpoint import require_folder
from selfinstruct.models.safe import SAFE, SAFE_WEIGHTS

# Texts that are classified at once, of about one length.
_BATCH = 8
_SIGMOID = "multi_label_classification"


@dataclass(frozen=True, slots=True)
class LabelledModel:
    """A classifier, and the label whose probability is asked for, by its name and its place."""

    model: LocalModel
    label: str
    place: int

    @property
    def known_by(self) -> str:
        """What must be the same for scores to be the same."""
        return f"{self.model.digest} {self.place}"


def read_classifier(text: str, option: str = "--scorer") -> LabelledModel:
    """Return the classifier and the label that MODEL[@LABEL] names; no weights are loaded.

    Args:
        text: a folder or a hub name, and behind the last @ a label, which a model of one score
            does not need.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is no such model, it is no classifier, or has no such label.
    """
    from selfinstruct.models import resolve_model

    name, mark, label = text.rpartition("@")
    if not mark or user_path(text, option).exists():
        name, label = text, ""
    model = resolve_model(name, lambda *_: None)
    labels = _labels(model)
    if not label and len(labels) > 1:
        raise ConfigError(
            f"{option}: {name} has {len(labels)} labels; name the one to measure, as "
            f"{name}@{labels[0]} (its labels: {', '.join(labels)})"
        )
    if not label:
        return LabelledModel(model, labels[0], 0)
    places = {other.lower(): place for place, other in enumerate(labels)}
    place = places.get(label.strip().lower())
    if place is None:
        raise ConfigError(
            f"{option}: {name} has no label {label!r}; {did_you_mean(label, labels)}"
            f"its labels: {', '.join(labels)}"
        )
    return LabelledModel(model, labels[place], place)


def _labels(model: LocalModel) -> list[str]:
    """Return the names of a classifier's labels, in the order of its scores.

    Raises:
        ConfigError: it is no classifier of texts.
    """
    require_folder(model)
    kinds = [str(kind) for kind in model.config.get("architectures") or []]
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        shown = ", ".join(kinds) or "no architecture"
        raise ConfigError(
            f"{model.name}: is not a sequence classifier ({shown}); give one, whose config.json "
            "has an architecture that ends in ForSequenceClassification"
        )
    names = model.config.get("id2label")
    if not isinstance(names, dict) or not names:
        count = int(model.config.get("num_labels") or 2)  # as transformers does
        return [f"LABEL_{place}" for place in range(count)]
    return [str(names[key]) for key in sorted(names, key=int)]


class Classifier:
    """A classifier in this process, by transformers in float32.

    Raises:
        ConfigError: its files cannot be loaded.
    """

    def __init__(self, labelled: LabelledModel) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        path = labelled.model.path
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path, **SAFE)
            network = AutoModelForSequenceClassification.from_pretrained(
                path, dtype=torch.float32, **SAFE_WEIGHTS
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise ConfigError(f"{path}: cannot be loaded as a classifier ({why(error)})") from error
        if torch.cuda.is_available():
            network = network.to("cuda")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        config = network.config.get_text_config()
        if config.pad_token_id is None:
            config.pad_token_id = self._tokenizer.pad_token_id
        self._network = network.eval()
        self._place = labelled.place
        self._room = _room(config, self._tokenizer)

    def probabilities(
        self, texts: Sequence[str], advance: Callable[[int, int], object] = max
    ) -> list[float]:
        """Return the probability of the label for each text.

        By the sigmoid where the model has one score or labels that do not exclude each other
        (`problem_type` multi_label_classification), otherwise by the softmax. NaN for a text that
        is empty, or longer than the model's context.
        """
        ids: list[list[int]] = [self._tokenizer(text)["input_ids"] for text in texts]
        scores = [math.nan] * len(texts)
        usable = [n for n in range(len(ids)) if texts[n].strip() and len(ids[n]) <= self._room]
        usable.sort(key=lambda n: len(ids[n]))
        for start in range(0, len(usable), _BATCH):
            part = usable[start : start + _BATCH]
            for n, score in zip(part, self._scored([ids[n] for n in part]), strict=True):
                scores[n] = score
            advance(min(start + _BATCH, len(usable)), len(usable))
        return scores

    def _scored(self, ids: Sequence[Sequence[int]]) -> list[float]:
        import torch

        batch = self._tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt")
        batch = batch.to(self._network.device)
        with torch.no_grad():
            logits = self._network(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits.float()
        apart = logits.shape[1] == 1 or self._network.config.problem_type == _SIGMOID
        found = logits.sigmoid() if apart else logits.softmax(dim=-1)
        return [float(value) for value in found[:, self._place]]


def _room(config: Any, tokenizer: Any) -> int:
    """Return the most tokens of a text: positions of RoBERTa's kind begin behind the padding."""
    room = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    if "roberta" in config.model_type or config.model_type in ("camembert", "longformer"):
        room -= int(config.pad_token_id or 0) + 1
    return min(room, int(min(tokenizer.model_max_length, 1 << 30)))


def classified(
    labelled: LabelledModel,
    texts: Sequence[str],
    advance: Callable[[int, int], object] = max,
) -> list[float]:
    """Return the probability of the label for each text; loads the model into this process.

    `isolated.apart` keeps it out of others.

    Raises:
        ConfigError: its files cannot be loaded.
    """
    return Classifier(labelled).probabilities(texts, advance)
