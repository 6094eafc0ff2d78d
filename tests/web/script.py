"""What the scripted model of these tests writes: tasks, repeats of one, and hostile texts."""

from __future__ import annotations

import os
import time

from selfinstruct.common.records import Request, Stage
from tests.conftest import varied_script

REPEATED = "Praise the old harbour at dawn in four short lines."
HOSTILE = "Explain <script>alert(1)</script> to <img src=x onerror=alert(2)> a friend."
HOSTILE_OUTPUT = "It is <b onclick=alert(3)>bold</b> <script>alert(4)</script> text."


def script(request: Request) -> str | tuple[str, str]:
    """Answer as `varied_script`, but each proposal begins with the same two instructions."""
    time.sleep(float(os.environ.get("SCRIPT_SECONDS", "0")))
    if request.stage is Stage.PROPOSE:
        first = len(request.parents) + 1
        items = [REPEATED, HOSTILE, *_others(request)]
        return "\n".join(
            [f" {items[0]}", *(f"{first + i}. {t}" for i, t in enumerate(items[1:], 1))]
        )
    if request.stage is Stage.INSTANCES:
        if HOSTILE in request.prompt.rsplit("Task:", 1)[-1]:
            return f"Output: {HOSTILE_OUTPUT}"
        if REPEATED in request.prompt:
            return "Output: Gulls wake, ropes creak, boats go out, and the day begins."
    return varied_script(request)


def _others(request: Request) -> list[str]:
    answer = varied_script(request)
    text = answer[0] if isinstance(answer, tuple) else answer
    return [line.split(". ", 1)[-1].strip() for line in text.splitlines() if line.strip()]
