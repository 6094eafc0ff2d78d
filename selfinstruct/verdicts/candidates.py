"""From completions to candidates: parsed, scored, and checked by the rules on their text.

A candidate that breaks one is rejected. The others have no verdict yet: see rounds.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    NAN,
    REJECTED,
    Completion,
    Form,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
    ParsedInstance,
    ParsedInstruction,
    Reading,
    Stage,
)
from selfinstruct.common.replaced import replaced
from selfinstruct.filters.changes import COPIES_PROMPT
from selfinstruct.filters.changes_5 import is_about_worked_passage
from selfinstruct.filters.instance_rules import instance_failures
from selfinstruct.filters.likelihood import SpanScore, conditional_gain, score_span, score_spans
from selfinstruct.filters.outcomes import ENGINE_ERROR, INSTANCE_PARSE_FAILURE, PARSE_FAILURE
from selfinstruct.filters.rule import Failure, InstructionFacts, first_failed
from selfinstruct.filters.similarity import SAME_TEXT
from selfinstruct.verdicts.classification import CLASSIFIES, references_among
from selfinstruct.verdicts.parse import (
    PARSE_DIRECT,
    PARSE_FIELDS,
    PARSE_INPUT_FIRST,
    PARSE_MESSAGE,
    PARSE_OUTPUT_FIRST,
    PARSE_PROPOSAL,
    PARSE_TASK,
)
from selfinstruct.verdicts.rulebook import Rulebook

Row = TypeVar("Row", InstructionCandidate, InstanceCandidate)

# Older runs took a failed request for a completion without content.
FAILURES_SINCE = 3


def check_instruction_texts(
    proposals: Sequence[Completion],
    round: int,
    rulebook: Rulebook,
    text_of: Callable[[str], str | None],
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and check every instruction by the rules on its text.

    Args:
        proposals: completions of the propose stage, in the order of their proposals.
        round: the round's number.
        rulebook: config and templates of the run.
        text_of: gives the text of a task that a prompt showed, by its pool id.
    """
    own_lines, checks = rulebook.own_lines, rulebook.on_instruction_texts
    checks_shown = any(rule.name == COPIES_PROMPT.name for rule, _ in checks)
    candidates = []
    for completion in proposals:
        if has_failed(completion, rulebook.version):
            continue
        parsed = read_proposal(completion, rulebook.version)
        reading = completion.request.reading
        # A rewriting may hold its parent; it is compared with it by a rule of its own.
        parents = completion.request.parents if checks_shown or reading.operation else ()
        texts = tuple(filter(None, map(text_of, parents)))
        shown, rewritten = ((), texts) if reading.operation else (texts, ())
        if not parsed:
            candidates.append(unparsed(completion, round))
        is_grounded = bool(reading.source)
        rows = instruction_rows(completion, round, parsed)
        for candidate, instruction in zip(rows, parsed, strict=True):
            facts = InstructionFacts(
                instruction.text,
                instruction.truncated,
                own_lines,
                shown=shown,
                strays=is_grounded
                and is_about_worked_passage(
                    instruction.text, _prompt_of(completion), rulebook.prompts.passages
                ),
                is_rest=instruction.is_rest,
                rewritten=rewritten,
            )
            candidates.append(with_failure(candidate, first_failed(checks, facts)))
    return candidates


def _prompt_of(completion: Completion) -> str:
    """Return the text that the model saw, or the turns that it was asked where that is unknown."""
    if completion.prompt is not None:
        return completion.prompt
    prompt = completion.request.prompt
    return prompt if isinstance(prompt, str) else "\n".join(t["content"] for t in prompt.messages)


def check_instance_texts(
    candidate: InstructionCandidate,
    completion: Completion,
    rulebook: Rulebook,
    scores: Mapping[str, Completion],
) -> list[InstanceCandidate]:
    """Parse an instances completion and check every instance of it by the rules on its text.

    Args:
        candidate: the instruction.
        completion: what the model wrote for it.
        rulebook: config and templates of the run.
        scores: completions of scoring requests by id, for the conditional gain.
    """
    failed = has_failed(completion, rulebook.version)
    parsed = [] if failed else read_instances(completion, rulebook.markers, rulebook.version)
    if not parsed:
        empty = ParsedInstance("", "", (0, 0), (0, 0), truncated=False)
        row = instance_row(candidate.id, candidate.round, completion, 0, empty)
        outcome = ENGINE_ERROR if failed else INSTANCE_PARSE_FAILURE
        return [with_failure(row, Failure(outcome.reason))]
    config, checks = rulebook.config, rulebook.on_instance_texts
    same = SAME_TEXT.at(rulebook.version)
    failures = instance_failures(checks, candidate.text, parsed, rulebook.markers, same)
    rows = []
    for number, (instance, failure) in enumerate(zip(parsed, failures, strict=True)):
        row = instance_row(candidate.id, candidate.round, completion, number, instance)
        if config.likelihood.gain:
            row = with_gain(row, scores.get(ids.score(row.id)))
        rows.append(with_failure(row, failure))
    return rows


def read_instances_of(
    candidates: Sequence[InstructionCandidate],
    by_id: Mapping[str, Completion],
    rulebook: Rulebook,
) -> tuple[dict[str, bool], dict[str, list[InstanceCandidate]]]:
    """Return for each instruction whether it is classification, and its parsed instances.

    Args:
        candidates: instructions whose instances were requested, or would have been if their
            classification had not failed.
        by_id: the completions of the round.
        rulebook: config and templates of the run.
    """
    classifies, prompts = CLASSIFIES.at(rulebook.version), rulebook.prompts
    references = references_among(by_id.values(), prompts)
    labels: dict[str, bool] = {}
    instances: dict[str, list[InstanceCandidate]] = {}
    for candidate in candidates:
        answer = by_id.get(ids.request(candidate.id, Stage.CLASSIFY))
        labels[candidate.id] = classifies(candidate.text, answer, references, prompts)
        completion = by_id.get(ids.request(candidate.id, Stage.INSTANCES), answer)
        assert completion is not None  # without instances, it is the classification that failed
        instances[candidate.id] = check_instance_texts(candidate, completion, rulebook, by_id)
    return labels, instances


def has_failed(completion: Completion, version: int) -> bool:
    """Whether the engine failed on a request, by the rules of a version: no verdict follows."""
    return version >= FAILURES_SINCE and completion.error is not None


def read_proposal(completion: Completion, version: int) -> list[ParsedInstruction]:
    """Parse a proposal's completion by the rules of a version."""
    reading, text, finish = completion.request.reading, completion.text, completion.finish_reason
    if reading.form is Form.FIELDS:
        return PARSE_FIELDS.at(version)(text, finish, continues=reading.continues)
    if reading.form is Form.TASK:
        return PARSE_TASK.at(version)(text, finish, tag=reading.tag)
    if reading.form is Form.MESSAGE:
        return PARSE_MESSAGE.at(version)(text, finish)
    return PARSE_PROPOSAL.at(version)(
        text,
        finish,
        first_number=reading.first_number,
        continues=reading.continues,
        tag=reading.tag,
    )


def read_instances(completion: Completion, markers: Markers, version: int) -> list[ParsedInstance]:
    """Parse an instances completion as its request says, by the rules of a version."""
    reading, text, finish = completion.request.reading, completion.text, completion.finish_reason
    if reading.form is Form.WHOLE:
        parsed = PARSE_DIRECT.at(version)(text, finish)
        return [replaced(one, input=reading.given) for one in parsed] if reading.given else parsed
    if reading.form is Form.OUTPUT_FIRST:
        return PARSE_OUTPUT_FIRST.at(version)(text, finish, markers, opened=reading.opened)
    return PARSE_INPUT_FIRST.at(version)(text, finish, markers, opened=reading.opened)


def unparsed(completion: Completion, round: int) -> InstructionCandidate:
    """Return the one candidate of a proposal that holds no instruction: a parse failure."""
    text = completion.text
    whole = ParsedInstruction(0, len(text), text, text.strip(), truncated=False)
    [row] = instruction_rows(completion, round, [whole])
    return replaced(
        row,
        mean_logprob=NAN,
        num_tokens=0,
        unscored_reason="parse_failure",
        verdict=REJECTED,
        reason=PARSE_FAILURE.reason,
    )


def instruction_rows(
    completion: Completion, round: int, parsed: Sequence[ParsedInstruction]
) -> list[InstructionCandidate]:
    """Return the instructions of a proposal with their places, parents and scores."""
    reading = completion.request.reading
    spans = score_spans(completion, [(one.start, one.end) for one in parsed])
    return [
        InstructionCandidate(
            id=ids.instruction(completion.request.about, item),
            round=round,
            completion_id=completion.id,
            char_start=one.start,
            char_end=one.end,
            raw_text=one.raw,
            text=one.text,
            parents=completion.request.parents,
            mean_logprob=span.mean_logprob,
            num_tokens=span.num_tokens,
            unscored_reason=span.unscored_reason,
            cut=one.cut,
            source_id=reading.source or None,
            operation=reading.operation or None,
            **_fields(one, reading),
        )
        for item, (one, span) in enumerate(zip(parsed, spans, strict=True))
    ]


def _fields(parsed: ParsedInstruction, reading: Reading) -> dict[str, Any]:
    """Return the columns of what was proposed together with an instruction."""
    columns: dict[str, Any] = {
        "input": parsed.input if parsed.input is not None else reading.given or None,
        "constraints": parsed.constraints,
    }
    places = {"input": parsed.input_span, "constraints": parsed.constraints_span}
    for name, (start, end) in places.items():
        if start < end:
            columns |= {f"{name}_char_start": start, f"{name}_char_end": end}
    return columns


def instance_row(
    instruction_id: str, round: int, completion: Completion, number: int, parsed: ParsedInstance
) -> InstanceCandidate:
    """Return an instance of an instruction, with its places and its scores."""
    output, input = score_spans(completion, [parsed.output_span, parsed.input_span])
    return InstanceCandidate(
        id=ids.instance(instruction_id, number),
        instruction_id=instruction_id,
        round=round,
        completion_id=completion.id,
        input_char_start=parsed.input_span[0],
        input_char_end=parsed.input_span[1],
        output_char_start=parsed.output_span[0],
        output_char_end=parsed.output_span[1],
        input=parsed.input,
        output=parsed.output,
        input_logprob=input.mean_logprob,
        output_logprob=output.mean_logprob,
        mean_logprob=output.mean_logprob,
        num_tokens=output.num_tokens,
        unscored_reason=output.unscored_reason,
        kind=kind_written(completion.request.reading),
        cut=parsed.cut,
        source_id=completion.request.reading.source or None,
    )


def kind_written(reading: Reading) -> Kind:
    """Return what a completion has as output, by its form: a text, or a label."""
    return Kind.LABEL if reading.form is Form.OUTPUT_FIRST else Kind.OUTPUT


def with_scores(completions: Mapping[str, Completion]) -> dict[str, Completion]:
    """Return completions by id; log-probabilities of scoring requests fill in missing ones."""
    filled = dict(completions)
    for id, completion in completions.items():
        scored = completions.get(ids.score(id))
        if completion.token_logprobs is None and scored is not None:
            filled[id] = replaced(completion, token_logprobs=scored.token_logprobs)
    return filled


def with_gain(row: InstanceCandidate, scored: Completion | None) -> InstanceCandidate:
    """Record the conditional gain, from the output's score without its task."""
    without_task = SpanScore(NAN, 0, "not_scored")
    if scored is not None:
        without_task = score_span(scored, 0, len(scored.text))
    gain, reason = conditional_gain(row.output_logprob, without_task)
    return replaced(row, conditional_gain=gain, gain_unscored_reason=reason)


def with_failure(row: Row, failure: Failure | None) -> Row:
    """Return a candidate as rejected for a failure, if there is one; else as it is."""
    return row if failure is None else replaced(row, **rejected(failure))


def rejected(failure: Failure) -> dict[str, Any]:
    """Return the fields of a candidate that is rejected for a failure."""
    return {"verdict": REJECTED, "reason": failure.reason, "threshold": failure.threshold}


def with_verdict(row: Row, failure: Failure | None) -> Row:
    """Return a candidate as rejected for a failure, or as accepted."""
    return replaced(row, verdict=ACCEPTED) if failure is None else with_failure(row, failure)
