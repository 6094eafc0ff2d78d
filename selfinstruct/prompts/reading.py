"""How to read a completion: said by its request, or derived for older requests.

Older recorded requests do not say it. It is derived from the name of their template and the end of
their prompt. No other code looks at either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from selfinstruct.common.records import Form, Markers, Reading, Request, Stage


def reading_of_list(prompt: str, parents: Sequence[str], *, continues: bool) -> Reading:
    """Return how the completion of a proposal is read.

    Args:
        prompt: text of the prompt, if the completion continues it.
        parents: ids of the tasks that it shows.
        continues: whether the prompt ends within the first new item.
    """
    tag = list_tag(prompt) if continues else ""
    return Reading(Form.LIST, first_number=len(parents) + 1, continues=continues, tag=tag)


def list_tag(prompt: str) -> str:
    """Return the tag after the last number of a proposal's prompt, or an empty text."""
    match = re.search(r"\n\d+[.)][ \t]+(\S[^\n]*)\Z", prompt)
    return match[1] if match else ""


def ends_in_item(prompt: str) -> bool:
    """Whether a prompt ends with the number of a list's next item, or within that item."""
    return re.search(r"(?:\A|\n)[ \t]*\d+[.):\u3001\uff0e][^\n]*\Z", prompt) is not None


def opened_marker(prompt: str, markers: Markers) -> str | None:
    """Return the marker at the end of a prompt, after which its completion continues."""
    return next((m for m in (markers.input, markers.label) if prompt.endswith(m)), None)


def recorded_reading(request: Request, prompt: str, markers: Callable[[], Markers]) -> Reading:
    """Return how the completion of an older recorded request was read.

    Args:
        request: as recorded.
        prompt: the text that the model saw.
        markers: returns those of the run; called only if they decide.
    """
    name, _, mode = request.template.removesuffix(".jinja").partition(".")
    if name == "propose":
        # Then, the tag was read in both modes.
        tag, first = list_tag(prompt), len(request.parents) + 1
        return Reading(Form.LIST, first_number=first, continues=mode == "base", tag=tag)
    if request.stage is Stage.CLASSIFY:
        return Reading(Form.LABEL)
    if name in ("output_first", "input_first"):
        return Reading(Form(name), opened=opened_marker(prompt, markers()))
    return Reading(Form.WHOLE)
