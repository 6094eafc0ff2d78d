"""How the tokens of a completion are sampled."""

from __future__ import annotations

from selfinstruct.common.fields import Section, semantic


class SamplingConfig(Section):
    """How one stage samples. A cut-off by `min_p` is twice as fast on a CPU as `top_p`."""

    temperature: float = semantic(0.0, "0 is greedy decoding", ge=0, le=5)
    top_p: float = semantic(1.0, "nucleus cut-off (the paper: 0.5 for proposals)", gt=0, le=1)
    top_k: int = semantic(0, "keep the k likeliest tokens; 0 keeps all", ge=0)
    min_p: float = semantic(0.0, "drop tokens below this share of the likeliest", ge=0, le=1)
    presence_penalty: float = semantic(0.0, "penalty on tokens already written", ge=-2, le=2)
    frequency_penalty: float = semantic(0.0, "penalty per time a token was written", ge=-2, le=2)
    repetition_penalty: float = semantic(
        1.0, "divides the logits of tokens that already occurred", gt=0, le=2
    )
    max_tokens: int = semantic(256, "longest completion, in tokens", ge=1)
    stop: tuple[str, ...] = semantic((), "stop strings, besides those of the template")
