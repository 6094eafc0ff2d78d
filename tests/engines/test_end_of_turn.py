"""The real engine stops at the token that ends a turn, where that is not the end of a sequence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selfinstruct.engines.machine import installed_vllm
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_vllm() is None, reason="vLLM is not installed"),
]
ROOT = Path(__file__).resolve().parents[2]


def test_a_chatml_model_stops_at_the_end_of_its_turn(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engines.end_turn", str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    convention = CONVENTIONS["ChatML on a base"]
    assert convention.eos != "<|im_end|>"
    tokenizer = tiny_tokenizer(bos=convention.bos, eos=convention.eos, control=convention.control)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for one in found["c"]:
        # A chance of one eighth: 120 tokens without an end come once in ten million answers.
        assert one["finish"] == "stop"
        assert one["tokens"].count(end) <= 1
        assert end not in one["tokens"][:-1]
        assert len(one["tokens"]) < 120
        assert "im_end" not in one["text"]
    # Raw text is no turn: the token is one among others, and the model writes on.
    for one in found["t"]:
        assert one["finish"] == "length"
        assert len(one["tokens"]) == 120
        assert end in one["tokens"]
