"""From completions to candidates: parsed, with their places and scores, without verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from selfinstruct.common import ids
from selfinstruct.common.records import (
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
)
from selfinstruct.filters.likelihood import SpanScore, conditional_gain, score_span
from selfinstruct.filters.outcomes import PARSE_FAILURE
from selfinstruct.verdicts.parse import (
    PARSE_DIRECT,
    PARSE_INPUT_FIRST,
    PARSE_OUTPUT_FIRST,
    PARSE_PROPOSAL,
)


def read_proposal(completion: Completion, version: int) -> list[ParsedInstruction]:
    """Parse a proposal's completion by the rules of a version."""
    reading = completion.request.reading
    return PARSE_PROPOSAL.at(version)(
        completion.text,
        completion.finish_reason,
        first_number=reading.first_number,
        continues=reading.continues,
        tag=reading.tag,
    )


def read_instances(completion: Completion, markers: Markers, version: int) -> list[ParsedInstance]:
    """Parse an instances completion as its request says, by the rules of a version."""
    reading, text, finish = completion.request.reading, completion.text, completion.finish_reason
    if reading.form is Form.WHOLE:
        return PARSE_DIRECT.at(version)(text, finish)
    if reading.form is Form.OUTPUT_FIRST:
        return PARSE_OUTPUT_FIRST.at(version)(text, finish, markers, opened=reading.opened)
    return PARSE_INPUT_FIRST.at(version)(text, finish, markers, opened=reading.opened)


def unparsed(completion: Completion, round: int) -> InstructionCandidate:
    """Return the one candidate of a proposal that holds no instruction: a parse failure."""
    text = completion.text
    whole = ParsedInstruction(0, len(text), text, text.strip(), truncated=False)
    return replace(
        instruction_row(completion, round, 0, whole),
        mean_logprob=NAN,
        num_tokens=0,
        unscored_reason="parse_failure",
        verdict=REJECTED,
        reason=PARSE_FAILURE.reason,
    )


def instruction_row(
    completion: Completion, round: int, item: int, parsed: ParsedInstruction
) -> InstructionCandidate:
    """Return an instruction with its place, its parents and its score."""
    span = score_span(completion, parsed.start, parsed.end)
    return InstructionCandidate(
        id=ids.instruction(completion.request.about, item),
        round=round,
        completion_id=completion.id,
        char_start=parsed.start,
        char_end=parsed.end,
        raw_text=parsed.raw,
        text=parsed.text,
        parents=completion.request.parents,
        mean_logprob=span.mean_logprob,
        num_tokens=span.num_tokens,
        unscored_reason=span.unscored_reason,
    )


def instance_row(
    instruction_id: str, round: int, completion: Completion, number: int, parsed: ParsedInstance
) -> InstanceCandidate:
    """Return an instance of an instruction, with its places and its scores."""
    output = score_span(completion, *parsed.output_span)
    input = score_span(completion, *parsed.input_span)
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
            filled[id] = replace(completion, token_logprobs=scored.token_logprobs)
    return filled


def with_gain(row: InstanceCandidate, scored: Completion | None) -> InstanceCandidate:
    """Record the conditional gain, from the output's score without its task."""
    without_task = SpanScore(NAN, 0, "not_scored")
    if scored is not None:
        without_task = score_span(scored, 0, len(scored.text))
    gain, reason = conditional_gain(row.output_logprob, without_task)
    return replace(row, conditional_gain=gain, gain_unscored_reason=reason)
