"""A plan as an SVG picture: the yield of the rounds, and what is likely until the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from selfinstruct.audit.plan import FAR, Plan

Place = Callable[[float], float]

_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 46, 46
_BLUE, _GREEN, _GREY = "#2a7fba", "#2e9e5b", "#777"


def plan_svg(plan: Plan, name: str) -> str:
    """Return the picture: yield against tasks, on a logarithmic axis of tasks.

    Args:
        plan: what to draw.
        name: of the run.
    """
    points = [(max(1.0, tasks), share) for tasks, share in plan.observed]
    left, right = min(tasks for tasks, _ in points), float(plan.target)
    tops = [share for _, share in points] + [high for *_, high in plan.curve]
    most = min(1.0, max(tops) * 1.1) or 1.0

    def across(tasks: float) -> float:
        place = math.log(max(tasks, left) / left) / math.log(right / left)
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(place, 1.0), 1)

    def down(share: float) -> float:
        return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share / most), 1)

    upper = [f"{across(tasks)},{down(high)}" for tasks, _, _, high in plan.curve]
    lower = [f"{across(tasks)},{down(low)}" for tasks, low, _, _ in plan.curve]
    middle = [f"{across(tasks)},{down(likely)}" for tasks, _, likely, _ in plan.curve]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_GREY}">',
        *_legend(name),
        f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{_BLUE}" fill-opacity="0.2"/>',
        f'<polyline points="{" ".join(middle)}" fill="none" stroke="{_BLUE}" stroke-width="2"/>',
    ]
    parts += [
        f'<circle cx="{across(tasks)}" cy="{down(share)}" r="2.5" fill="{_GREEN}"/>'
        for tasks, share in points
    ]
    parts += _axes(across, down, left, right, most)
    parts += _guess(plan, across)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(name: str) -> list[str]:
    return [
        f'<text x="{_LEFT}" y="20" font-weight="600">{escape(name)}: yield by tasks</text>',
        f'<circle cx="{_LEFT + 4}" cy="34" r="3" fill="{_GREEN}"/>',
        f'<text x="{_LEFT + 14}" y="38">a round</text>',
        f'<rect x="{_LEFT + 84}" y="29" width="14" height="10" fill="{_BLUE}" fill-opacity="0.4"/>',
        f'<text x="{_LEFT + 104}" y="38">planned: likely, and 95 % interval</text>',
    ]


def _axes(across: Place, down: Place, left: float, right: float, most: float) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{_WIDTH - _RIGHT}" fill="none" stroke="{_GREY}"/>']
    for part in range(5):
        share = most * part / 4
        parts.append(
            f'<text x="{_LEFT - 6}" y="{down(share) + 4}" text-anchor="end">{share:.0%}</text>'
        )
    powers = range(math.ceil(math.log10(left)), math.floor(math.log10(right)) + 1)
    marks = {10.0**power for power in powers} | {right}
    last = -100.0
    for tasks in sorted(marks, reverse=True):
        x = across(tasks)
        if abs(x - last) < 60:
            continue
        last = x
        anchor = "end" if tasks == right else "middle"
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{tasks:,.0f}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">tasks</text>')
    return parts


def _guess(plan: Plan, across: Place) -> list[str]:
    """Mark from where on the plan is a guess."""
    if plan.target <= FAR * plan.tasks:
        return []
    x = across(FAR * plan.tasks)
    return [
        f'<path d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{_GREY}" stroke-dasharray="4 3"/>',
        f'<text x="{x + 6}" y="{_TOP + 12}">a guess from here on</text>',
    ]
