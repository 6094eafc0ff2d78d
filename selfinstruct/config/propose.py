"""Settings of proposals: their size and style, and the passages that they may be about."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import field_validator, model_validator

from selfinstruct.common.fields import NonEmpty, Section, semantic
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.styles import SELF_INSTRUCT, STYLES, no_style

_MOST_PROPOSALS = 100_000


class ProposeConfig(Section):
    """Proposals of new instructions (the paper, §3.1 and its release)."""

    per_round: int | Literal["auto"] = semantic(
        "auto",
        "maximum prompts for new tasks per round; auto: a quarter of the requests that the engine "
        "handles at once",
    )
    sizes: Literal["shrinking", "equal"] = semantic(
        "shrinking",
        "shrinking: rounds get smaller as the run nears its target; equal: all have `per_round`",
        before="equal",
    )
    in_context: int = semantic(8, "tasks shown in a prompt (the paper: 8)", ge=1)
    from_seeds: int = semantic(
        6,
        "of the tasks shown, how many are seeds, once others are accepted (the paper: 6)",
        ge=0,
    )
    list_length: int = semantic(
        16, "length of the list in a prompt: tasks shown plus new tasks (the paper: 16)", ge=2
    )
    domain: NonEmpty | None = semantic(None, "the domain of all tasks")
    style: str = semantic(
        SELF_INSTRUCT.name,
        f"how new tasks are asked for (`--style`): {', '.join(STYLES)}; docs/styles.md",
    )
    paraphrases: int = semantic(
        0, "other wordings of each task to ask for (`--paraphrases`); style unnatural", ge=0, le=9
    )
    # The paper: temperature 0.7, top_p 0.5, presence penalty 2.
    sampling: SamplingConfig = SamplingConfig(
        temperature=0.7, min_p=0.05, presence_penalty=2.0, max_tokens=400
    )

    @field_validator("per_round", mode="before")
    @classmethod
    def _proposals(cls, per_round: Any) -> Any:
        number = isinstance(per_round, int) and not isinstance(per_round, bool)
        if per_round == "auto" or (number and 1 <= per_round <= _MOST_PROPOSALS):
            return per_round
        raise ValueError(
            f"{json.dumps(per_round, default=str)} is not a number of proposals from 1 to "
            f"{_MOST_PROPOSALS:,}, and not `auto`"
        )

    @field_validator("style")
    @classmethod
    def _known_style(cls, style: str) -> str:
        if style not in STYLES:
            raise ValueError(no_style(style))
        return style

    @property
    def most(self) -> int:
        """Most proposals of a round, once they are settled for the engine."""
        if self.per_round == "auto":
            raise ValueError("propose.per_round is not settled yet")
        return self.per_round

    @model_validator(mode="after")
    def _consistent(self) -> ProposeConfig:
        if self.from_seeds > self.in_context:
            raise ValueError(f"from_seeds {self.from_seeds} is above in_context {self.in_context}")
        if self.list_length <= self.in_context:
            raise ValueError(
                f"list_length {self.list_length} leaves no room after {self.in_context} tasks"
            )
        if self.paraphrases and not STYLES[self.style].paraphrases:
            able = ", ".join(style.name for style in STYLES.values() if style.paraphrases)
            raise ValueError(
                f"paraphrases {self.paraphrases} means nothing to the style {self.style!r}; "
                f"leave it at 0, or give the style {able}"
            )
        return self


class PassagesConfig(Section):
    """Passages of documents (`documents`), each the subject of a proposal: docs/documents.md."""

    least_words: int = semantic(40, "minimum words of a passage", ge=1)
    most_words: int = semantic(180, "maximum words of a passage", ge=1)
    tasks: int = semantic(4, "tasks per passage that a proposal asks for", ge=1)
    exemplars: int = semantic(3, "example passages with tasks that a proposal shows", ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> PassagesConfig:
        if self.least_words > self.most_words:
            raise ValueError(
                f"least_words {self.least_words} is above most_words {self.most_words}"
            )
        return self
