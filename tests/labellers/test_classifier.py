"""Classifiers of texts: a tiny one with random weights, against transformers itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from selfinstruct.common.errors import ConfigError
from selfinstruct.labellers.classifier import Classifier, classified, read_classifier
from tests.train.tiny import tiny_model, tiny_tokenizer

TEXTS = ["You are kind.", "", "An answer that is a good deal longer than the first.", "No."]


def classifier(folder: Path, labels: list[str], *, positions: int = 64, **config: Any) -> Path:
    """Write a one-layer BERT with random weights, and return its folder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(3)
    own = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        initializer_range=1.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        **config,
    )
    BertForSequenceClassification(own).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def logits(folder: Path, text: str) -> list[float]:
    """The scores of one text without any padding, by transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    with torch.no_grad():
        row: list[float] = network(torch.tensor([ids])).logits[0].tolist()
    return row


def softmax(row: list[float], place: int) -> float:
    return math.exp(row[place]) / sum(map(math.exp, row))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_labels_that_exclude_each_other_go_by_the_softmax(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["calm", "Toxic", "odd"])
    labelled = read_classifier(f"{folder}@toxic")
    assert (labelled.label, labelled.place) == ("Toxic", 1)
    found = classified(labelled, TEXTS)
    assert math.isnan(found[1])
    for place in (0, 2, 3):
        expected = softmax(logits(folder, TEXTS[place]), 1)
        assert found[place] == pytest.approx(expected, abs=1e-5)
    assert len({round(value, 4) for value in found if value == value}) == 3


def test_labels_that_do_not_exclude_each_other_go_by_the_sigmoid(tmp_path: Path) -> None:
    folder = classifier(
        tmp_path / "c", ["toxic", "threat"], problem_type="multi_label_classification"
    )
    [found] = classified(read_classifier(f"{folder}@threat"), TEXTS[:1])
    assert found == pytest.approx(sigmoid(logits(folder, TEXTS[0])[1]), abs=1e-5)


def test_one_score_needs_no_label(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["toxicity"])
    labelled = read_classifier(str(folder))
    assert labelled.label == "toxicity"
    assert read_classifier(f"{folder}@toxicity") == labelled
    [found] = classified(labelled, TEXTS[:1])
    assert found == pytest.approx(sigmoid(logits(folder, TEXTS[0])[0]), abs=1e-5)


def test_a_text_over_the_context_is_unknown(tmp_path: Path) -> None:
    labelled = read_classifier(str(classifier(tmp_path / "c", ["toxicity"], positions=16)))
    fits, over = "a" * 16, "a" * 17  # a token for each letter
    found = Classifier(labelled).probabilities([over, fits, over])
    assert [math.isnan(value) for value in found] == [True, False, True]


def test_a_folder_with_an_at_in_its_name(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c@toxicity", ["toxicity"])
    assert read_classifier(str(folder)).model.path == folder


def test_what_is_no_classifier_is_said_before_weights_are_loaded(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["calm", "toxic", "severe_toxic"])
    with pytest.raises(ConfigError, match=r"--scorer: .* has 3 labels; name the one .*@calm"):
        read_classifier(str(folder))
    with pytest.raises(ConfigError, match="has no label 'toxi'; did you mean 'toxic'"):
        read_classifier(f"{folder}@toxi")
    with pytest.raises(ConfigError, match="its labels: calm, toxic, severe_toxic"):
        read_classifier(f"{folder}@9")
    writer = tiny_model(tmp_path / "writer").path
    with pytest.raises(ConfigError, match=r"is not a sequence classifier \(LlamaForCausalLM\)"):
        read_classifier(f"{writer}@toxic")
    with pytest.raises(ConfigError, match="no such folder"):
        read_classifier(f"{tmp_path}/none@toxic")


def test_weights_that_could_run_code_are_refused(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["toxicity"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="only safetensors are read"):
        read_classifier(str(folder))


def test_a_folder_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["toxicity"])
    labelled = read_classifier(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "none-such"}))
    with pytest.raises(ConfigError, match="cannot be loaded as a classifier"):
        Classifier(labelled)
