"""Rules on instances (the paper, §3.4 and its release; the switches are in `instances`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from selfinstruct.config import InstancesConfig
from selfinstruct.filters import text as texts
from selfinstruct.filters.heuristics import Failure, points_to_input
from selfinstruct.records import Markers, ParsedInstance, Reason


def check_instances(
    instruction: str,
    parsed: Sequence[ParsedInstance],
    config: InstancesConfig,
    markers: Markers,
) -> list[Failure | None]:
    """Return for each instance the first rule that it breaks, or None.

    Instances are judged in order: a repeat falls, the first of them stays. One input with
    different outputs says that at least one is wrong, so all of them fall (the paper).
    """
    alone = [check_instance(instruction, instance, config, markers) for instance in parsed]
    outputs: dict[str, set[str]] = {}
    for instance, failure in zip(parsed, alone, strict=True):
        if failure is None:
            outputs.setdefault(instance.input, set()).add(instance.output)
    verdicts: list[Failure | None] = []
    seen: set[tuple[str, str]] = set()
    kept = 0
    for instance, own in zip(parsed, alone, strict=True):
        failure = own or _check_among(instance, config, outputs, seen, kept)
        if failure is None:
            kept += 1
            seen.add((instance.input, instance.output))
        verdicts.append(failure)
    return verdicts


def check_instance(
    instruction: str, instance: ParsedInstance, config: InstancesConfig, markers: Markers
) -> Failure | None:
    """Return the first rule that one instance breaks by itself, or None."""
    given, output = instance.input, instance.output
    if texts.is_blank(output):
        return Failure(Reason.EMPTY_OUTPUT)
    if config.truncated and (instance.truncated or texts.ends_unfinished(output)):
        return Failure(Reason.TRUNCATED)
    if config.ends_with_colon and (given.endswith(":") or output.endswith(":")):
        return Failure(Reason.ENDS_WITH_COLON)
    if config.output_equals_input and given and given == output:
        return Failure(Reason.OUTPUT_EQUALS_INPUT)
    if config.missing_input and not given and points_to_input(instruction):
        return Failure(Reason.MISSING_INPUT)
    if config.prompt_echo and _echoes(instruction, given, output, markers):
        return Failure(Reason.PROMPT_ECHO)
    if config.placeholder and (texts.has_placeholder(given) or texts.has_placeholder(output)):
        return Failure(Reason.PLACEHOLDER)
    if config.refusal and (texts.is_refusal(output) or texts.is_refusal(given)):
        return Failure(Reason.REFUSAL)
    if config.chatty_preamble and texts.is_chatty(output):
        return Failure(Reason.CHATTY_PREAMBLE)
    limit = config.max_repetition
    if limit is not None and max(texts.repetition(given), texts.repetition(output)) > limit:
        return Failure(Reason.REPETITIVE, limit)
    return None


def _check_among(
    instance: ParsedInstance,
    config: InstancesConfig,
    outputs: dict[str, set[str]],
    seen: set[tuple[str, str]],
    kept: int,
) -> Failure | None:
    if config.conflicting_outputs and len(outputs[instance.input]) > 1:
        return Failure(Reason.CONFLICTING_OUTPUTS)
    if (instance.input, instance.output) in seen:
        return Failure(Reason.DUPLICATE_INSTANCE)
    if kept >= config.max_per_instruction:
        return Failure(Reason.SURPLUS_INSTANCE, config.max_per_instruction)
    return None


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _echoes(instruction: str, given: str, output: str, markers: Markers) -> bool:
    marks = ("###", "Task:", markers.input, markers.output, markers.label)
    # At the start of a line only: "# Output: 5" is a comment of some code.
    starts = re.compile(r"^\s*(?:" + "|".join(map(re.escape, marks)) + ")", re.MULTILINE)
    if starts.search(given) or starts.search(output):
        return True
    folded = _folded(instruction)
    return bool(folded) and (_folded(output).startswith(folded) or folded in _folded(given))
