"""One round while its completions arrive: open requests, completions, and the next requests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from selfinstruct.common import ids
from selfinstruct.common.records import (
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Request,
    Stage,
)
from selfinstruct.engines.base import scoring_request
from selfinstruct.filters.likelihood import tokens_of
from selfinstruct.generate.failures import stop_if_too_many
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.verdicts.candidates import (
    FAILURES_SINCE,
    check_instance_texts,
    has_failed,
    read_instances_of,
    with_scores,
)
from selfinstruct.verdicts.classification import CLASSIFIES, NEEDS_NO_ANSWER, references_among
from selfinstruct.verdicts.pool import Standards
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_instance_scores,
    check_instructions,
    final_verdicts,
)
from selfinstruct.verdicts.rulebook import Rulebook

# From here on, the model is also asked about tasks of known kinds.
KNOWN_TASKS_SINCE = 3
_INSTRUCTION = Kind.INSTRUCTION
_STAGE_ORDER = {Stage.PROPOSE: 0, Stage.CLASSIFY: 1, Stage.INSTANCES: 2, Stage.SCORE: 3}


class OpenRound:
    """A round from its proposals to its verdicts. The order of completions does not matter.

    Args:
        number: of the round.
        rulebook: config and templates of the run.
        builder: writes the requests.
        proposals: the requests that start the round.
    """

    def __init__(
        self,
        number: int,
        rulebook: Rulebook,
        builder: RequestBuilder,
        proposals: Sequence[Request],
    ) -> None:
        self.number = number
        self._judged = 0
        self._rulebook = rulebook
        self._builder = builder
        self._proposals = list(proposals)
        self._candidates: list[InstructionCandidate] = []
        self._passed: dict[str, InstructionCandidate] = {}
        # Instructions whose kind is not known yet, and requests about tasks of known kinds.
        self._unclassified: dict[str, InstructionCandidate] = {}
        self._references: set[str] = set()
        self._knows_references = False  # whether all of them are back
        self._answers: list[tuple[bool, Completion]] | None = None
        self._completions: dict[str, Completion] = {}
        self._pending = {request.id for request in proposals}
        self._num_requests = len(self._pending)

    @property
    def pending(self) -> list[str]:
        """Ids of the requests that have not come back."""
        return sorted(self._pending, key=ids.order)

    @property
    def proposals(self) -> int:
        """Count the proposals."""
        return len(self._proposals)

    @property
    def checked(self) -> bool:
        """Whether the instructions of every proposal are checked."""
        return self._judged == len(self._proposals)

    @property
    def finished(self) -> bool:
        """Whether the round can be committed."""
        return self.checked and not self._pending

    @property
    def passed(self) -> int:
        """Count the instructions that passed every rule so far."""
        return len(self._passed)

    @property
    def returned_of(self) -> tuple[int, int]:
        """Return (requests that are back, requests that the round needs as far as known)."""
        return self._num_requests - len(self._pending), self._num_requests

    @property
    def kept(self) -> int:
        """Count the completions, without failures: these are asked again."""
        return sum(completion.error is None for completion in self._completions.values())

    @property
    def failed_instructions(self) -> frozenset[str]:
        """Ids of the instructions whose classification or instances failed for good."""
        return frozenset(
            completion.request.about
            for completion in self._completions.values()
            if completion.request.about in self._passed
            and completion.request.stage in (Stage.CLASSIFY, Stage.INSTANCES)
            and has_failed(completion, self._rulebook.version)
        )

    def stop_if_failing(self, what: str = "") -> None:
        """End the run where too many of the round's requests failed for good.

        Args:
            what: names the work, if it is not a round.

        Raises:
            EngineError: they did. In older runs a failure is a completion without content.
        """
        if self._rulebook.version >= FAILURES_SINCE:
            completions = list(self._completions.values())
            stop_if_too_many(completions, self._num_requests, what or f"round {self.number}")

    def owns(self, id: str) -> bool:
        """Whether the round waits for a request."""
        return id in self._pending

    def check(self, standards: Standards) -> list[Request]:
        """Check instructions as far as they can be, and pool those that pass.

        They are checked in the order of their proposals, each once all proposals before it are
        back; where they decide about their own threshold, all at once. The verdicts are the same.

        Args:
            standards: every instruction of the rounds before is in them.

        Returns:
            The next requests.
        """
        back = list(takewhile(self._is_back, self._proposals[self._judged :]))
        is_last = self._judged + len(back) == len(self._proposals)
        if not back or not (is_last or standards.thresholds.is_fixed(_INSTRUCTION, self.number)):
            return []
        if is_last:
            self.stop_if_failing()
        proposals = [self._scored(request.id) for request in back]
        checked = check_instructions(proposals, self.number, self._rulebook, standards)
        self._judged += len(back)
        self._candidates += checked
        return self.ask([candidate for candidate in checked if candidate.verdict is None])

    def _is_back(self, proposal: Request) -> bool:
        """Whether a proposal is back, and its score too if it was asked for."""
        is_pending = proposal.id in self._pending or ids.score(proposal.id) in self._pending
        return not is_pending

    def _scored(self, id: str) -> Completion:
        """Return a completion with its log-probabilities."""
        own = {of: self._completions.get(of) for of in (id, ids.score(id))}
        return with_scores({of: completion for of, completion in own.items() if completion})[id]

    def ask(self, passed: Sequence[InstructionCandidate]) -> list[Request]:
        """Return the first requests for instructions that passed, in the order of the round."""
        self._passed |= {candidate.id: candidate for candidate in passed}
        needs_no_answer = NEEDS_NO_ANSWER.at(self._rulebook.version)
        prompts = self._rulebook.prompts
        unclassified = {c.id: c for c in passed if not needs_no_answer(c.text, prompts)}
        self._unclassified |= unclassified
        requests = [self._builder.classify(c.id, c.text) for c in unclassified.values()]
        has_known = self._rulebook.version >= KNOWN_TASKS_SINCE
        if requests and has_known and not self._references:
            references = self._builder.known_tasks(next(iter(unclassified)))
            self._references = {request.id for request in references}
            requests += references
        # Each instruction needs a request for its instances, at once or when it is classified.
        self._num_requests += len(requests) + len(passed)
        self._pending.update(request.id for request in requests)
        self._pending.update(ids.request(candidate.id, Stage.INSTANCES) for candidate in passed)
        decided = [candidate for candidate in passed if candidate.id not in unclassified]
        return requests + [self._instances(candidate, None) for candidate in decided]

    def take(self, completion: Completion) -> list[Request]:
        """Keep a completion; return the requests that follow from it."""
        self._pending.discard(completion.id)
        self._completions[completion.id] = completion
        if completion.request.stage is Stage.CLASSIFY:
            return self._of_classified(completion.request.about)
        requests = self._to_score(completion)
        self._pending.update(request.id for request in requests)
        self._num_requests += len(requests)
        return requests

    def _of_classified(self, about: str) -> list[Request]:
        """Ask for the instances of what can be classified now.

        An answer waits for those about tasks of known kinds, which it is compared with.

        Args:
            about: what the classification that came back is about.
        """
        if not self._knows_references and self._references & self._pending:
            return []
        # Once those are known, each answer decides about its own instruction alone.
        own = self._unclassified.get(about) if self._knows_references else None
        candidates = list(self._unclassified.values()) if own is None else [own]
        self._knows_references = True
        requests: list[Request] = []
        for candidate in candidates:
            answer = self._completions.get(ids.request(candidate.id, Stage.CLASSIFY))
            if answer is None:
                continue
            del self._unclassified[candidate.id]
            if has_failed(answer, self._rulebook.version):
                # Nobody knows how to ask for its instances.
                self._pending.discard(ids.request(candidate.id, Stage.INSTANCES))
                self._num_requests -= 1
            else:
                requests.append(self._instances(candidate, answer))
        return requests

    def _instances(self, candidate: InstructionCandidate, answer: Completion | None) -> Request:
        """Ask for the instances of an instruction, by its kind."""
        prompts = self._rulebook.prompts
        classifies = CLASSIFIES.at(self._rulebook.version)
        label = classifies(candidate.text, answer, self._reference_answers(), prompts)
        return self._builder.instances(
            candidate.id,
            candidate.text,
            is_classification=label,
            source=candidate.source_id,
            given=candidate.input,
        )

    def _reference_answers(self) -> list[tuple[bool, Completion]]:
        """Return the answers about tasks of known kinds, as far as they are back."""
        if not self._knows_references:
            return self._references_among_known()
        if self._answers is None:
            self._answers = self._references_among_known()
        return self._answers

    def _references_among_known(self) -> list[tuple[bool, Completion]]:
        known = (self._completions.get(id) for id in sorted(self._references))
        return references_among([one for one in known if one is not None], self._rulebook.prompts)

    def _to_score(self, completion: Completion) -> list[Request]:
        """Return scoring requests for what the engine wrote without log-probabilities."""
        is_failure = has_failed(completion, self._rulebook.version)
        if completion.request.stage is Stage.SCORE or is_failure:
            return []
        requests = missing_scores(self._builder, completion)
        gain = self._rulebook.config.likelihood.gain
        if completion.request.stage is Stage.INSTANCES and gain:
            candidate = self._passed[completion.request.about]
            rows = check_instance_texts(candidate, completion, self._rulebook, {})
            requests += scores_without_task(self._builder, rows, completion)
        return requests

    def verdicts(self, standards: Standards, room: int) -> Verdicts:
        """Return the last verdicts; the target still lacks `room` tasks."""
        labels, instances = read_instances_of(
            list(self._passed.values()), with_scores(self._completions), self._rulebook
        )
        checked = check_instance_scores(
            instances, self.number, self._rulebook, standards.thresholds
        )
        return final_verdicts(self._candidates, labels, checked, room=room)

    def completions(self) -> list[Completion]:
        """Return every completion in a fixed order: by stage, then by id."""
        return sorted(
            self._completions.values(),
            key=lambda c: (_STAGE_ORDER[c.request.stage], ids.order(c.id)),
        )


def missing_scores(builder: RequestBuilder, completion: Completion) -> list[Request]:
    """Ask for the log-probabilities of a completion that the engine returned without them."""
    lacks = completion.token_logprobs is None and completion.token_ids
    if not lacks or not builder.can_score:
        return []
    return [scoring_request(completion.id, completion.request.prompt, completion.token_ids)]


def scores_without_task(
    builder: RequestBuilder, rows: Sequence[InstanceCandidate], completion: Completion
) -> list[Request]:
    """Ask how likely each output is after a prompt without a task: the template left empty."""
    if not builder.can_score:
        return []
    requests = []
    for row in rows:
        inside = tokens_of(completion, row.output_char_start, row.output_char_end)
        if inside:
            tokens = tuple(completion.token_ids[position] for position in inside)
            requests.append(scoring_request(row.id, builder.prompt_without_task, tokens))
    return requests


def instruction_asked(completion: Completion) -> str:
    """Return the instruction that a completion after the proposals is about.

    A scoring request is about another request, or about an instance.
    """
    about = completion.request.about
    for stage in (Stage.CLASSIFY, Stage.INSTANCES):
        about = ids.about(about, stage)
    return ids.instruction_of(about)
