"""The labeller `likelihood`: how probable the policy finds its answer once it is shown principles.

The policy scores its answers right after it wrote them, while it is loaded (`score_request`).
"""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common.records import NAN, Completion, Message, Prompt, Request
from selfinstruct.engines.base import Engine, scoring_request
from selfinstruct.labellers.base import (
    Labelled,
    Labeller,
    Labelling,
    Needs,
    ScoredAnswer,
    TaskPrompt,
    with_score,
)

# What a good answer is (Askell et al. 2021, arXiv:2112.00861); shown to the policy before
# it is asked how probable it finds an answer.
PRINCIPLES = (
    "A careful assistant answers. Each answer is helpful: it does all that the task asks and "
    "nothing else. It is honest: what it says is right, and nothing is made up. It is harmless: "
    "it helps nobody to hurt somebody."
)
_EXAMPLES = 3


def label(labelling: Labelling) -> Labelled:
    """Return the answers as they are: the policy scored them as it wrote them."""
    return Labelled(labelling.answers)


def instructed_prompts(engine: Engine, prompts: Sequence[TaskPrompt]) -> dict[str, Prompt]:
    """Return each task after the principles and three good examples, by the prompt's id.

    As in RLCD (Yang et al. 2023, arXiv:2307.12950) and context distillation.
    """
    from selfinstruct.engines.conversation import conversation_prompt
    from selfinstruct.inputs.shots import worked_shots

    shots = worked_shots()
    instructed = {}
    for prompt in prompts:
        system = [turn for turn in prompt.earlier if turn["role"] == "system"]
        messages: list[Message] = [*system]
        shown = [shot for shot in shots if shot.user != prompt.user][:_EXAMPLES]
        for number, shot in enumerate(shown):
            user = f"{PRINCIPLES}\n\n{shot.user}" if number == 0 else shot.user
            messages.append(Message(role="user", content=user))
            messages.append(Message(role="assistant", content=shot.answer))
        messages += prompt.turns[len(system) :]
        instructed[prompt.id] = conversation_prompt(engine, messages)
    return instructed


def score_request(written: Completion, instructed: Prompt) -> list[Request]:
    """Ask the policy how likely what it wrote is after better instructions.

    Args:
        written: the completion. Nothing is asked about one that failed or is empty: its answer
            stays without a score.
        instructed: its task after the instructions (`instructed_prompts`).
    """
    if not written.token_ids or written.error is not None:
        return []
    sampling = written.request.sampling
    return [scoring_request(written.id, instructed, written.token_ids, sampling)]


def scored_by(answer: ScoredAnswer, written: Completion, scored: Completion) -> ScoredAnswer:
    """Return an answer with its score: its mean log-likelihood in nats per token.

    The contrast is by how much the instructions raise it above what it was as the policy wrote.

    Args:
        answer: what was written.
        written: its completion.
        scored: the completion of `score_request`.
    """
    score = _mean(scored.token_logprobs)
    return with_score(answer, score, score - _mean(written.token_logprobs))


def _mean(logprobs: Sequence[float] | None) -> float:
    return sum(logprobs) / len(logprobs) if logprobs else NAN


LIKELIHOOD = Labeller(
    name="likelihood",
    help="how likely the policy finds the answer when its prompt states principles of good answers",
    details=(
        "The score is the mean log-likelihood, in nats per token, under the same policy with "
        "three principles (helpful, honest, harmless) and three good examples in its prompt. No "
        "second model is needed. The column `contrast` says by how much these principles and "
        "examples raise the score"
    ),
    needs=Needs.OWN_SCORES,
    label=label,
)
