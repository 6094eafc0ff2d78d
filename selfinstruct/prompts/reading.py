"""How a completion is to be read: told with its request, or found for one that does not say.

Requests that were recorded before they said so are read by what they then were: the name of their
template, and what their prompt ends with. Nowhere else is either looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from selfinstruct.common.records import Form, Markers, Reading, Request, Stage


def reading_of_list(prompt: str, parents: Sequence[str], *, continues: bool) -> Reading:
    """Return how the completion of a proposal is read.

    Args:
        prompt: text of the prompt, where it is continued.
        parents: ids of the tasks that it shows.
        continues: whether the prompt ends within the first new item.
    """
    tag = list_tag(prompt) if continues else ""
    return Reading(Form.LIST, first_number=len(parents) + 1, continues=continues, tag=tag)


def list_tag(prompt: str) -> str:
    """Return what a proposal's prompt ends with after its last number: nothing, or a tag."""
    found = re.search(r"\n\d+[.)][ \t]+(\S[^\n]*)\Z", prompt)
    return found[1] if found else ""


def opened_marker(prompt: str, markers: Markers) -> str | None:
    """Return the marker that a prompt ends with, after which its completion goes on."""
    return next((m for m in (markers.input, markers.label) if prompt.endswith(m)), None)


def recorded_reading(request: Request, prompt: str, markers: Callable[[], Markers]) -> Reading:
    """Return how a recorded completion was read whose request does not say.

    Args:
        request: as recorded.
        prompt: the text that the model saw.
        markers: of the run; called only where they decide.
    """
    name, _, mode = request.template.removesuffix(".jinja").partition(".")
    if name == "propose":
        # Whatever the prompting, as it was then.
        tag, first = list_tag(prompt), len(request.parents) + 1
        return Reading(Form.LIST, first_number=first, continues=mode == "base", tag=tag)
    if request.stage is Stage.CLASSIFY:
        return Reading(Form.LABEL)
    if name in ("output_first", "input_first"):
        return Reading(Form(name), opened=opened_marker(prompt, markers()))
    return Reading(Form.WHOLE)
