"""The labeller `principles`: a model compares every two answers by a principle that is drawn.

Bai et al. 2022 (Constitutional AI, arXiv:2212.08073, §4.1): labels for reinforcement learning from
AI feedback. It is the labeller `judge` with another question.
"""

from __future__ import annotations

from dataclasses import replace

from selfinstruct.labellers import judge
from selfinstruct.labellers.base import Labelled, Labelling

TEMPLATE = """\
Two answers to one task are shown. Say which of them follows this principle better:

{{ principle }}

If both follow it equally well, say which one serves the person who asks better. Its length does \
not matter.

Task:
{{ task }}

Answer A:
{{ first }}

Answer B:
{{ second }}

Which answer follows the principle better, A or B? Reply with that one letter.
"""


def label(labelling: Labelling) -> Labelled:
    """Have every two answers compared, each pair by a principle; votes are kept as they come.

    Raises:
        EngineError: the engine failed; votes that were kept stay.
        WriteError: the disk refuses.
    """
    return judge.label(labelling)


PRINCIPLES = replace(
    judge.JUDGE,
    name="principles",
    help="a model compares each pair of answers by a principle (AI feedback)",
    details=(
        "As `judge`, but each pair of answers is compared by one principle, drawn from a file of "
        "them: `--principles FILE`, or the shipped ones ([revise](revise.md#principles)). A "
        "`--judge-prompt` of your own must show `principle` too"
    ),
    label=label,
    template=TEMPLATE,
    by_principles=True,
)
