"""The folder of preferences, and the two steps that ask models: answers, and their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Loaded
from selfinstruct.labellers.base import (
    Answers,
    Labelled,
    Labelling,
    Processes,
    Scorer,
    TaskPrompt,
    VoteStore,
    by_prompt,
)
from selfinstruct.preferences import folder
from selfinstruct.preferences.sample import SampleSettings, sample_answers


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of the work, and how models run.

    out: the folder.
    processes: they run the models.
    advance: called with (stage, done, total).
    resume: continue what was begun in `out`.
    """

    out: Path
    processes: Processes
    advance: Callable[[str, int, int], object]
    resume: bool = False

    def answers(
        self, policy: LocalModel, prompts: Sequence[TaskPrompt], how: SampleSettings, dtype: str
    ) -> Answers:
        """Let the policy answer the remaining prompts; return all its answers.

        Raises:
            EngineError: the engine failed; committed answers stay.
            WriteError: the disk refuses; committed answers stay.
        """
        work = partial(sample_answers, prompts=prompts, how=how, out=self.out)
        loaded = Loaded(policy.name, dtype)
        self.processes.with_engine(loaded, work, partial(self.advance, "answers"))
        return by_prompt([prompt.id for prompt in prompts], folder.read_scored(self.out))

    def label(
        self,
        stage: str,
        scorer: Scorer,
        prompts: Sequence[TaskPrompt],
        answers: Answers,
        dtype: str,
    ) -> Labelled:
        """Label answers.

        Raises:
            EngineError: an engine failed; committed votes stay.
            WriteError: the disk refuses; committed votes stay.
        """
        labelling = Labelling(
            prompts=prompts,
            answers=answers,
            processes=self.processes,
            votes=VoteStore(
                read=partial(folder.read_votes, self.out),
                commit=partial(folder.commit_rows, self.out, folder.VOTES),
            ),
            advance=partial(self.advance, stage),
            model=scorer.model,
            template=scorer.template,
            dtype=dtype,
            principles=scorer.principles,
        )
        return scorer.labeller.label(labelling)
