"""The labeller `likelihood`: how probable the policy finds its answer once it is shown principles.

The policy scores its answers right after it wrote them, while it is loaded (`score_written`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from selfinstruct.common import ids
from selfinstruct.common.records import NAN, Completion, Message, Prompt
from selfinstruct.engines.base import Engine, ask_all, scoring_request
from selfinstruct.labellers.base import (
    Labelled,
    Labeller,
    Labelling,
    Needs,
    ScoredAnswer,
    TaskPrompt,
    with_score,
)

if TYPE_CHECKING:
    from selfinstruct.engines.isolated import Advance

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


def score_written(
    engine: Engine,
    answers: Sequence[ScoredAnswer],
    written: Sequence[Completion],
    instructed: Mapping[str, Prompt],
    advance: Advance,
) -> list[ScoredAnswer]:
    """Have the policy score what it wrote, after better instructions.

    The score is the mean log-likelihood of the answer in nats per token. The contrast is by how
    much the instructions raise it above what it was as the policy wrote.

    Args:
        engine: the policy, started.
        answers: those of `written`, in the same order.
        written: the completions; what failed or is empty stays without a score.
        instructed: `instructed_prompts` of their prompts.
        advance: told how many are scored, of how many.

    Raises:
        EngineError: the engine failed.
    """
    requests = [
        scoring_request(
            completion.id,
            instructed[completion.request.about],
            completion.token_ids,
            completion.request.sampling,
        )
        for completion in written
        if completion.token_ids and completion.error is None
    ]
    scores = {scored.id: scored for scored in ask_all(engine, requests, advance)}
    return [
        _scored(answer, completion, scores.get(ids.score(completion.id)))
        for answer, completion in zip(answers, written, strict=True)
    ]


def _scored(
    answer: ScoredAnswer, written: Completion, instructed: Completion | None
) -> ScoredAnswer:
    if instructed is None:
        return answer
    score = _mean(instructed.token_logprobs)
    return with_score(answer, score, score - _mean(written.token_logprobs))


def _mean(logprobs: Sequence[float] | None) -> float:
    return sum(logprobs) / len(logprobs) if logprobs else NAN


LIKELIHOOD = Labeller(
    name="likelihood",
    help="the policy's own likelihood of the answer, after principles",
    details=(
        "mean log-likelihood, nats per token, under the same policy shown better instructions: "
        "three principles (helpful, honest, harmless) and three good examples. Asks no second "
        "model. The column `contrast` says by how much the instructions raise it"
    ),
    needs=Needs.OWN_SCORES,
    label=label,
)
