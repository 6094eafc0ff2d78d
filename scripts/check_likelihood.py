"""Compare recorded scores with an independent oracle: transformers over the recorded tokens.

    python scripts/check_likelihood.py RUN [--spans 50] [--json]

For so many random spans of each kind (instruction, input, output, label), a float32 forward
pass over the recorded prompt and token ids gives each token's log-probability. Which tokens a
span has is found anew too, by decoding ever longer prefixes. Prints the largest difference
from the recorded score, in nats per token.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from selfinstruct.common.records import Completion, Kind
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.models import resolve_model
from selfinstruct.store import Run, open_run


@dataclass(frozen=True)
class Span:
    """A recorded score, and the characters of a completion that it is of."""

    kind: str
    id: str
    completion_id: str
    start: int
    end: int
    recorded: float


def spans(run: Run) -> Iterator[Span]:
    """Yield every scored span of a run."""
    for number in run.rounds():
        for task in run.instructions(number):
            place = (task.completion_id, task.char_start, task.char_end)
            yield Span("instruction", task.id, *place, task.mean_logprob)
        for row in run.instances(number):
            kind = "label" if row.kind is Kind.LABEL else "output"
            output = (row.completion_id, row.output_char_start, row.output_char_end)
            given = (row.completion_id, row.input_char_start, row.input_char_end)
            yield Span(kind, row.id, *output, row.output_logprob)
            yield Span("input", row.id, *given, row.input_logprob)


class Oracle:
    """Log-probabilities by transformers, in float32, one completion at a time."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._known: dict[str, tuple[np.ndarray, list[int]]] = {}

    def mean_logprob(self, completion: Completion, start: int, end: int) -> float | None:
        """Return nats per token of a span; None where half a character was written."""
        if completion.id not in self._known:
            self._known[completion.id] = self._logprobs(completion), self._ends(completion)
        logprobs, ends = self._known[completion.id]
        if not ends or ends[-1] < 0:
            return None
        starts = [0, *ends[:-1]]
        inside = [
            at
            for at, (first, last) in enumerate(zip(starts, ends, strict=True))
            if first < end and last > start and last > first
        ]
        return float(logprobs[inside].mean()) if inside else None

    def _logprobs(self, completion: Completion) -> np.ndarray:
        prompt = self._tokenizer.encode(completion.prompt, add_special_tokens=False)
        ids = self._torch.tensor([[*prompt, *completion.token_ids]])
        with self._torch.inference_mode():
            # Only what predicts the completion: a large vocabulary makes the rest dear.
            kept = len(completion.token_ids) + 1
            logits = self._model(ids, use_cache=False, logits_to_keep=kept).logits[0, :-1]
            found = self._torch.log_softmax(logits.float(), dim=-1)
            own = found.gather(1, ids[0, len(prompt) :, None])[:, 0]
        return np.asarray(own.numpy())

    def _ends(self, completion: Completion) -> list[int]:
        """Return after how many characters each token ends; -1 last where one is broken."""
        ids = completion.token_ids
        whole = self._decode(ids)
        if not whole.startswith(completion.text.rstrip()) or "\ufffd" in whole:
            return [-1]
        return [len(self._decode(ids[: count + 1])) for count in range(len(ids))]

    def _decode(self, ids: Any) -> str:
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


def check(run: Run, count: int) -> dict[str, dict[str, float]]:
    """Return for each kind: spans, largest and mean difference, share above 0.02."""
    config = stored_config(run)
    oracle = Oracle(resolve_model(config.model.name, lambda *_: None).path)
    completions = {c.id: c for number in run.rounds() for c in run.completions(number)}
    known = [span for span in spans(run) if not math.isnan(span.recorded)]
    found: dict[str, dict[str, float]] = {}
    for kind in ("instruction", "input", "output", "label"):
        own = [span for span in known if span.kind == kind]
        drawn = random.Random(0).sample(own, len(own))
        differences: list[float] = []
        for span in drawn:
            if len(differences) == count:
                break
            score = oracle.mean_logprob(completions[span.completion_id], span.start, span.end)
            if score is not None:
                differences.append(abs(score - span.recorded))
        if differences:
            found[kind] = {
                "spans": len(differences),
                "largest": max(differences),
                "mean": float(np.mean(differences)),
                "above_0.02": float(np.mean(np.asarray(differences) > 0.02)),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--spans", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run = open_run(options.run)
    found = check(run, options.spans)
    if options.json:
        print(json.dumps(found))
        return
    table = Table(title=f"{run.name}, {stored_config(run).model.dtype}, against float32")
    for name in ("kind", "spans", "largest difference", "mean", "above 0.02"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, row in found.items():
        cells = (f"{row['largest']:.6f}", f"{row['mean']:.6f}", f"{row['above_0.02']:.0%}")
        table.add_row(kind, str(row["spans"]), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
