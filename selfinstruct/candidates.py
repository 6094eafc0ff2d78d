"""From completions to candidates: parsed, with their places and scores, and not yet judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from selfinstruct.filters.likelihood import SpanScore, conditional_gain, score_span
from selfinstruct.filters.outcomes import PARSE_FAILURE
from selfinstruct.parse import (
    PARSE_DIRECT,
    PARSE_INPUT_FIRST,
    PARSE_OUTPUT_FIRST,
    PARSE_PROPOSAL,
)
from selfinstruct.records import (
    NAN,
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
    ParsedInstance,
    ParsedInstruction,
)


def read_proposal(completion: Completion, version: int) -> list[ParsedInstruction]:
    """Parse a proposal's completion, as rules of a version do."""
    return PARSE_PROPOSAL.at(version)(
        completion.text,
        completion.finish_reason,
        first_number=len(completion.request.parents) + 1,
        continues=".base." in completion.request.template,
        tag=list_tag(completion.request.prompt),
    )


def list_tag(prompt: str) -> str:
    """Return what a proposal's prompt ends with after its last number: nothing, or a tag."""
    found = re.search(r"\n\d+[.)][ \t]+(\S[^\n]*)\Z", prompt)
    return found[1] if found else ""


def read_instances(completion: Completion, markers: Markers, version: int) -> list[ParsedInstance]:
    """Parse an instances completion by the template that asked for it, as of a version."""
    template, prompt = completion.request.template, completion.request.prompt
    text, finish = completion.text, completion.finish_reason
    opened = next((m for m in (markers.input, markers.label) if prompt.endswith(m)), None)
    if template.startswith("direct."):
        return PARSE_DIRECT.at(version)(text, finish)
    if template.startswith("output_first."):
        return PARSE_OUTPUT_FIRST.at(version)(text, finish, markers, opened=opened)
    return PARSE_INPUT_FIRST.at(version)(text, finish, markers, opened=opened)


def unparsed(completion: Completion, round: int) -> InstructionCandidate:
    """Return the one candidate that a proposal is which holds no instruction."""
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
        id=f"{completion.id.removesuffix('-propose')}-i{item:02d}",
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
    candidate: InstructionCandidate, completion: Completion, number: int, parsed: ParsedInstance
) -> InstanceCandidate:
    """Return an instance with its places and its scores."""
    output = score_span(completion, *parsed.output_span)
    given = score_span(completion, *parsed.input_span)
    return InstanceCandidate(
        id=f"{candidate.id}-n{number}",
        instruction_id=candidate.id,
        round=candidate.round,
        completion_id=completion.id,
        input_char_start=parsed.input_span[0],
        input_char_end=parsed.input_span[1],
        output_char_start=parsed.output_span[0],
        output_char_end=parsed.output_span[1],
        input=parsed.input,
        output=parsed.output,
        input_logprob=given.mean_logprob,
        output_logprob=output.mean_logprob,
        mean_logprob=output.mean_logprob,
        num_tokens=output.num_tokens,
        unscored_reason=output.unscored_reason,
        kind=Kind.LABEL if completion.request.template.startswith("output_first.") else Kind.OUTPUT,
    )


def score_id(id: str) -> str:
    """Return the id of the request that scores what an id stands for."""
    return f"{id}-score"


def with_scores(completions: Mapping[str, Completion]) -> dict[str, Completion]:
    """Return completions by id, those without log-probabilities with what scoring found."""
    filled = dict(completions)
    for id, completion in completions.items():
        scored = completions.get(score_id(id))
        if completion.token_logprobs is None and scored is not None:
            filled[id] = replace(completion, token_logprobs=scored.token_logprobs)
    return filled


def with_gain(row: InstanceCandidate, scored: Completion | None) -> InstanceCandidate:
    """Record the conditional gain, from the output's score without its task."""
    given_nothing = SpanScore(NAN, 0, "not_scored")
    if scored is not None:
        given_nothing = score_span(scored, 0, len(scored.text))
    gain, reason = conditional_gain(row.output_logprob, given_nothing)
    return replace(row, conditional_gain=gain, gain_unscored_reason=reason)
