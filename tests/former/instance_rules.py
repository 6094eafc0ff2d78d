"""As it was: `selfinstruct/filters/instance_rules.py`."""

from __future__ import annotations

import re
from typing import Any

from selfinstruct.filters.rule import InstanceFacts


def _is_copy(facts: InstanceFacts, _: Any) -> bool:
    return bool(facts.input) and facts.input == facts.output


def _echoes(facts: InstanceFacts, _: Any) -> bool:
    markers = facts.markers
    marks = ("###", "Task:", markers.input, markers.output, markers.label)
    # Only at the start of a line: "# Output: 5" is a comment in code.
    starts = re.compile(r"^[^\S\n]*(?:" + "|".join(map(re.escape, marks)) + ")", re.MULTILINE)
    if starts.search(facts.input) or starts.search(facts.output):
        return True
    folded = _folded(facts.instruction)
    repeated = _folded(facts.output).startswith(folded) or folded in _folded(facts.input)
    return bool(folded) and repeated


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
